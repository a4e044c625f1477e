"""How long a client waits when nodes are dead. What is asserted is the floor; what was measured is printed at the end."""

import os
import statistics

import pytest
from support.client import echo
from support.fakes import BlackHole, Refusing, Silent, unseen
from support.node import Node

REPETITIONS = int(os.environ.get("REPETITIONS", "3"))


def report(figure, edge, what, seconds):
    median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    figure(f"{edge.kind}: {what}: median {median:.0f} ms, worst {worst:.0f} ms of {len(seconds)}")


def seconds_after(launch, mesh, happen):
    """For how long the first request waits after something happened to the node in use: the others are told as unseen."""
    used, *others = mesh
    told = mesh.summary([used, *(unseen(other) for other in others)])
    mesh.tell(told)
    edge = launch(told)
    assert [edge.get(echo()).header("x-mesh-worker") for _ in range(5)] == [used.id] * 5
    happen(used)
    answer = edge.get(echo())
    assert (answer.status, answer.tries) == (200, 2)
    return edge, answer.seconds


def test_the_first_answer_after_the_node_in_use_is_killed(launch, make_mesh, figure):
    found = [seconds_after(launch, make_mesh(3), Node.kill) for _ in range(REPETITIONS)]
    seconds = [took for _, took in found]
    report(figure, found[0][0], "first answer after the node in use is killed (goal: 200 ms)", seconds)
    assert max(seconds) < 3


def test_the_first_answer_after_the_node_in_use_is_frozen(launch, mesh, figure):
    edge, took = seconds_after(launch, mesh, Node.freeze)
    report(figure, edge, "first answer after the node in use is frozen", [took])
    assert took < 4


@pytest.mark.parametrize("dead", [Refusing, BlackHole, Silent])
def test_a_cold_start_with_31_of_32_nodes_dead(launch, make_mesh, figure, dead):
    seconds = []
    for _ in range(REPETITIONS):
        mesh, others = make_mesh(1), [dead() for _ in range(31)]
        edge = launch(mesh.summary([*(other.entry for other in others), mesh[0]]))
        answer = edge.get(echo())
        for other in others:
            other.stop()
        assert answer.status == 200
        seconds.append(answer.seconds)
    report(figure, edge, f"cold start, 31 of 32 nodes {dead.IS} (goal: 2000 ms)", seconds)
    assert max(seconds) < 10
