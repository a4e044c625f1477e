"""Which nodes an edge knows, and which it picks."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from support import services
from support.client import echo
from support.expect import own_error, served_by
from support.fakes import entry, unseen

USABLE_BY_NOBODY = {
    "nothing": None,
    "no JSON": b"\x00garbage {",
    "another cluster": {"v": 1, "cluster": "other", "nodes": []},
    "no nodes": {"v": 1, "cluster": "it", "cluster_id": "5be1c09a77d0e213"},
    "nodes that are none": {"v": 1, "cluster": "it", "cluster_id": "5be1c09a77d0e213", "nodes": "all"},
}


def test_a_cold_edge_answers_by_the_stored_list(launch, mesh):
    edge = launch(mesh.summary())
    answer = edge.get(echo())
    assert answer.status == 200
    assert answer.seconds < 2
    assert answer.tries == 1


def test_all_nodes_are_used(launch, mesh):
    assert served_by(launch(mesh.summary()), mesh, 80) == set(mesh)


def test_a_node_appears_without_a_write(launch, mesh):
    edge = launch(mesh.summary([mesh[0]]))
    assert edge.get(echo()).status == 200
    mesh[0].kill()
    assert served_by(edge, mesh, 20) == {mesh[1], mesh[2]}


def test_the_store_is_read_once_in_30_requests(launch, mesh):
    edge = launch(mesh.summary(), counted=True)
    served_by(edge, mesh, 30)
    assert edge.store_reads() == 1
    # Of a cold edge all three, and then none for 5 s.
    assert sum(node.count("/.mesh/summary") for node in mesh) <= 6


def test_requests_that_come_together_at_a_cold_edge_are_all_answered(launch, mesh):
    """They may not wait for what another one does, and do not each read the store."""
    edge = launch(mesh.summary(), counted=True)
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: edge.get(echo()), range(24)))
    assert {answer.status for answer in answers} == {200}
    assert edge.store_reads() == 1


def test_a_node_that_tells_its_summary_slowly_is_waited_for(launch, make_mesh):
    mesh = make_mesh(1)
    mesh[0].pause = 1
    edge = launch(mesh.summary())
    assert edge.get(echo()).status == 200


def test_the_store_is_read_once_in_5_s_while_all_are_dead(launch, mesh):
    edge = launch(mesh.summary(), counted=True)
    for node in mesh:
        node.kill()
    answers = [edge.get(echo()) for _ in range(10)]
    assert {answer.status for answer in answers} == {503}
    assert edge.store_reads() <= 1 + sum(answer.seconds for answer in answers) / 5


@pytest.mark.parametrize("value", USABLE_BY_NOBODY.values(), ids=USABLE_BY_NOBODY)
def test_without_a_usable_list_there_is_a_503(launch, value):
    edge = launch(value)
    answer = edge.get(echo())
    own_error(answer, 503, "no_summary")
    assert (answer.header("retry-after"), answer.header("x-mesh-retry")) == ("5", "1")
    assert (answer.json()["available_services"], answer.json()["tried"]) == ([], 0)


@pytest.mark.parametrize("value", [None, b"\x00garbage {"], ids=["nothing", "garbage"])
def test_seeds_are_asked_when_the_store_has_no_list(launch, mesh, value):
    edge = launch(value, seeds=[mesh[0].url])
    assert edge.get(echo()).status == 200
    mesh[0].kill()
    assert served_by(edge, mesh) <= {mesh[1], mesh[2]}


def test_seeds_are_the_last_resort(launch, make_mesh):
    listed, seed = make_mesh(2), make_mesh(1)
    seed.tell(listed.summary())
    edge = launch(listed.summary(), seeds=[seed[0].url])
    # Who is asked in the same wave as they are may answer first, and gets the first request.
    assert edge.get(echo()).status == 200
    assert served_by(edge, listed, 12) <= set(listed)
    for node in listed:
        node.kill()
    assert served_by(edge, seed, 6) == {seed[0]}


@pytest.mark.parametrize("kind", ["meshedge"], scope="session")
def test_seeds_are_asked_when_the_rest_api_of_the_store_fails(launch, mesh):
    edge = launch(None, counted=True, seeds=[mesh[0].url])
    edge.harness.control(status=500, left=1000)
    assert edge.get(echo()).status == 200


def test_a_stale_summary_of_a_newer_schema_with_odd_entries_is_used(launch, mesh):
    host = mesh[0].url.removeprefix("http://")
    odd = [
        "text",
        None,
        7,
        [],
        {"id": "no url"},
        {"url": 5},
        {"url": ""},
        {"url": "ftp://" + host},
        {"url": f"http://user:word@{host}"},
        {"url": f"http://{host}/{'x' * 120}"},
        {"url": "nonsense"},
        {"url": mesh[1].url, "new": {"in": ["v", 99]}},
    ]
    strange = mesh.summary(odd, v=99, at="2026-11-01T00:00:00Z", seq="new", services=[1], more={"x": None}, term=None)
    mesh.tell(strange)
    edge = launch(strange)
    assert served_by(edge, mesh) == {mesh[1]}
    assert mesh[0].requests == []


def test_entries_that_nobody_sees_are_tried_last(launch, mesh):
    told = mesh.summary([*(unseen(node) for node in mesh.nodes[:2]), mesh[2]])
    mesh.tell(told)
    edge = launch(told)
    assert served_by(edge, mesh, 12) == {mesh[2]}
    mesh[2].kill()
    assert served_by(edge, mesh, 12) <= {mesh[0], mesh[1]}


def test_entries_that_all_are_unseen_are_used(launch, mesh):
    told = mesh.summary([unseen(node) for node in mesh])
    mesh.tell(told)
    edge = launch(told)
    assert served_by(edge, mesh)


def test_the_stored_list_is_the_fallback_of_the_live_one(launch, mesh):
    mesh.tell(mesh.summary([mesh[0]]))
    edge = launch(mesh.summary())
    served_by(edge, mesh, 1)
    assert served_by(edge, mesh, 12) == {mesh[0]}
    mesh[0].kill()
    assert served_by(edge, mesh, 12) <= {mesh[1], mesh[2]}


@pytest.mark.parametrize(
    "wrong",
    [b"garbage", b"[]", {"nodes": None}, {"cluster": "other"}, {"cluster_id": "0000000000000001"}],
    ids=["no JSON", "no object", "no nodes", "another cluster", "another cluster_id"],
)
def test_a_live_answer_that_is_not_of_this_cluster_is_not_adopted(launch, mesh, wrong):
    """The third node is only in that answer, which the first one gives."""
    known = mesh.summary(mesh.nodes[:2])
    mesh.tell(known)
    mesh[0].summary = wrong if isinstance(wrong, bytes) else {**mesh.summary(), **wrong}
    mesh[1].pause = 0.2
    edge = launch(known)
    assert served_by(edge, mesh, 12) <= {mesh[0], mesh[1]}
    mesh[0].kill()
    mesh[1].kill()
    assert edge.get(echo()).status == 503
    assert mesh[2].requests == []


def test_seeds_and_entries_are_the_same_node(launch, mesh):
    """A node that is a seed too is not tried twice."""
    for node in mesh:
        node.summary = mesh.summary([mesh[0]])
    edge = launch(None, seeds=[mesh[0].url])
    assert served_by(edge, mesh) == {mesh[0]}
    target = echo()
    mesh[0].service = services.unstarted()
    assert edge.get(target).status == 503
    assert mesh.deliveries(target) == 1


def test_entry_urls_may_end_with_a_slash(launch, mesh):
    told = mesh.summary([entry(mesh[0].url + "/")])
    mesh.tell(told)
    edge = launch(told)
    target = echo("?x=1")
    assert edge.get(target).status == 200
    assert mesh.deliveries(target) == 1
