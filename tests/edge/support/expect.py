"""What several cases expect of an answer."""

from .client import echo


def own_error(answer, status, reason):
    """The edge itself answers, for this reason."""
    assert (answer.status, answer.header("x-mesh-error")) == (status, reason), answer
    assert answer.json()["reason"] == reason
    assert answer.json()["error"]
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("cache-control") == "no-store"


def served_by(edge, mesh, times=6):
    """Who answers so many requests, all of which must be answered."""
    answers = [edge.get(echo()) for _ in range(times)]
    assert [answer.status for answer in answers] == [200] * times
    return {mesh.by_id(answer.header("x-mesh-worker")) for answer in answers}
