"""What an edge forwards, what it changes on the way, and what it answers itself."""

import gzip

import pytest
from support import services
from support.client import echo
from support.edges import ADMIN_TOKEN
from support.expect import own_error
from support.fakes import Refusing
from support.processes import eventually
from support.signature import claim_of

# What a client may not say of itself, or what concerns one connection only.
SPOOFED = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "gopher",
    "x-forwarded-port": "666",
    "x-forwarded-prefix": "/evil",
    "forwarded": "for=6.6.6.6",
    "x-real-ip": "6.6.6.6",
    "true-client-ip": "6.6.6.6",
    "cf-connecting-ipv6": "::6",
    "cf-ipcountry": "XX",
    "cf-ray": "666",
    "cf-visitor": "{}",
    "cf-worker": "evil.example",
    "x-mesh-hop": "3",
    "x-mesh-load": "0",
    "x-mesh-tunnel": "websocket",
    "x-mesh-retry": "1",
    "x-mesh-error": "saturated",
    "x-mesh-attempts": "9",
    "x-mesh-tries": "9",
    "x-mesh-anything": "1",
    "keep-alive": "timeout=5",
    "proxy-connection": "keep-alive",
    "proxy-authorization": "Basic eA==",
    "te": "trailers, deflate",
    "x-nominated": "1",
    "connection": "close, X-Nominated",
}
KEPT = {
    "authorization": "Bearer of the service",
    "cookie": "a=1; b=2",
    "accept": "*/*;q=0.1",
    "accept-encoding": "zstd, x-odd",
    "user-agent": "the client",
    "range": "bytes=0-9",
    "if-none-match": '"1"',
    "origin": "https://app.example",
    "referer": "https://app.example/x",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "x-own": "kept, as it is",
    "x-mesh-version": "^2",
    "x-mesh-worker": "12D3KooWx",
    "x-mesh-explain": "1",
}
TARGETS = [
    "/api/service/echo",
    "/api/service/echo/",
    "/api/service/echo//two///three/",
    "/api/service/echo/a%2Fb%2fc%20d%C3%A9",
    "/api/service/echo/x?",
    "/api/service/echo/x?a=%20&b=+&c=a%2Fb&&d==",
    "/api/service/echo/x?q=%E2%98%83&empty=",
    "/api/service/echo/:@!$&'()*,;=-._~?/?:@!$&()*,;=",
    "/api/service/echo/%25%32%66",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_path_and_the_query_pass_as_they_came(standing, target):
    answer = standing.edge.get(target)
    assert answer.status == 200
    # An empty query is none for a Worker.
    assert answer.json()["target"] in {target, target.removesuffix("?")}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_and_bodies_pass(standing, method):
    body = None if method in ("GET", "OPTIONS") else b"the body"
    answer = standing.edge.ask(method, echo(), body=body)
    assert answer.json()["method"] == method
    assert answer.json()["length"] == len(body or b"")


def test_what_a_client_says_of_itself_does_not_pass(standing):
    answer = standing.edge.get(echo(), SPOOFED.items())
    assert answer.status == 200
    seen = dict(answer.json()["headers"])
    set_by_the_edge = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
    # The edge's own connection to the node, and what the runtime says of a Worker.
    of_the_connection = {"connection", "te", "cf-worker"}
    arrived = {name: seen[name] for name in SPOOFED if name in seen}
    assert arrived.keys() <= set_by_the_edge | of_the_connection
    assert "x-nominated" not in str(arrived.get("connection", "")).lower()
    assert arrived.get("cf-worker") != SPOOFED["cf-worker"]
    assert all(arrived[name] != SPOOFED[name] for name in set_by_the_edge)
    assert "deflate" not in arrived.get("te", "")
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == standing.edge.authority


def test_what_was_an_edges_already_is_a_loop(standing):
    claim = [("x-mesh-edge", "kid=k1,t=1,n=1,ip=6.6.6.6,sig=00")]
    target = echo()
    own_error(standing.edge.get(target, claim), 508, "loop")
    assert standing.mesh.arrived(target) == []
    health = standing.edge.get("/health", claim)
    assert (health.status, health.header("x-mesh-tries")) == (200, "0")


def test_the_address_of_the_client_is_signed(standing):
    target = echo()
    answer = standing.edge.get(target)
    [request] = standing.mesh.arrived(target)
    assert answer.seen("x-forwarded-for") == [claim_of(request)["ip"]]
    assert claim_of(request)["ip"] == "127.0.0.1"


@pytest.mark.parametrize("given", ["192.0.2.9", "2001:db8::9"])
def test_only_cloudflare_can_tell_another_address(standing, given):
    """It sets `cf-connecting-ip` itself, whatever a client sends; no other edge believes the header."""
    target = echo()
    answer = standing.edge.get(target, [("cf-connecting-ip", given)])
    [request] = standing.mesh.arrived(target)
    assert claim_of(request)["ip"] == (given if standing.edge.kind == "worker" else "127.0.0.1")
    assert answer.seen("x-forwarded-for") == [claim_of(request)["ip"]]
    assert answer.seen("cf-connecting-ip") == []


def test_what_is_of_the_request_passes(standing):
    # Cloudflare's runtime sets this one anew, since it converts answers to what the client accepts.
    kept = {name: [value] for name, value in KEPT.items() if (standing.edge.kind, name) != ("worker", "accept-encoding")}
    answer = standing.edge.get(echo(), KEPT.items())
    assert {name: answer.seen(name) for name in kept} == kept


def test_the_host_is_that_of_the_nodes_url(standing):
    answer = standing.edge.get(echo(), [("host", "public.example")])
    assert answer.seen("host") == [standing.mesh.by_id(answer.json()["node"]).url.removeprefix("http://")]
    assert answer.seen("x-forwarded-host") == ["public.example"]


def test_expectations_end_at_the_edge(standing):
    answer = standing.edge.post(echo(), b"body", [("expect", "100-continue")])
    assert (answer.status, answer.seen("expect")) == (200, [])


def test_a_service_may_be_named_by_a_header(standing):
    answer = standing.edge.post("/any/path?x=1", b"body", [("x-mesh-service", "echo")])
    assert answer.status == 200
    assert answer.json()["target"] == "/any/path?x=1"
    assert answer.seen("x-mesh-service") == ["echo"]


def test_a_header_that_names_a_service_comes_before_the_paths_of_the_edge(standing):
    for path in ("/health", "/api/admin/workers", "/"):
        answer = standing.edge.get(path, [("x-mesh-service", "echo")])
        assert (answer.status, answer.json()["target"]) == (200, path)


def test_a_client_cannot_nominate_what_others_decide_by(standing):
    headers = [("connection", "x-mesh-service, authorization, host"), ("x-mesh-service", "echo"), ("authorization", "Bearer x")]
    answer = standing.edge.get("/nominated", headers)
    assert (answer.status, answer.seen("authorization")) == (200, ["Bearer x"])


@pytest.mark.parametrize("name", ["x-mesh-service", "x-mesh-version", "x-mesh-worker"])
def test_what_is_signed_may_be_there_once(standing, name):
    """The nodes could not say which one was signed; that is no fault of theirs, and they are not left alone for it."""
    answer = standing.edge.get(echo(), [(name, "echo"), (name, "echo")])
    assert answer.status in (200, 400, 404)
    assert {standing.edge.get(echo()).tries for _ in range(10)} == {1}


def test_headers_of_one_connection_end_at_the_edge(standing):
    answer = standing.edge.get("/api/service/hops/x")
    assert answer.header("x-own") == "kept"
    assert {name for name, _ in answer.headers} & {"x-of-this-hop", "keep-alive", "proxy-authenticate"} == set()


def test_the_answer_says_who_served_and_how_many_were_tried(standing):
    answer = standing.edge.get(echo())
    assert answer.header("x-mesh-worker") == answer.json()["node"]
    assert (answer.header("x-mesh-attempts"), answer.header("x-mesh-tries")) == ("1", "1")


def test_redirects_and_cookies_are_for_the_client(standing):
    answer = standing.edge.get("/api/service/moved/x")
    assert (answer.status, answer.header("location")) == (302, "http://elsewhere.invalid/x?y#z")
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2, c; HttpOnly"]


@pytest.mark.parametrize("accepted", [None, "gzip"])
def test_compressed_bodies_pass_untouched(standing, accepted):
    passes_packed(standing.edge, accepted)


def test_cloudflares_runtime_alone_unpacks_what_the_client_does_not_accept(standing):
    if standing.edge.kind == "worker":
        answer = standing.edge.get("/api/service/packed/x", [("accept-encoding", "identity")])
        assert (answer.header("content-encoding"), answer.body) == (None, gzip.decompress(services.PACKED))
    else:
        passes_packed(standing.edge, "identity")


def passes_packed(edge, accepted):
    answer = edge.get("/api/service/packed/x", [("accept-encoding", accepted)] if accepted else [])
    assert answer.header("content-encoding") == "gzip"
    assert answer.body == services.PACKED
    assert gzip.decompress(answer.body).startswith(b"packed by the service")


def test_compressed_uploads_pass_untouched(standing):
    answer = standing.edge.post(echo(), services.PACKED, [("content-encoding", "gzip")])
    assert answer.json()["length"] == len(services.PACKED)
    assert answer.seen("content-encoding") == ["gzip"]


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_pass(standing, status):
    target = f"/api/service/status/{status}/x"
    for method in ("GET", "POST"):
        answer = standing.edge.ask(method, target, body=b"" if method == "POST" else None)
        assert (answer.status, answer.body, answer.header("x-own")) == (status, b"", "kept")


def test_head_has_the_head_alone(standing):
    answer = standing.edge.ask("HEAD", "/api/service/status/200/x")
    assert (answer.status, answer.body, answer.header("x-own")) == (200, b"", "kept")
    assert answer.header("content-length") == str(len(b"said by the service"))


def test_the_length_of_a_body_stays_known(standing):
    assert standing.edge.get("/api/service/download/1000000").header("content-length") == "1000000"
    answer = standing.edge.post(echo(), b"x" * 1000)
    assert (answer.seen("content-length"), answer.seen("transfer-encoding")) == (["1000"], [])


def test_a_preflight_is_the_services_affair(standing):
    headers = [("origin", "https://app.example"), ("access-control-request-method", "PUT")]
    answer = standing.edge.ask("OPTIONS", "/api/service/preflight/x", headers)
    assert (answer.status, answer.header("access-control-allow-origin")) == (204, "https://app.example")
    assert answer.header("access-control-allow-methods") == "PUT"


def test_services_are_listed_by_a_node(standing):
    answer = standing.edge.get("/api/services")
    assert (answer.status, answer.json(), answer.header("etag")) == (200, services.LISTED, '"1"')


def test_health_is_the_edges_own(launch):
    """Whatever the nodes do; in production probes must not count as the mesh's failures."""
    edge = launch(None)
    assert edge.get("/health").status == 200


UNKNOWN = ["/", "/api/service", "/api/serviceecho", "/api/services/x", "/api/servicesx", "/.mesh/summary", "/metrics", "/favicon.ico"]
UNKNOWN += ["/api/admin/leave", "/api/admin/local/services/x", "/api/admin/events", "/api/admin/workers/", "/healthz"]


@pytest.mark.parametrize("path", UNKNOWN)
def test_everything_else_is_not_found_and_asks_no_node(standing, path):
    before = sum(len(node.requests) for node in standing.mesh)
    answer = standing.edge.get(path, [("authorization", f"Bearer {ADMIN_TOKEN}")])
    own_error(answer, 404, "not_found")
    after = [request for node in standing.mesh for request in node.requests][before:]
    assert all(request.path != path or path == "/.mesh/summary" for request in after)


@pytest.mark.parametrize("path", ["/api/admin/workers", "/api/admin/services"])
def test_admin_is_for_who_shows_the_token(standing, path):
    edge, mesh = standing.edge, standing.mesh
    wrong = ["", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {ADMIN_TOKEN}x", f"Bearer {ADMIN_TOKEN[:-1]}"]
    for shown in (None, *wrong, f"Basic {ADMIN_TOKEN}", ADMIN_TOKEN):
        answer = edge.get(f"{path}?refused", [("authorization", shown)] if shown is not None else [])
        own_error(answer, 401, "unauthorized")
    assert mesh.deliveries(f"{path}?refused") == 0
    answer = edge.get(f"{path}?allowed", [("authorization", f"Bearer {ADMIN_TOKEN}")])
    assert answer.status == 200
    [request] = mesh.arrived(f"{path}?allowed")
    assert request.header("authorization") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_admin_is_for_reading(standing, method):
    target = "/api/admin/workers?written"
    own_error(standing.edge.ask(method, target, [("authorization", f"Bearer {ADMIN_TOKEN}")]), 405, "method")
    assert standing.mesh.deliveries(target) == 0


def test_admin_does_not_exist_without_a_token(launch, mesh):
    edge = launch(mesh.summary(), admin_token=None)
    for shown in ([], [("authorization", "Bearer ")], [("authorization", "Bearer undefined")]):
        own_error(edge.get("/api/admin/workers", shown), 404, "not_found")


def test_the_503_has_the_fields_of_a_nodes(launch, mesh):
    edge = launch(mesh.summary())
    assert edge.get(echo()).status == 200
    for node in mesh:
        node.kill()
    answer = edge.get(echo())
    own_error(answer, 503, "no_node")
    assert answer.header("retry-after") == "5"
    assert answer.header("content-type").startswith("application/json")
    said = answer.json()
    assert said["service"] == "echo"
    assert said["available_services"] == ["echo", "notes"]
    assert said["instances"] == []
    assert said["retry_after"] == 5
    assert said["tried"] == 3
    assert isinstance(said["suggestion"], str)
    assert said["suggestion"]
    assert not any(node.url.removeprefix("http://") in f"{answer.headers}{answer.body}" for node in mesh), "the URLs of nodes are not shown"
    head = edge.ask("HEAD", echo())
    assert (head.status, head.body) == (503, b"")


@pytest.mark.parametrize("kind", ["meshedge"], scope="session")
def test_who_is_told_to_end_drains_and_finishes(launch, mesh):
    edge = launch(mesh.summary())
    connection, response = edge.open("GET", "/api/service/events/100/20")
    assert response.read1(10)
    edge.process.popen.terminate()
    eventually(lambda: edge.get("/health").status == 503, what="the end of the health")
    assert response.read().count(b"data: ") >= 99
    connection.close()
    assert edge.process.popen.wait(10) == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_surely_started_nothing_says_so(launch, method):
    """The edge discovers first, and nobody answers."""
    dead = [Refusing() for _ in range(3)]
    summary = {"v": 1, "cluster": "it", "cluster_id": "5be1c09a77d0e213", "term": 1, "nodes": [each.entry for each in dead]}
    answer = launch(summary).ask(method, echo(), body=b"body" if method == "POST" else None)
    own_error(answer, 503, "no_node")
    if method == "POST":
        assert answer.header("x-mesh-retry") == "1"
    for each in dead:
        each.stop()


def test_a_service_named_by_a_header_is_named_in_the_503(launch):
    answer = launch(None).get("/x", [("x-mesh-service", "rag")])
    assert (answer.status, answer.json()["service"]) == (503, "rag")


def test_the_name_of_a_service_is_shown_as_text(launch):
    """Whatever a client writes there."""
    answer = launch(None).get('/api/service/a%22%3Cscript%3E/x')
    assert answer.status in (400, 404, 503)
    answer.json()
    assert answer.header("content-type").startswith("application/json")
