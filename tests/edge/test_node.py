"""The fake node itself: it refuses what a node refuses, and its faults are those that its names say."""

import json
import socket

import pytest
from support import services
from support.client import Client
from support.exchange import Request
from support.fakes import BlackHole, Refusing, Silent
from support.signature import ANOTHER_SECRET, sign


@pytest.fixture
def node(make_mesh):
    return make_mesh(1)[0]


@pytest.fixture
def client(node):
    return Client(f"127.0.0.1:{node.port}")


def signed(client, node, target, method="GET", headers=(), at=0, **options):
    host = ("host", client.authority)
    request = Request(method, target, [host, *headers])
    return [host, *headers, ("x-mesh-edge", sign(request, node.now() + at, **options))]


def test_what_is_signed_is_served(client, node):
    target = "/api/service/echo/a%2Fb//c?x=%20+"
    answer = client.post(target, b"body", signed(client, node, target, "POST"))
    assert answer.status == 200
    assert answer.header("x-mesh-worker") == node.id
    assert answer.json()["target"] == target
    assert answer.json()["length"] == 4
    assert len(node.deliveries(target)) == 1


def test_the_signature_covers_where_it_goes(client, node):
    for headers in ([], signed(client, node, "/api/service/echo/other"), signed(client, node, "/api/service/echo/", secret=ANOTHER_SECRET)):
        answer = client.get("/api/service/echo/", headers)
        assert (answer.status, answer.header("x-mesh-error"), answer.header("x-mesh-retry")) == (403, "edge_signature", "1")


def test_a_nonce_is_good_for_once(client, node):
    headers = signed(client, node, "/api/service/echo/")
    assert [client.get("/api/service/echo/", headers).status for _ in range(2)] == [200, 403]
    assert node.verifier.repeated == 1


def test_a_clock_that_is_off_is_told_from_a_bad_signature(client, node):
    node.skew = -500
    answer = client.get("/api/service/echo/", signed(client, node, "/api/service/echo/", at=500))
    assert (answer.status, answer.header("x-mesh-error")) == (403, "edge_clock")
    assert client.get("/api/service/echo/", signed(client, node, "/api/service/echo/")).status == 200


def test_a_killed_node_refuses_and_comes_back(client, node):
    node.kill()
    with pytest.raises(ConnectionRefusedError):
        client.get("/health")
    node.revive()
    assert client.get("/health").status == 200


def test_a_frozen_node_accepts_and_says_nothing(client, node):
    node.freeze()
    with pytest.raises(TimeoutError):
        client.get("/health", timeout=0.3)
    node.thaw()
    assert client.get("/health").status == 200


def test_faults_are_what_they_are_called(client, node):
    node.gateway = services.answering(521)
    assert client.get("/health").status == 521
    node.gateway = services.lost
    with pytest.raises(ConnectionError):
        client.get("/health")


def test_the_live_summary_is_what_the_test_says(client, node):
    assert json.loads(client.get("/.mesh/summary", signed(client, node, "/.mesh/summary")).body)["nodes"] == [node.entry]
    node.summary = b"garbage"
    assert client.get("/.mesh/summary", signed(client, node, "/.mesh/summary")).body == b"garbage"


def test_dead_ports_are_dead_in_their_ways():
    dead, hole, silent = Refusing(), BlackHole(), Silent()
    at = [(each, int(each.entry["url"].rsplit(":", 1)[1])) for each in (dead, hole, silent)]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", at[0][1]), 1)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", at[1][1]), 0.2)
    with socket.create_connection(("127.0.0.1", at[2][1]), 1) as stream, pytest.raises(TimeoutError):
        stream.settimeout(0.2)
        stream.recv(1)
    for each, _ in at:
        each.stop()
