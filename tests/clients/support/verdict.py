"""What is wrong with an outcome: on the client's connection, and in what the service recorded."""

from . import frames, wire
from .replay import methods

REFUSALS = (400, 403, 404, 405, 408, 411, 413, 414, 417, 431, 501, 505)
# An answer from the mesh when the request broke off while a service read it.
BROKEN = (502, 503)


def is_whole(record):
    """Whether a service took it for a request; nginx logs those that it refused or that broke off as well."""
    if record["event"] != "request":
        return False
    return record.get("status") not in ("400", "408", "499") if record["server"] == "nginx" else True


def shape(record):
    """What a service saw: method, target and body."""
    target = record["target"] if record["server"] != "nginx" else record["line"].split(" ", 1)[1].rsplit(" ", 1)[0]
    return record["method"], target, record["body"]


def complaints(outcome, records, service):
    """Everything that is wrong with one case."""
    return [*on_the_wire(outcome), *at_the_service(outcome, records, service)]


def on_the_wire(outcome):
    case = outcome.case
    if outcome.sent.startswith(frames.PREFACE):
        yield from on_the_stream(outcome)
        return
    try:
        answers, rest = wire.answers(outcome.received, methods(outcome.sent), outcome.closed)
    except (wire.Malformed, ValueError) as error:
        yield f"the answers are malformed: {error}"
        return
    if rest and not outcome.closed:
        yield f"{len(rest)} bytes are no whole answer"
    statuses = [answer.status for answer in answers]
    passed = [answer for answer in answers if answer.header("x-mesh-worker")]
    for answer in passed:
        if answer.header("x-seen") not in (None, outcome.mark):
            yield f"an answer belongs to the case {answer.header('x-seen')}"
    if len(passed) > len(case.meant) + outcome.probed:
        yield f"{len(passed)} answers of the service, at most {len(case.meant) + outcome.probed} were asked for"
    if case.meant and not case.may_refuse and statuses[: len(case.meant)] != [200] * len(case.meant):
        yield f"must be answered {len(case.meant)} times, got {statuses}"
    if not case.meant and statuses and not all(status in (*REFUSALS, *BROKEN) for status in statuses[:1]):
        yield f"must be refused, got {statuses}"
    if case.closes and not outcome.closed:
        yield "the connection must be closed"
    if case.closes and outcome.probed and len(passed) > len(case.meant):
        yield "the connection went on"


def on_the_stream(outcome):
    """Over HTTP/2 a refusal is a status, a reset stream, or the end of the connection."""
    case = outcome.case
    statuses, ended = frames.answers(outcome.received)
    if not (ended or outcome.closed):
        yield "there is no answer, and no end"
    if len(statuses) > 1:
        yield f"several answers: {statuses}"
    if case.meant and not case.may_refuse and statuses != [200]:
        yield f"must be answered, got {statuses}"
    if not case.meant and statuses and statuses[0] not in (*REFUSALS, *BROKEN):
        yield f"must be refused, got {statuses}"


def at_the_service(outcome, records, service):
    case = outcome.case
    own = [record for record in records if "target" in record and not record["target"].startswith("/probe")]
    for record in own:
        if "smuggled" in record["target"]:
            yield f"a smuggled request arrived: {record['method']} {record['target']}"
        if record["event"] in ("head", "request"):
            yield from framing(record, case)
    whole = sorted(shape(record) for record in own if is_whole(record))
    allowed = [(m.method, m.target, filled_text(m.body, service, outcome.mark)) for m in case.meant]
    for seen in whole:
        match = next((meant for meant in allowed if is_same(seen, meant)), None)
        if match is None:
            yield f"arrived, but was not meant: {shown(seen)}"
        else:
            allowed.remove(match)
    if allowed and not case.may_refuse:
        yield f"was meant, but did not arrive: {[shown(meant) for meant in allowed]}"


def is_same(seen, meant):
    # Records keep the beginning of a body.
    body = seen[2] == meant[2] or len(seen[2]) >= 1024 and meant[2].startswith(seen[2])
    return body and seen[0] == meant[0] and meant[1] in spellings(seen[1])


def spellings(target):
    """A target as it may have been recorded: bytes beyond ASCII as characters, and an empty query lost by ASGI."""
    return {target, f"{target}?", target.encode(errors="replace").decode("latin1")}


def filled_text(body, service, mark):
    return body.decode("latin1").replace("@SERVICE@", service).replace("@CASE@", mark)


def shown(seen):
    return f"{seen[0]} {seen[1]} {seen[2][:60]!r}"


def framing(record, case):
    """A service is never asked to choose between two framings, two hosts, or what was meant to end on the way."""
    if record["server"] == "nginx":
        lengths, codings, hosts = (list(filter(None, record[key].split(", "))) for key in ("length", "coding", "host"))
        names = None
    else:
        values = record.get("headers", [])
        lengths, codings, hosts = ([v for k, v in values if k == key] for key in ("content-length", "transfer-encoding", "host"))
        names = {key for key, _ in values}
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        yield f"ambiguous framing arrived: lengths {lengths}, codings {codings}"
    if any(not value.isascii() or not value.isdigit() for value in lengths) or any(value != "chunked" for value in codings):
        yield f"odd framing arrived: lengths {lengths}, codings {codings}"
    if len(hosts) != 1:
        yield f"hosts {hosts} arrived"
    if names is not None:
        found = sorted(name for name in names if name in case.absent or name.startswith("x-mesh-"))
        missing = sorted(name for name in case.present if name not in names)
        if found:
            yield f"must end at the mesh: {found}"
        if missing:
            yield f"must arrive: {missing}"
