"""Every case runs against both edges: the Worker in Cloudflare's runtime, and meshedge."""

import dataclasses

import pytest

from support.edges import MeshEdge, Spares, Worker
from support.fakes import Mesh

pytest_plugins = ["support.offline"]
FIGURES = []


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="session")
def spares(directory):
    spares = Spares(directory)
    yield spares
    spares.stop()


@pytest.fixture(scope="session", params=["worker", "meshedge"])
def kind(request):
    return request.param


@pytest.fixture
def launch(kind, directory, spares):
    """Starts a cold edge whose store holds a value; `counted` when its reads of the store will be asked for."""
    started = []

    def launch(stored=None, counted=False, **options):
        if kind == "worker":
            edge = Worker(spares.take(**options))
            edge.store(stored)
        else:
            harness = spares.take() if counted else None
            edge = MeshEdge(directory, stored, harness=harness, **options)
        started.append(edge)
        return edge

    yield launch
    for edge in started:
        edge.assert_alive()
        edge.stop()


@pytest.fixture
def make_mesh():
    """Starts fake nodes."""
    made = []

    def make(size):
        made.append(Mesh(size))
        return made[-1]

    yield make
    for mesh in made:
        mesh.stop()


@pytest.fixture
def mesh(make_mesh):
    return make_mesh(3)


@dataclasses.dataclass
class Standing:
    """An edge that knows its nodes, and these."""

    edge: object
    mesh: Mesh


@pytest.fixture(scope="session")
def shared(kind, directory, spares):
    mesh = Mesh(5)
    edge = Worker(spares.take()) if kind == "worker" else MeshEdge(directory)
    edge.store(mesh.summary())
    yield Standing(edge, mesh)
    edge.assert_alive()
    edge.stop()
    mesh.stop()


@pytest.fixture
def standing(shared):
    """The edge and the nodes that cases share which do no lasting harm; it has heard of a node just now."""
    assert shared.edge.get("/api/service/echo/warm").status == 200
    yield shared
    shared.edge.assert_alive()
    for node in shared.mesh:
        node.service = node.gateway = None


@pytest.fixture
def figure():
    """Keeps a measured line for the end of the run."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
