"""Nodes that die, freeze or restart, and services that fail, under 500 requests a second: what their clients see."""

import collections
import signal
import time

from bench import GaveUp
from meshes import service
from proxies import BACKEND_PORT, CLOSING_PORT, FAILING_PORT, PYTHON_PORT, requests_served
from proxy_run import percentile

RATE, REPLICAS = 500, 3
# Seconds of load before the fault; then it is judged by as many after it.
BEFORE, WINDOW = 10, 10
# Requests that waited this long, in ms, are counted.
WAITED = 100
DRAIN, WEBSOCKETS = 5, 200


def replicas(run, port, settings="", entry=True):
    """A mesh of three nodes with the service each, and one more that has none and takes the requests."""
    mesh = run.proxies.mesh()
    for _ in range(REPLICAS):
        mesh.add(service("bench", f"http://127.0.0.1:{port}", max_in_flight=100000), settings)
    if entry:
        mesh.add(settings=settings)
    mesh.wait_whole(REPLICAS)
    return mesh


def fault(run, measure, number):
    """15,000 GETs through the entry; ten seconds after the first, one of the three replicas gets the signal."""
    mesh = replicas(run, BACKEND_PORT)
    entry, victim = mesh.nodes[-1], mesh.nodes[0]
    run.sent(run.load([entry.url("bench")], RATE, RATE), 60)
    count = RATE * (BEFORE + WINDOW) if run.options.quick else 15_000
    load = run.load([entry.url("bench")], RATE, count)
    time.sleep(BEFORE)
    victim.process.send_signal(number)
    at = time.monotonic()
    sent = run.sent(load, count / RATE + 60)
    mesh.stop()
    served = collections.Counter(request.worker for request in sent if request.due < at)
    if len(served) != REPLICAS:
        raise GaveUp(f"{measure}: not all replicas had traffic before the fault: {served}")
    outcomes = collections.Counter(request.outcome for request in sent if request.failed)
    before = percentile([request.took for request in sent if request.due < at], 0.999)
    after = [request.took for request in sent if at <= request.due < at + WINDOW]
    # Nobody else than the victim lets a request fail, or be sent to another replica.
    given = [request.due - at for request in sent if request.due >= at and (request.failed or request.attempts != "1")]
    late = [request for request in sent if request.due > at - 1 and request.took > WAITED]
    return {
        "failed": sum(outcomes.values()), "outcomes": dict(outcomes), "requests": len(sent), "before_p999_ms": before,
        "after_p999_ms": percentile(after, 0.999), "after_worst_ms": max(after), "longest": longest(sent, at),
        "waited": len(late), "gone_s": max([0, *given]), "given": len(given),
        "share_of_victim": served[victim.worker[-8:]] / sum(served.values()),
    }  # fmt: skip


def longest(sent, at):
    """The five requests that waited longest: due after the fault in seconds, waited in ms, attempts, outcome."""
    worst = sorted(sent, key=lambda request: -request.took)[:5]
    return [(round(request.due - at, 3), round(request.took), request.attempts, request.outcome) for request in worst]


def kill(run):
    """SIGKILL of a replica."""
    for number in range(run.options.faults):
        said = fault(run, "kill", signal.SIGKILL)
        run.add("kill_failed", "meshnode", said["failed"], round=number, **said)
        run.add("kill_p999", "meshnode", said["after_p999_ms"] - said["before_p999_ms"], round=number)
        run.say(f"kill: {said}")


def stop(run):
    """SIGSTOP of a replica, whose kernel still takes connections and data."""
    for number in range(run.options.faults):
        said = fault(run, "stop", signal.SIGSTOP)
        run.add("stop_failed", "meshnode", said["failed"], round=number, **said)
        run.add("stop_gone", "meshnode", said["gone_s"], round=number)
        run.say(f"stop: {said}")


def restart(run):
    """All nodes one after another are asked to leave, and started again; requests and WebSockets go to all of them.

    A request that was refused, or whose connection ended before any byte of an answer, is sent once more, to the next.
    """
    mesh = run.proxies.mesh()
    nodes, websockets = (3, 50) if run.options.quick else (REPLICAS + 1, WEBSOCKETS)
    services = service("bench", f"http://127.0.0.1:{BACKEND_PORT}", max_in_flight=100000)
    services += service("sockets", f"http://127.0.0.1:{PYTHON_PORT}")
    for _ in range(nodes):
        mesh.add(services, f'drain-timeout = "{DRAIN}s"')
    mesh.wait_whole(2 * nodes)
    talkers = run.held("talk", "--count", str(websockets), *(node.url("sockets", "/echo") for node in mesh.nodes))
    # More than is needed; the load is ended when the last node is back.
    load = run.load([node.url("bench") for node in mesh.nodes], RATE, RATE * 180, again=True)
    time.sleep(2)
    asked = []
    for node in mesh.nodes:
        asked.append(time.monotonic())
        took = mesh.terminate(node, DRAIN + 15)
        mesh.start(node)
        mesh.wait_whole(2 * nodes)
        back = time.monotonic() - asked[-1]
        run.say(f"restart: {node.name} ended after {took:.1f} s, was back {back:.1f} s after the signal")
        time.sleep(1)
    load.send_signal(signal.SIGTERM)
    sent, ends = run.sent(load, 60), run.release(talkers)
    mesh.stop()
    failed = collections.Counter(request.outcome for request in sent if request.failed)
    for end in ends:
        since = [end["at"] / 1e9 - at for at in asked]
        end["after_asked_s"] = round(min((seconds for seconds in since if seconds >= 0), default=-1), 3)
    bad = [end for end in ends if not ended_well(end)]
    codes = collections.Counter(str(end["code"]) for end in ends)
    again = sum(request.times > 1 for request in sent)
    run.add("restart_failed", "meshnode", sum(failed.values()), outcomes=dict(failed), requests=len(sent), again=again,
            p999_ms=percentile([request.took for request in sent], 0.999))  # fmt: skip
    run.add("restart_websockets", "meshnode", len(bad), codes=dict(codes), ends=len(ends), bad=bad[:20])
    run.say(f"restart: {len(sent)} requests, {again} sent once more, failed {dict(failed)}")
    run.say(f"restart: {len(ends)} WebSockets ended, {dict(codes)}; not as they should: {len(bad)}, such as {bad[:2]}")


def ended_well(end):
    """With 1001, and not before the deadline of the drain that was the last to begin; 0.3 s are for our own delay."""
    if end["code"] == "not opened":
        # That entry was away just then, which is no WebSocket that ended; the next entry has to take it.
        away = any(word in end["why"] for word in ("Connect call failed", "ConnectionReset", "IncompleteRead"))
        return away and end["in_a_row"] == 1
    return end["code"] == 1001 and end["after_asked_s"] >= DRAIN - 0.3


def failing(run):
    """Every replica answers 500, or every one closes without an answer: attempts by the requests that were tried."""
    for how, port in (("answers 500", FAILING_PORT), ("closes", CLOSING_PORT)):
        mesh = replicas(run, port)
        count = RATE * 10
        before = requests_served()
        sent = run.sent(run.load([mesh.nodes[-1].url("bench")], RATE, count), 60)
        arrived = requests_served() - before
        mesh.stop()
        outcomes = collections.Counter((request.outcome, request.attempts) for request in sent)
        outcomes = [[*outcome, times] for outcome, times in outcomes.most_common()]
        # A request that was refused at once makes the others no better.
        tried = sum(times for _, attempts, times in outcomes if attempts != "0")
        run.add("attempts", "meshnode", arrived / tried, how=how, arrived=arrived, requests=count, outcomes=outcomes)
        run.say(f"failing, {how}: {arrived} arrived of {tried} that were tried, answers {outcomes[:5]}")
