"""What two parsers may read differently: no service may see a request that the mesh did not mean.

Each service records what it saw, each case has a mark; so a request that was smuggled is found even when it was appended to
somebody else's.
"""

import asyncio
import collections
import urllib.request

import pytest
from support import replay, verdict

import corpus

SERVICES = {"nginx": "nginx-sut", "uvicorn": "asgi--sut", "node": "nodes-sut", "hyper": "hyper-sut"}
# What Node says of framing and heads that are not well formed. A cut body, a method or a target that it does not know are its own matter.
FORBIDDEN = {
    f"HPE_{word}"
    for word in (
        "CR_EXPECTED", "LF_EXPECTED", "INVALID_HEADER_TOKEN", "INVALID_CHUNK_SIZE", "INVALID_CONTENT_LENGTH", "INVALID_TRANSFER_ENCODING", "INVALID_CONSTANT",
        "INVALID_VERSION", "UNEXPECTED_CONTENT_LENGTH", "STRICT", "INVALID_INTERNAL_STATE", "CLOSED_CONNECTION", "INTERNAL",
    )
}  # fmt: skip
NUMBERED = {}
for _subject, _cases in corpus.SUBJECTS.items():
    NUMBERED[_subject] = [(len(NUMBERED) * 10_000 + number, case) for number, case in enumerate(_cases)]


@pytest.fixture(params=SERVICES)
def target(request, mesh, backends):
    """A recording backend, and the name of a service as long as its placeholder."""
    backend = backends(request.param)
    mesh.offer(SERVICES[request.param], backend.url)
    return backend, SERVICES[request.param]


def seen_of(backend, ingress, service):
    """What the backend recorded, by mark, once it has also recorded a request that was sent after all others."""
    mark = f"{ingress.hops}99999"
    request = urllib.request.Request(ingress.url(service, "/last"), headers={"x-case": mark})
    before = sum(record.get("case") == mark for record in backend.seen())
    urllib.request.urlopen(request, timeout=20).close()
    backend.wait_for(lambda _: sum(record.get("case") == mark for record in backend.seen()) > before, "the last request")
    found = collections.defaultdict(list)
    for record in backend.seen():
        found[record.get("case")].append(record)
    return found


def report(failures):
    lines = []
    for outcome, wrong in failures[:40]:
        lines.append(f"{outcome.case.name}: {'; '.join(wrong)}\n    sent     {outcome.sent[:400]!r}\n    received {outcome.received[:300]!r}")
    return f"{len(failures)} cases failed:\n" + "\n".join(lines)


@pytest.mark.parametrize("subject", corpus.SUBJECTS)
def test_only_what_was_meant_arrives(target, ingress, subject):
    backend, service = target
    outcomes = asyncio.run(replay.replay_all(ingress, service, NUMBERED[subject]))
    found = seen_of(backend, ingress, service)
    judged = [(outcome, list(verdict.complaints(outcome, found[outcome.mark], service))) for outcome in outcomes]
    failures = [(outcome, wrong) for outcome, wrong in judged if wrong]
    assert not failures, report(failures)


def test_no_service_ever_saw_what_was_smuggled_or_malformed(backends):
    """At the end, whatever mark it bears: the mesh only ever writes what these parsers accept."""
    for name in SERVICES:
        for record in backends(name).seen():
            assert "smuggled" not in record.get("target", ""), record
            assert record.get("code") not in FORBIDDEN, record


def test_the_corpus_is_as_large_as_it_claims():
    assert sum(map(len, corpus.SUBJECTS.values())) >= 1000
    for cases in corpus.SUBJECTS.values():
        assert len({case.name for case in cases}) == len(cases), "names are twice there"
