"""When an edge tries another node, and when it does not: nothing that may have been started is sent twice."""

import http.client

import pytest
from support import services
from support.client import echo, pieces
from support.expect import own_error
from support.fakes import unseen
from support.processes import eventually
from support.signature import ANOTHER_SECRET, Verifier

REPEATABLE = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
NEVER_DELIVERED = [521, 523, 525, 526, 530]
OF_A_GATEWAY = [500, 502, 503, 504, 520, 522, 524, 527, *NEVER_DELIVERED]
OTHERS = ["POST", "PATCH"]
BODY = b"a body of a known length " * 1000


@pytest.mark.parametrize("method", REPEATABLE)
@pytest.mark.parametrize("status", OF_A_GATEWAY)
def test_an_answer_of_a_gateway_is_not_the_nodes(standing, method, status):
    standing.mesh.fail_first(services.answering(status))
    target = echo()
    answer = standing.edge.ask(method, target, body=BODY if method == "PUT" else None)
    assert (answer.status, answer.tries) == (200, 2)
    assert standing.mesh.deliveries(target) == 2
    if method == "PUT":
        assert answer.json()["length"] == len(BODY)


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("status", NEVER_DELIVERED)
def test_what_a_gateway_surely_did_not_deliver_goes_elsewhere(standing, method, status):
    standing.mesh.fail_first(services.answering(status))
    target = echo()
    answer = standing.edge.ask(method, target, body=BODY)
    assert (answer.status, answer.tries) == (200, 2)
    assert answer.json()["length"] == len(BODY)
    assert standing.mesh.deliveries(target) == 2


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("status", sorted(set(OF_A_GATEWAY) - set(NEVER_DELIVERED)))
def test_what_a_gateway_may_have_delivered_is_not_sent_twice(standing, method, status):
    standing.mesh.fail_first(services.answering(status))
    target = echo()
    own_error(standing.edge.ask(method, target, body=BODY), 502, "broken")
    assert standing.mesh.deliveries(target) == 1


@pytest.mark.parametrize("method", REPEATABLE)
@pytest.mark.parametrize("fault", [services.lost, services.lost_at_once])
def test_a_connection_that_breaks_before_the_answer_is_no_answer(standing, method, fault):
    standing.mesh.fail_first(fault)
    target = echo()
    answer = standing.edge.ask(method, target, body=BODY if method == "PUT" else None)
    assert answer.status == 200
    # At the same node, when the connection was an old one, or at the next.
    assert standing.mesh.deliveries(target) == 2


def test_what_every_node_may_have_started_is_not_called_unstarted(standing):
    for node in standing.mesh:
        node.service = services.lost
    answer = standing.edge.get(echo())
    own_error(answer, 503, "no_node")
    assert answer.header("x-mesh-retry") is None
    assert (answer.tries, answer.header("retry-after")) == (4, "5")


@pytest.mark.parametrize("fault", [services.lost, services.lost_at_once])
@pytest.mark.parametrize("method", OTHERS)
def test_a_post_whose_connection_broke_is_not_sent_twice(standing, method, fault):
    standing.mesh.fail_first(fault)
    target = echo()
    own_error(standing.edge.ask(method, target, body=BODY), 502, "broken")
    assert standing.mesh.deliveries(target) == 1


@pytest.mark.parametrize("length", [300 << 10, None], ids=["300 KiB", "unknown"])
def test_a_put_whose_body_was_streamed_is_not_sent_twice(standing, length):
    standing.mesh.fail_first(services.lost)
    target = echo()
    body = b"x" * length if length else iter([b"some", b"thing"])
    own_error(standing.edge.ask("PUT", target, body=body), 502, "broken")
    assert standing.mesh.deliveries(target) == 1


def test_a_get_with_a_body_of_256_kib_is_repeated_with_it(standing):
    standing.mesh.fail_first(services.lost)
    target = echo()
    answer = standing.edge.ask("PUT", target, body=b"x" * (256 << 10))
    assert (answer.status, answer.json()["length"]) == (200, 256 << 10)
    assert standing.mesh.deliveries(target) == 2


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("fault", [(503, "saturated"), (403, "edge_signature")], ids=["503", "edge_signature"])
def test_what_the_node_did_not_start_goes_elsewhere(standing, method, fault):
    standing.mesh.fail_first(services.unstarted(*fault))
    target = echo()
    answer = standing.edge.ask(method, target, body=None if method == "GET" else BODY)
    assert (answer.status, answer.tries) == (200, 2)
    assert standing.mesh.deliveries(target) == 2
    if method != "GET":
        assert answer.json()["length"] == len(BODY)


def test_a_node_that_refuses_has_not_failed(launch, mesh):
    """Else anyone could have all nodes left alone, by asking for what none has."""
    told = mesh.summary([mesh[0], *(unseen(node) for node in mesh.nodes[1:])])
    mesh.tell(told)
    edge = launch(told).warmed()
    mesh[0].service = services.unstarted()
    assert [edge.get(echo()).tries for _ in range(5)] == [2] * 5


def test_a_streamed_body_that_was_refused_is_gone_too(standing):
    standing.mesh.fail_first(services.unstarted(403, "edge_signature"))
    target = echo()
    own_error(standing.edge.post(target, iter([b"some", b"thing"])), 503, "edge_signature")
    assert standing.mesh.deliveries(target) == 1


def test_a_streamed_body_is_gone_though_the_node_did_not_start(standing):
    standing.mesh.fail_first(services.unstarted())
    target = echo()
    answer = standing.edge.post(target, iter([b"some", b"thing"]))
    assert (answer.status, answer.header("x-mesh-retry")) == (503, "1")
    assert standing.mesh.deliveries(target) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_when_no_node_can_start_it_the_last_answer_passes(standing, method):
    for node in standing.mesh:
        node.service = services.unstarted()
    target = echo()
    answer = standing.edge.ask(method, target, body=BODY if method == "POST" else None)
    assert (answer.status, answer.header("x-mesh-error"), answer.header("x-mesh-retry")) == (503, "saturated", "1")
    assert answer.header("retry-after") == "1"
    assert answer.body == b"not started"
    assert answer.tries == 4
    assert standing.mesh.deliveries(target) == 4


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 501, 502, 503, 504, 521, 599])
def test_a_services_own_error_passes_untouched(standing, method, status):
    target = f"/api/service/status/{status}/{echo()[1:]}"
    answer = standing.edge.ask(method, target, body=BODY if method == "POST" else None)
    assert (answer.status, answer.body) == (status, b"said by the service")
    assert answer.header("x-own") == "kept"
    assert answer.header("x-mesh-error") is None
    assert answer.header("access-control-allow-origin") is None
    assert answer.tries == 1
    assert standing.mesh.deliveries(target) == 1


@pytest.mark.parametrize("fault", [(503, "unhealthy"), (504, "timeout"), (502, "broken"), (508, "loop"), (403, "forbidden")])
def test_an_error_of_the_mesh_that_is_no_refusal_passes(standing, fault):
    status, reason = fault
    standing.mesh.fail_first(services.answering(status, [("x-mesh-error", reason)], b"the word of the mesh"))
    target = echo()
    answer = standing.edge.get(target)
    assert (answer.status, answer.header("x-mesh-error"), answer.body) == (status, reason, b"the word of the mesh")
    assert standing.mesh.deliveries(target) == 1


def test_a_stopped_node_does_not_harm_a_cold_edge(launch, mesh):
    mesh[0].freeze()
    mesh[1].freeze()
    edge = launch(mesh.summary())
    answer = edge.post(echo(), BODY)
    assert answer.status == 200
    assert answer.seconds < 1
    assert mesh.by_id(answer.header("x-mesh-worker")) is mesh[2]


def kill(node):
    node.kill()


def cut_off(node):
    """The node's tunnel is down, so a gateway answers for it."""
    node.gateway = services.answering(530)


def test_nodes_behind_a_gateway_that_does_not_reach_them_do_not_harm_a_cold_edge(launch, mesh):
    cut_off(mesh[0])
    cut_off(mesh[1])
    edge = launch(mesh.summary())
    assert {edge.post(echo(), BODY).status for _ in range(6)} == {200}


@pytest.mark.parametrize("fail", [kill, cut_off])
def test_two_of_three_nodes_fail_and_every_get_is_answered(launch, mesh, fail):
    edge = launch(mesh.summary()).warmed()
    fail(mesh[0])
    fail(mesh[1])
    answers = [edge.get(echo()) for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < 1
    assert sum(answer.tries for answer in answers) <= 22


def test_a_post_after_a_death_is_answered_or_its_outcome_is_unknown(launch, mesh):
    edge = launch(mesh.summary()).warmed()
    mesh[0].kill()
    mesh[1].kill()
    answers = [edge.post(echo(), BODY) for _ in range(10)]
    # A Worker cannot tell a refused connection from one that broke, but it learns.
    unknown = [answer for answer in answers if answer.status != 200]
    assert len(unknown) <= (2 if edge.kind == "worker" else 0)
    for answer in unknown:
        own_error(answer, 502, "broken")


def test_a_streamed_post_after_a_death(launch, mesh):
    """What no node took of the body can still be sent to another one."""
    edge = launch(mesh.summary()).warmed()
    mesh[0].kill()
    mesh[1].kill()
    for _ in range(10):
        target = echo()
        answer = edge.post(target, iter([b"some", b"thing"]))
        assert answer.status in ((200, 502, 503) if edge.kind == "worker" else (200,))
        assert mesh.deliveries(target) == (answer.status == 200)


def test_all_nodes_die_and_come_back(launch, mesh):
    edge = launch(mesh.summary()).warmed()
    for node in mesh:
        node.kill()
    assert edge.get(echo()).status == 503
    mesh[1].revive()
    answer = edge.get(echo())
    assert answer.status == 200, "that a node failed is no reason not to ask it when there is no other"


def test_an_answer_that_breaks_off_is_not_repeated(standing):
    standing.mesh.fail_first(services.cut)
    target = echo()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        standing.edge.get(target)
    assert standing.mesh.deliveries(target) == 1


def test_a_node_that_closes_its_connections_after_each_answer_is_no_failure(standing):
    for node in standing.mesh:
        node.service = services.hasty
    for method in ("POST", "GET") * 10:
        target = echo()
        answer = standing.edge.ask(method, target, body=b"")
        # The end of a connection may cross a request on its way; what was lost with it cannot be told.
        assert answer.status == 200 or (method, answer.status) == ("POST", 502)
        assert standing.mesh.deliveries(target) == (1 if answer.status == 200 else 0)


def test_an_answer_that_is_given_up_is_closed(standing):
    standing.mesh.fail_first(services.endless(502))
    target = echo()
    assert standing.edge.get(target).status == 200
    eventually(lambda: any(request.is_gone for request in standing.mesh.arrived(target)), 5, "the end of the answer")


def test_a_signature_that_no_node_takes(launch, mesh):
    for node in mesh:
        node.verifier = Verifier(ANOTHER_SECRET)
    edge = launch(mesh.summary())
    for method in ("GET", "POST"):
        answer = edge.ask(method, echo(), body=BODY if method == "POST" else None)
        own_error(answer, 503, "edge_signature")
        assert answer.header("x-mesh-retry") == "1"


def test_one_node_that_knows_another_secret_is_passed_over(launch, mesh):
    mesh[0].verifier = Verifier(ANOTHER_SECRET)
    edge = launch(mesh.summary())
    assert {edge.post(echo(), BODY).status for _ in range(12)} == {200}


@pytest.mark.parametrize("skew", [300, -300])
def test_a_clock_that_is_off_is_corrected_by_the_nodes(launch, mesh, skew):
    for node in mesh:
        node.skew = skew
    edge = launch(mesh.summary())
    assert edge.post(echo(), BODY).status == 200
    refused = sum(node.refused("edge_clock") for node in mesh)
    assert {edge.post(echo(), BODY).status for _ in range(10)} == {200}
    assert sum(node.refused("edge_clock") for node in mesh) <= refused + 3


def test_nodes_whose_clocks_differ_are_all_of_use(launch, mesh):
    mesh[0].skew, mesh[1].skew = 200, -200
    edge = launch(mesh.summary())
    answers = [edge.ask(("GET", "POST")[turn % 2], echo(), body=b"") for turn in range(40)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.tries for answer in answers} == {1}, "the same node is asked once more"
    assert len({answer.header("x-mesh-worker") for answer in answers}) == 3


def test_clocks_that_no_offset_corrects(launch, mesh):
    edge = launch(mesh.summary()).warmed()
    for node in mesh:
        node.service = services.unstarted(403, "edge_clock")
    answer = edge.get(echo())
    own_error(answer, 503, "edge_clock")


def test_no_nonce_is_used_twice(standing):
    assert all(node.verifier.repeated == 0 for node in standing.mesh)


def test_a_big_body_meets_a_node_that_breaks(standing):
    """The edge answers though the client is not done."""
    standing.mesh.fail_first(services.lost_at_once)
    flow, _ = pieces(30 << 20)
    target = echo()
    answer = standing.edge.post(target, flow)
    own_error(answer, 502, "broken")
    assert standing.mesh.deliveries(target) == 1


def test_a_node_freezes_during_an_upload(launch, mesh):
    edge = launch(mesh.summary()).warmed()
    mesh.fail_first(services.then_frozen(0))
    flow, _ = pieces(30 << 20)
    target = echo()
    answer = edge.post(target, flow)
    own_error(answer, 504, "timeout")
    assert mesh.deliveries(target) == 1
