"""How long a client waits when nodes are dead. What is asserted is the floor; what was measured is printed at the end."""

import os
import statistics

import pytest
from support.client import echo
from support.fakes import BlackHole, Refusing, Silent, unseen

REPETITIONS = int(os.environ.get("REPETITIONS", "3"))


def told(figure, edge, what, seconds, goal):
    figure(
        f"{edge.kind}: {what}: median {statistics.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f} ms "
        f"of {len(seconds)} (goal: {goal * 1000:.0f} ms)"
    )


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_the_first_answer_after_the_node_in_use_is_gone(launch, make_mesh, figure, way):
    """All but the node in use are told as unseen, so the edge goes to it first, and finds out."""
    seconds = []
    mesh = make_mesh(3 * REPETITIONS)
    edge = None
    for turn in range(REPETITIONS):
        used, *others = mesh.nodes[3 * turn : 3 * turn + 3]
        summary = mesh.summary([used, *(unseen(other) for other in others)])
        mesh.tell(summary)
        edge = launch(summary)
        assert [edge.get(echo()).header("x-mesh-worker") for _ in range(5)] == [used.id] * 5
        if way == "frozen":
            used.freeze()
        else:
            used.kill()
        answer = edge.get(echo())
        assert (answer.status, answer.tries) == (200, 2)
        seconds.append(answer.seconds)
    told(figure, edge, f"first answer after the node in use is {way}", seconds, 0.2)
    assert max(seconds) < 3


@pytest.mark.parametrize("dead", [Refusing, BlackHole, Silent])
def test_a_cold_start_with_31_of_32_nodes_dead(launch, make_mesh, figure, dead):
    seconds = []
    edge = None
    for _ in range(REPETITIONS):
        mesh = make_mesh(1)
        others = [dead() for _ in range(31)]
        summary = mesh.summary([*(other.entry for other in others), mesh[0]])
        edge = launch(summary)
        answer = edge.get(echo())
        assert answer.status == 200
        seconds.append(answer.seconds)
        for other in others:
            other.stop()
    told(figure, edge, f"cold start, 31 of 32 nodes {dead.__name__}", seconds, 2)
    assert max(seconds) < 10
