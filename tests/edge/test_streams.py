"""Bodies stream both ways within bounds, events pass as they come, WebSockets are tunnelled."""

import contextlib
import hashlib
import json
import os
import select
import time

import pytest
from support.client import echo, pieces
from support.processes import eventually
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

MIB = 1 << 20
BIG = 100 * MIB
# What sockets, HTTP and a runtime may hold; far below what is sent.
HELD = 32 * MIB


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_100_mib_pass_upwards_without_being_held(standing, figure, is_chunked):
    edge = standing.edge
    flow, digest = pieces(BIG)
    edge.forget_peak()
    before = edge.resident_peak()
    headers = [] if is_chunked else [("content-length", str(BIG))]
    answer = edge.post(echo(), flow, headers, timeout=60)
    grown = edge.resident_peak() - before
    assert answer.status == 200, answer
    assert answer.json()["length"] == BIG
    assert answer.json()["sha256"] == digest.hexdigest()
    how = "chunked" if is_chunked else "of known length"
    figure(f"{edge.kind}: upload of 100 MiB, {how}: {answer.seconds:.2f} s, resident {grown / MIB:+.1f} MiB")
    assert grown < HELD


def test_100_mib_pass_downwards_without_being_held(standing, figure):
    edge = standing.edge
    edge.forget_peak()
    before = edge.resident_peak()
    began, length, digest = time.monotonic(), 0, hashlib.sha256()
    connection, response = edge.open("GET", f"/api/service/download/{BIG}")
    while piece := response.read(1 << 16):
        length += len(piece)
        digest.update(piece)
    connection.close()
    grown = edge.resident_peak() - before
    assert (length, digest.digest()) == (BIG, hashlib.sha256(bytes(BIG)).digest())
    figure(f"{edge.kind}: download of 100 MiB: {time.monotonic() - began:.2f} s, resident {grown / MIB:+.1f} MiB")
    assert grown < HELD


def test_a_node_that_reads_slowly_slows_the_client(standing):
    target = f"/api/service/stalled/{echo()[1:]}"
    connection = standing.edge.send("POST", target, [("content-length", str(BIG))], body=iter([b"x" * MIB]))
    stream, sent = connection.sock, MIB
    stream.setblocking(False)
    # No room for a second: whoever is on the way is full.
    while sent < BIG and select.select([], [stream], [], 1)[1]:
        with contextlib.suppress(BlockingIOError):
            sent += stream.send(bytes(min(1 << 18, BIG - sent)))
    [request] = standing.mesh.arrived(target)
    assert sent < HELD, "the edge took what the node did not read"
    request.node.call(request.go.set)
    stream.setblocking(True)
    while sent < BIG:
        sent += stream.send(bytes(min(MIB, BIG - sent)))
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["length"]) == (200, BIG)
    connection.close()


def test_a_client_that_reads_slowly_slows_the_node(standing):
    target = f"/api/service/download/{BIG}?{echo()[1:]}"
    connection, response = standing.edge.open("GET", target)
    [request] = standing.mesh.arrived(target)
    last = [(-1, 0.0)]

    def is_full():
        sent, since = last[0]
        if request.sent != sent:
            last[0] = (request.sent, time.monotonic())
        return request.sent == sent and time.monotonic() - since > 1

    eventually(is_full, 20, "a pause of the node")
    assert request.sent < HELD, "the edge took what the client did not read"
    assert len(response.read()) == BIG
    connection.close()


def test_uploads_arrive_while_they_are_sent(standing):
    """The first piece is there before the last one is sent."""
    target = echo()

    def flow():
        yield b"first"
        eventually(lambda: any(request.length == 5 for request in standing.mesh.arrived(target)), 10, "the first piece")
        yield b"second"

    assert standing.edge.post(target, flow()).json()["length"] == 11


def test_an_upload_that_is_broken_off_breaks_off_at_the_node(standing):
    target = echo()
    connection = standing.edge.send("POST", target, [("content-length", str(BIG))], body=iter([b"x" * MIB]))
    eventually(lambda: any(request.length for request in standing.mesh.arrived(target)), 10, "the first piece")
    connection.close()
    [request] = standing.mesh.arrived(target)
    eventually(lambda: request.is_gone, 5, "the end of the upload")
    assert not request.is_whole


def test_events_pass_as_they_come(standing, figure):
    delays = []
    connection, response = standing.edge.open("GET", "/api/service/events/50/10")
    assert response.getheader("content-type") == "text/event-stream"
    while piece := response.read1(1 << 16):
        now = time.monotonic()
        delays += [now - float(line[6:]) for line in piece.decode().splitlines() if line.startswith("data: ")]
    connection.close()
    delays.sort()
    figure(f"{standing.edge.kind}: delay of an event: median {delays[25] * 1000:.1f} ms, worst {delays[-1] * 1000:.1f} ms")
    assert len(delays) == 50
    assert delays[45] < 0.05


def test_who_stops_listening_ends_the_stream_at_the_node(standing):
    target = f"/api/service/events/100000/20?{echo()[1:]}"
    connection, response = standing.edge.open("GET", target)
    assert response.read1(10)
    response.close()
    connection.close()
    [request] = standing.mesh.arrived(target)
    eventually(lambda: request.is_gone, 5, "the end of the stream")


@pytest.fixture
def dial(standing):
    def dial(path="", **options):
        url = f"ws://{standing.edge.authority}/api/service/socket/{path}"
        return connect(url, **{"compression": None, "max_size": 16 * MIB, "proxy": None, **options})

    return dial


def test_messages_come_back_as_they_were_sent(dial):
    with dial() as socket:
        for message in ("text", b"binary", "", "umläute ☃", bytes(range(256)), os.urandom(900_000)):
            socket.send(message)
            assert socket.recv(10) == message


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_close_codes_of_the_service_arrive(dial, code):
    with dial() as socket:
        socket.send(f"close {code} for a reason")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "for a reason")


def test_the_close_code_of_the_client_arrives(dial, standing):
    mark = echo()[1:]
    with dial(mark) as socket:
        socket.close(4001, "enough")
    [request] = standing.mesh.arrived(f"/api/service/socket/{mark}")
    assert eventually(lambda: getattr(request, "close_code", None), 10, "the close") == 4001


def test_the_handshake_keeps_its_headers_and_is_signed(dial):
    with dial(subprotocols=["chat", "other"], additional_headers={"x-own": "kept", "x-forwarded-for": "6.6.6.6"}) as socket:
        assert socket.subprotocol == "chat"
        assert socket.response.headers["x-mesh-worker"]
        socket.send("headers")
        seen = dict(json.loads(socket.recv(10)))
    assert seen["x-own"] == "kept"
    assert seen["x-forwarded-for"] != "6.6.6.6"
    assert seen["x-mesh-edge"].startswith("kid=k1,")


def test_a_websocket_goes_to_another_node_when_one_is_dead(launch, mesh):
    edge = launch(mesh.summary())
    assert edge.get(echo()).status == 200
    mesh[0].kill()
    mesh[1].kill()
    for _ in range(4):
        with connect(f"ws://{edge.authority}/api/service/socket/x", proxy=None) as socket:
            socket.send("text")
            assert socket.recv(10) == "text"
