"""Answers as raw bytes: rare ones pass, cut ones end in an error, broken ones are 502, and none is taken for another's."""

import socket

import pytest
from support import backend, wire

FINE = {
    "close-delimited": (200, b"until the end"), "http10": (200, b"until the end"), "http10-length": (200, b"four"), "204-with-length": (204, b""),
    "304-with-length": (304, b""), "205-empty": (205, b""), "100-first": (200, b"four"), "103-first": (200, b"four"), "102-twice": (200, b"four"),
    "hop-by-hop": (200, b"four"), "many-cookies": (200, b"four"), "trailers": (200, b"four"),
}  # fmt: skip
CUT = ["cut-length", "cut-chunk", "cut-chunks", "bad-chunk", "long-chunk"]
BROKEN = ["nothing", "half-a-head", "no-http", "two-lengths", "bad-length", "bad-status", "nul", "bare-cr", "101-unasked"]
# The second answer was asked for by nobody.
EXTRA = ["two-answers", "length-and-coding", "204-with-body", "304-with-body"]


@pytest.fixture(scope="module")
def raw(mesh, directory):
    running = backend.python("raw", "raw.py", directory)
    mesh.offer("raw", running.url)
    yield running
    running.process.stop()


def exchange(ingress, path, method="GET"):
    """All that comes for one request on a connection that is to be closed."""
    with socket.create_connection((ingress.host, ingress.port), 20) as stream:
        stream.sendall(f"{method} /api/service/raw/{path} HTTP/1.1\r\nHost: mesh\r\nTE: trailers\r\nConnection: close\r\n\r\n".encode())
        try:
            return b"".join(iter(lambda: stream.recv(65536), b""))
        except ConnectionResetError:
            return b""


def only_answer(data, method="GET"):
    found, rest = wire.answers(data, [method], True)
    assert len(found) == 1 and not rest, data
    return found[0]


@pytest.mark.parametrize("name", FINE)
def test_a_rare_answer_passes(raw, ingress, name):
    for _ in range(3):
        answer = only_answer(exchange(ingress, name))
        assert (answer.status, answer.body) == FINE[name]
        assert answer.header("x-mesh-worker") and not answer.header("x-mesh-error")


def test_the_length_of_an_answer_to_head_passes(raw, ingress):
    assert only_answer(exchange(ingress, "head-length", "HEAD"), "HEAD").header("content-length") == "1000"


def test_what_a_service_says_of_connection_and_mesh_ends_at_the_mesh(raw, ingress):
    answer = only_answer(exchange(ingress, "hop-by-hop"))
    names = [name for name, _ in answer.headers]
    assert not {"x-evil", "keep-alive", "proxy-authenticate", "upgrade", "x-mesh-retry", "x-mesh-error"} & set(names)
    assert names.count("x-mesh-worker") == 1 and answer.header("x-mesh-worker").startswith("12D3")


def test_cookies_stay_on_their_lines(raw, ingress):
    answer = only_answer(exchange(ingress, "many-cookies"))
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize("name", CUT)
def test_a_cut_answer_is_never_a_short_body(raw, ingress, name):
    data = exchange(ingress, name)
    try:
        found, _ = wire.answers(data, ["GET"], True)
    except (wire.Malformed, ValueError):
        return
    assert not found or found[0].status == 502, data


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_502(raw, ingress, name):
    answer = only_answer(exchange(ingress, name))
    assert (answer.status, answer.header("x-mesh-error")) == (502, "broken"), answer
    assert b"evil" not in answer.body


@pytest.mark.parametrize("name", [*EXTRA, "head-with-body", "101-unasked"])
def test_an_answer_that_nobody_asked_for_reaches_nobody(raw, ingress, name):
    """Each time a request for something else follows, on whatever connection the mesh has kept."""
    method = "HEAD" if name.startswith("head") else "GET"
    for number in range(10):
        assert b"evil" not in exchange(ingress, name, method)
        answer = only_answer(exchange(ingress, f"plain/{name}/{number}"))
        assert (answer.status, answer.body) == (200, f"GET /plain/{name}/{number} HTTP/1.1".encode())


def test_a_folded_answer_is_refused_or_unfolded(raw, ingress):
    answer = only_answer(exchange(ingress, "folded"))
    assert answer.status == 502 or (answer.status, answer.body, answer.header("x")) == (200, b"four", "a b")
