"""Cases in which the time that a rule counts has to go by. They run side by side, so the longest one is what they take."""

import time

import pytest
from support import services
from support.client import echo
from support.expect import own_error, served_by
from support.fakes import unseen
from support.processes import eventually

BODY = b"a body of a known length"


def a_node_that_joins_later_is_learnt_by_the_refresh(stage):
    mesh = stage.make_mesh(2)
    mesh.tell(mesh.summary([mesh[0]]))
    edge = stage.launch(mesh.summary([mesh[0]]))
    assert served_by(edge, mesh) == {mesh[0]}
    mesh.tell(mesh.summary([mesh[1]]))
    eventually(lambda: served_by(edge, mesh, 1) == {mesh[1]}, 15, "the new list")


def a_lower_term_is_ignored(stage):
    """That of the store does not matter: a leader without a budget does not write."""
    mesh = stage.make_mesh(2)
    mesh.tell(mesh.summary([mesh[0]], term=4))
    edge = stage.launch(mesh.summary([mesh[0]], term=9))
    assert served_by(edge, mesh) == {mesh[0]}
    mesh.tell(mesh.summary([mesh[1]], term=3))
    asked = mesh[0].count("/.mesh/summary")
    eventually(lambda: served_by(edge, mesh, 1) and mesh[0].count("/.mesh/summary") > asked, 15, "a refresh")
    assert served_by(edge, mesh, 30) == {mesh[0]}
    assert mesh[1].requests == []


def another_cluster_id_sends_the_edge_to_the_store(stage):
    """As when the cluster was founded anew: the store knows, and then the live lists are believed."""
    mesh = stage.make_mesh(2)
    mesh.tell(mesh.summary([mesh[0]]))
    edge = stage.launch(mesh.summary([mesh[0]]))
    assert served_by(edge, mesh) == {mesh[0]}
    founded = "00000000000000aa"
    mesh.tell(mesh.summary([mesh[1]], cluster_id=founded, term=1))
    asked = mesh[0].count("/.mesh/summary")
    eventually(lambda: served_by(edge, mesh, 1) and mesh[0].count("/.mesh/summary") > asked, 15, "a refresh")
    assert served_by(edge, mesh, 30) == {mesh[0]}
    edge.store(mesh.summary([mesh[0]], cluster_id=founded))
    eventually(lambda: served_by(edge, mesh, 1) == {mesh[1]}, 25, "the list of the cluster that was founded anew")


def what_is_new_in_the_store_is_found_when_all_known_nodes_are_dead(stage):
    old, new = stage.make_mesh(2), stage.make_mesh(1)
    edge = stage.launch(old.summary())
    assert served_by(edge, old)
    edge.store(new.summary())
    for node in old:
        node.kill()
    answer = eventually(lambda: (found := edge.get(echo())).status == 200 and found, 15, "a look into the store")
    assert answer.header("x-mesh-worker") == new[0].id


def the_first_value_of_the_store_is_found(stage):
    mesh = stage.make_mesh(1)
    edge = stage.launch(None)
    own_error(edge.get(echo()), 503, "no_summary")
    edge.store(mesh.summary())
    eventually(lambda: edge.get(echo()).status == 200, 15, "a look into the store")


def a_node_that_failed_is_left_alone_for_10_s(stage):
    mesh = stage.make_mesh(3)
    told = mesh.summary([mesh[0], *(unseen(node) for node in mesh.nodes[1:])])
    mesh.tell(told)
    edge = stage.launch(told)
    assert served_by(edge, mesh) == {mesh[0]}
    mesh[0].kill()
    assert edge.get(echo()).tries == 2
    mesh[0].revive()
    before = mesh[0].served()
    assert all(edge.get(echo()).tries == 1 for _ in range(30))
    assert mesh[0].served() == before
    eventually(lambda: edge.get(echo()).status == 200 and mesh[0].served() > before, 20, "the end of the penalty")


def a_slow_service_is_no_failure_of_a_get(stage):
    is_no_failure(stage, "GET", None)


def a_slow_service_is_no_failure_of_a_post(stage):
    is_no_failure(stage, "POST", BODY)


def is_no_failure(stage, method, body):
    mesh = stage.make_mesh(3)
    edge = stage.launch(mesh.summary()).warmed()
    target = "/api/service/slow/3"
    answer = edge.ask(method, target, body=body)
    assert (answer.status, answer.tries) == (200, 1)
    assert 3 <= answer.seconds < 5
    assert mesh.deliveries(target) == 1
    # After 1 s, and 2 s later if the answer is not there by then.
    assert 1 <= sum(node.count("/health") for node in mesh) <= 2


def a_slow_service_at_a_node_that_drains_is_no_failure(stage):
    mesh = stage.make_mesh(2)
    edge = stage.launch(mesh.summary()).warmed()
    for node in mesh:
        node.health = 503
    answer = edge.post("/api/service/slow/2.5")
    assert (answer.status, answer.tries) == (200, 1)


def a_get_gives_up_a_frozen_node(stage):
    mesh = stage.make_mesh(3)
    edge = stage.launch(mesh.summary()).warmed()
    mesh.fail_first(services.then_frozen(0))
    answer = edge.get(echo())
    assert (answer.status, answer.tries) == (200, 2)
    assert 1.8 < answer.seconds < 4
    assert all(edge.get(echo()).tries == 1 for _ in range(10)), "it is left alone for a while"


def a_post_at_a_frozen_node_has_an_unknown_outcome(stage):
    mesh = stage.make_mesh(3)
    edge = stage.launch(mesh.summary()).warmed()
    mesh.fail_first(services.then_frozen(0))
    target = echo()
    answer = edge.post(target, BODY)
    own_error(answer, 504, "timeout")
    assert 1.8 < answer.seconds < 4
    assert mesh.deliveries(target) == 1
    assert edge.post(echo(), BODY).status == 200


def a_node_that_freezes_later_is_found_out_by_the_next_question(stage):
    mesh = stage.make_mesh(3)
    edge = stage.launch(mesh.summary()).warmed()
    mesh.fail_first(services.then_frozen(1.5))
    answer = edge.get(echo())
    assert (answer.status, answer.tries) == (200, 2)
    # Asked after 1 s, which is answered; again 2 s later, which is not.
    assert 3 < answer.seconds < 6


def a_post_of_an_edge_that_was_idle_is_answered_after_deaths(stage):
    """Nobody answered within the last 5 s, so the edge asks who lives before it sends what cannot be repeated."""
    mesh = stage.make_mesh(3)
    edge = stage.launch(mesh.summary()).warmed()
    mesh[0].kill()
    mesh[1].kill()
    asked = mesh[2].count("/.mesh/summary")
    # Nothing happens that could be waited for.
    time.sleep(5.2)
    assert mesh[2].count("/.mesh/summary") <= asked + 1, "who has no requests does not refresh"
    target = echo()
    assert (edge.post(target, BODY).status, mesh.deliveries(target)) == (200, 1)


def events_that_are_rare_do_not_end_a_stream(stage):
    mesh = stage.make_mesh(3)
    answer = stage.launch(mesh.summary()).get("/api/service/events/2/4000")
    assert answer.body.count(b"data: ") == 2


CASES = [
    a_node_that_joins_later_is_learnt_by_the_refresh,
    a_lower_term_is_ignored,
    another_cluster_id_sends_the_edge_to_the_store,
    what_is_new_in_the_store_is_found_when_all_known_nodes_are_dead,
    the_first_value_of_the_store_is_found,
    a_node_that_failed_is_left_alone_for_10_s,
    a_slow_service_is_no_failure_of_a_get,
    a_slow_service_is_no_failure_of_a_post,
    a_slow_service_at_a_node_that_drains_is_no_failure,
    a_get_gives_up_a_frozen_node,
    a_post_at_a_frozen_node_has_an_unknown_outcome,
    a_node_that_freezes_later_is_found_out_by_the_next_question,
    a_post_of_an_edge_that_was_idle_is_answered_after_deaths,
    events_that_are_rare_do_not_end_a_stream,
]


@pytest.fixture(scope="module")
def outcomes(side_by_side):
    return side_by_side(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_that(case, outcomes):
    outcomes[case].result()
