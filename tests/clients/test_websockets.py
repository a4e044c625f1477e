"""WebSockets by the library of that name: what either end says arrives at the other as it was said."""

import contextlib
import http
import os
import threading
from socket import SHUT_RDWR

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

BIG = 8 << 20


class Server:
    """An echo server that also closes, refuses and shuts as the path says."""

    def __init__(self):
        self.closed = {}
        self.heard = threading.Condition()
        self.server = serve(
            self.talk, "127.0.0.1", 0, process_request=self.check, select_subprotocol=self.choose, max_size=BIG * 2
        )
        self.port = self.server.socket.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def check(connection, request):
        if request.path.startswith("/forbidden"):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not for you\n")
        return None

    @staticmethod
    def choose(_, offered):
        return next((protocol for protocol in ("chat.v2", "chat.v1") if protocol in offered), None)

    def talk(self, connection):
        words = connection.request.path.strip("/").split("/")
        try:
            if words[0] == "close":
                connection.close(int(words[1]), words[2])
            elif words[0] == "reset":
                connection.socket.close()
            elif words[0] == "headers":
                connection.send("\n".join(f"{name}: {value}" for name, value in connection.request.headers.raw_items()))
            else:
                for message in connection:
                    connection.send(message)
        except ConnectionClosed:
            pass
        with self.heard:
            received = connection.protocol.close_rcvd
            self.closed[connection.request.path] = received and (received.code, received.reason)
            self.heard.notify_all()

    def closed_with(self, path):
        with self.heard:
            assert self.heard.wait_for(lambda: path in self.closed, 10), f"{path} did not close"
            return self.closed[path]


@pytest.fixture(scope="module")
def server(mesh):
    server = Server()
    mesh.offer("ws", f"http://127.0.0.1:{server.port}")
    yield server
    server.server.shutdown()


@pytest.fixture
def dial(server, ingress):
    def dial(path="/", **options):
        options = {"compression": None, "max_size": BIG * 2, "proxy": None, **options}
        return connect(ingress.url("ws", path).replace("http", "ws", 1), **options)

    return dial


def test_messages_come_back_as_they_were_sent(dial):
    with dial() as socket:
        for message in ("text", b"binary", "", b"", "umläute ☃", bytes(range(256))):
            socket.send(message)
            assert socket.recv(10) == message


def test_big_messages_pass_both_ways(dial):
    message = os.urandom(BIG)
    with dial() as socket:
        socket.send(message)
        assert socket.recv(60) == message


def test_both_ends_may_talk_at_once(dial):
    messages = [os.urandom(65536) for _ in range(64)]
    with dial() as socket:
        sender = threading.Thread(target=lambda: [socket.send(message) for message in messages])
        sender.start()
        assert [socket.recv(30) for _ in messages] == messages
        sender.join()


def test_a_message_in_fragments_arrives_as_one(dial):
    with dial() as socket:
        socket.send(iter(["one ", "two ", "three"]))
        assert socket.recv(10) == "one two three"


def test_pings_are_answered_by_the_other_end(dial):
    with dial() as socket:
        for payload in (b"", b"payload"):
            assert socket.ping(payload).wait(10)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4001, 4999])
def test_the_servers_close_code_arrives_untouched(dial, code):
    with dial(f"/close/{code}/because") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "because")


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
def test_the_clients_close_code_arrives_untouched(dial, server, ingress, code):
    path = f"/echo/{code}/{ingress.hops}"
    with dial(path) as socket:
        socket.close(code, "enough")
    assert server.closed_with(path) == (code, "enough")


def test_a_server_that_breaks_off_is_seen_as_broken_off(dial):
    with dial("/reset") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is None, "no close frame was invented"


def test_a_client_that_breaks_off_is_seen_as_broken_off(dial, server, ingress):
    path = f"/echo/broken/{ingress.hops}"
    with dial(path) as socket:
        socket.socket.shutdown(SHUT_RDWR)
    assert server.closed_with(path) is None


def test_a_subprotocol_is_agreed(dial):
    with dial(subprotocols=["chat.v1", "chat.v2"]) as socket:
        assert socket.subprotocol == "chat.v2"


def test_messages_are_deflated_end_to_end(dial):
    with dial(compression="deflate") as socket:
        assert any(extension.name == "permessage-deflate" for extension in socket.protocol.extensions)
        message = "again and again " * 100_000
        socket.send(message)
        assert socket.recv(30) == message


def test_a_refusal_passes_with_its_body(dial):
    """Often: the body raced with the end of what the client would have sent, had it been let in."""
    for _ in range(50):
        with pytest.raises(InvalidStatus) as refused:
            dial("/forbidden")
        assert refused.value.response.status_code == 403
        assert refused.value.response.body == b"not for you\n"
        assert "x-mesh-error" not in refused.value.response.headers


def test_a_refusal_of_the_mesh_is_no_switch(ingress):
    with pytest.raises(InvalidStatus) as refused:
        connect(ingress.url("nobody").replace("http", "ws", 1), proxy=None)
    assert refused.value.response.status_code == 503


def test_the_server_is_told_who_asks_and_nothing_of_the_mesh(dial):
    with dial("/headers", additional_headers={"x-mesh-hop": "0", "x-mesh-tunnel": "evil", "x-own": "kept"}) as socket:
        lines = [line.lower() for line in socket.recv(10).splitlines()]
    assert "x-own: kept" in lines and "x-forwarded-for: 127.0.0.1" in lines
    assert not [line for line in lines if line.startswith("x-mesh-")]
    assert len([line for line in lines if line.startswith("sec-websocket-key")]) == 1


def test_two_hundred_sockets_at_once(dial):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dial()) for _ in range(200)]
        for number, socket in enumerate(sockets):
            socket.send(f"message {number}")
        assert [socket.recv(10) for socket in sockets] == [f"message {number}" for number in range(200)]
