"""nginx, uvicorn, Node and hyper: methods, statuses and bodies come through as they are, each alone and in a row."""

import http.client
import itertools
import socket

import pytest

BACKENDS = ["nginx", "uvicorn", "node", "hyper"]
STATUSES = [200, 201, 204, 205, 206, 226, 301, 304, 400, 401, 404, 409, 410, 418, 422, 429, 451, 500, 501, 503, 504, 507, 599]
WITHOUT_BODY = (204, 205, 304)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@pytest.fixture(params=BACKENDS)
def backend(request, backends):
    return backends(request.param)


@pytest.fixture
def connection(ingress):
    connection = http.client.HTTPConnection(ingress.host, ingress.port, timeout=30)
    yield connection
    connection.close()


def ask(connection, service, method, path, body=None, headers=None, **options):
    connection.request(method, f"/api/service/{service}{path}", body, headers or {}, **options)
    answer = connection.getresponse()
    return answer, answer.read()


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", ["uvicorn", "node", "hyper"])
def test_every_status_passes_and_the_connection_stays_in_step(name, backends, connection, status):
    backends(name)
    answer, body = ask(connection, name, "GET", f"/status/{status}")
    assert answer.status == status and answer.getheader("x-mesh-error") is None
    assert body == (b"" if status in WITHOUT_BODY else b"status\n")
    answer, body = ask(connection, name, "HEAD", f"/status/{status}")
    assert (answer.status, body) == (status, b"")
    answer, body = ask(connection, name, "GET", "/after")
    assert (answer.status, body) == (200, b"GET /after 0\n")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["nothing", "length", "empty", "chunked"])
def test_every_method_brings_its_body(backend, connection, method, how):
    headers, options, length = {"x-case": f"{method}-{how}-{connection.port}"}, {}, 3000
    body = b"b" * length
    if how == "nothing":
        body, length = None, 0
    elif how == "empty":
        body, length, headers["content-length"] = b"", 0, "0"
    elif how == "chunked":
        body, options, headers["transfer-encoding"] = [body[:1000], body[1000:]], {"encode_chunked": True}, "chunked"
    answer, received = ask(connection, backend.name, method, "/method", body, headers, **options)
    assert answer.status == 200
    if method == "HEAD":
        assert received == b""
        seen = backend.wait_for(lambda record: record["event"] == "request" and record["case"] == headers["x-case"], "HEAD")
        assert len(seen["body"]) == min(length, 1024) or backend.name == "nginx"
    elif backend.name == "nginx":
        assert received.startswith(f"{method} /method ".encode())
        seen = backend.wait_for(lambda record: record["event"] == "request" and record["case"] == headers["x-case"], method)
        assert len(seen["body"]) == length
    else:
        assert received == f"{method} /method {length}\n".encode()


def test_a_body_comes_back_byte_for_byte(backends, connection):
    body = bytes(range(256)) * 200
    for name in ("uvicorn", "node", "hyper"):
        backends(name)
        answer, received = ask(connection, name, "POST", "/echo", body)
        assert answer.status == 200 and received == body


@pytest.mark.parametrize("name", ["uvicorn", "node"])
def test_chunks_arrive(backends, connection, name):
    backends(name)
    answer, body = ask(connection, name, "GET", "/chunked")
    assert body == b"one,two,three" and answer.getheader("content-length") is None


def test_a_body_that_ends_with_its_connection_is_whole(backends, connection):
    backends("node")
    for _ in range(20):
        assert ask(connection, "node", "GET", "/close")[1] == b"until the end"


def test_an_empty_body_is_empty(backend, connection):
    answer, body = ask(connection, backend.name, "GET", "/empty")
    assert (answer.status, body) == (200, b"")


@pytest.mark.parametrize("size", [1000, 8000, 30_000, 60_000])
@pytest.mark.parametrize("name", ["nginx", "uvicorn", "node", "hyper"])
def test_a_large_head_arrives(backends, connection, name, size):
    backends(name)
    pieces = [f"{'v' * (size // 4)}" for _ in range(4)]
    headers = {f"x-large-{number}": piece for number, piece in enumerate(pieces)}
    answer, _ = ask(connection, name, "GET", "/large", None, headers)
    # nginx has limits of its own for one line, and answers for itself.
    assert answer.status == 200 and answer.getheader("x-mesh-error") is None


@pytest.mark.parametrize("name", ["uvicorn", "node"])
@pytest.mark.parametrize("size", [1000, 16_000, 50_000])
def test_a_large_head_of_an_answer_arrives(backends, ingress, name, size):
    backends(name)
    with socket.create_connection((ingress.host, ingress.port), 20) as stream:
        stream.sendall(f"GET /api/service/{name}/headers/{size} HTTP/1.1\r\nHost: mesh\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: stream.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200") and b"v" * size in received


def test_answers_on_one_connection_stay_in_order(backends, connection):
    for name in BACKENDS:
        backends(name)
    for number, name in enumerate(itertools.islice(itertools.cycle(BACKENDS), 200)):
        answer, body = ask(connection, name, "POST", f"/n/{number}", b"x" * number)
        assert answer.status == 200 and f"POST /n/{number} ".encode() in body


def test_an_answer_before_the_end_of_the_request_arrives(backends, ingress):
    """The service answers at once; the client still sends."""
    for name in ("uvicorn", "node"):
        backends(name)
        with socket.create_connection((ingress.host, ingress.port), 20) as stream:
            head = f"POST /api/service/{name}/early HTTP/1.1\r\nHost: mesh\r\nContent-Length: 1000000\r\n\r\n"
            stream.sendall(head.encode() + b"x" * 1000)
            received = b""
            while b"early\n" not in received:
                piece = stream.recv(65536)
                assert piece, received
                received += piece
        assert received.startswith(b"HTTP/1.1 200")
