"""A client that goes away: the backend hears of it soon, before its first byte too, through one and two nodes."""

import socket
import time

import h2.config
import h2.connection
import h2.events
import pytest

ROUNDS = 10


@pytest.fixture(params=["uvicorn", "node"])
def backend(request, backends):
    return backends(request.param)


def begin_http1(ingress, service, path, case):
    stream = socket.create_connection((ingress.host, ingress.port), 10)
    stream.sendall(f"GET /api/service/{service}{path} HTTP/1.1\r\nHost: mesh\r\nx-case: {case}\r\n\r\n".encode())
    return stream


def begin_post(ingress, service, path, case):
    """A request whose body is only half there when its client goes."""
    stream = socket.create_connection((ingress.host, ingress.port), 10)
    head = f"POST /api/service/{service}{path} HTTP/1.1\r\nHost: mesh\r\nx-case: {case}\r\nContent-Length: 2000\r\n\r\n"
    stream.sendall(head.encode() + b"h" * 1000)
    return stream


def lag(backend, begin, ingress, path, case, until_data=False):
    """Seconds from the client's end until the backend saw it."""
    stream = begin(ingress, backend.name, path, case)
    backend.wait_for(lambda record: record["event"] == "head" and record["case"] == case, f"the head of {case}")
    if until_data:
        received = b""
        while b"first" not in received:
            received += stream.recv(65536)
    at = time.monotonic()
    stream.close()
    return backend.wait_for(lambda record: record["event"] == "gone" and record["case"] == case, f"the end of {case}")["at"] - at


SITUATIONS = {
    "before_the_first_byte": (begin_http1, "/hang", False),
    "in_the_middle_of_the_answer": (begin_http1, "/drip", True),
    "in_the_middle_of_the_upload": (begin_post, "/sink", False),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_client_that_goes_is_missed_at_the_backend(backend, ingress, figure, situation):
    begin, path, until_data = SITUATIONS[situation]
    lags = [
        lag(backend, begin, ingress, path, f"{situation}-{ingress.hops}-{number}", until_data) for number in range(ROUNDS)
    ]
    name = situation.replace("_", " ")
    figure(f"cancel {name}, {backend.name}, {ingress.hops} hop(s): worst of {ROUNDS} {max(lags) * 1000:.1f} ms (goal 100)")
    assert max(lags) < 0.5


def test_a_reset_stream_is_missed_though_its_connection_lives(backend, ingress, figure):
    stream = socket.create_connection((ingress.host, ingress.port), 10)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    lags = []
    for number in range(ROUNDS):
        case = f"reset-{ingress.hops}-{number}"
        identifier = client.get_next_available_stream_id()
        path = f"/api/service/{backend.name}/hang"
        head = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "mesh"), ("x-case", case)]
        client.send_headers(identifier, head, end_stream=True)
        stream.sendall(client.data_to_send())
        backend.wait_for(lambda record, case=case: record["event"] == "head" and record["case"] == case, case)
        at = time.monotonic()
        client.reset_stream(identifier, 8)
        stream.sendall(client.data_to_send())
        gone = backend.wait_for(lambda record, case=case: record["event"] == "gone" and record["case"] == case, case)
        lags.append(gone["at"] - at)
    figure(f"cancel by RST_STREAM, {backend.name}, {ingress.hops} hop(s): worst of {ROUNDS} {max(lags) * 1000:.1f} ms (goal 100)")
    assert max(lags) < 0.5
    identifier = client.get_next_available_stream_id()
    head = [(":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", "mesh")]
    client.send_headers(identifier, head, end_stream=True)
    stream.sendall(client.data_to_send())
    answered = False
    while not answered:
        events = client.receive_data(stream.recv(65536))
        answered = any(isinstance(event, h2.events.ResponseReceived) for event in events)
    stream.close()
