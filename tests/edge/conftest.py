"""Every case runs against both edges: the Worker in Cloudflare's runtime, and meshedge."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.edges import MeshEdge, Spares, Worker
from support.fakes import Mesh

pytest_plugins = ["support.figures", "support.offline"]


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


class Stage:
    """What a case starts, which ends with it."""

    def __init__(self, kind, directory, spares):
        self.kind, self.directory, self.spares = kind, directory, spares
        self.edges, self.meshes = [], []

    def launch(self, stored=None, counted=False, **options):
        """A cold edge whose store holds a value; `counted` when its reads of the store will be asked for."""
        if self.kind == "worker":
            edge = Worker(self.spares.take(**options))
            edge.store(stored)
        else:
            harness = self.spares.take() if counted else None
            edge = self.spares.starter.submit(MeshEdge, self.directory, stored, harness=harness, **options).result()
        self.edges.append(edge)
        return edge

    def make_mesh(self, size):
        """Fake nodes."""
        self.meshes.append(Mesh(size))
        return self.meshes[-1]

    def end(self):
        for mesh in self.meshes:
            mesh.stop()
        unsound = [edge.unsound() for edge in self.edges]
        for edge in self.edges:
            edge.stop()
        assert not any(unsound), unsound


@pytest.fixture
def stage(kind, directory, spares):
    stage = Stage(kind, directory, spares)
    yield stage
    stage.end()


@pytest.fixture
def launch(stage):
    return stage.launch


@pytest.fixture
def make_mesh(stage):
    return stage.make_mesh


@pytest.fixture
def mesh(make_mesh):
    return make_mesh(3)


@pytest.fixture(scope="module")
def side_by_side(kind, directory, spares):
    """Runs cases at the same time, each on a stage of its own; gives the outcome of each."""
    stages = []

    def run(cases):
        stages.extend(Stage(kind, directory, spares) for _ in cases)
        with ThreadPoolExecutor(len(cases)) as threads:
            return {case: threads.submit(case, stage) for case, stage in zip(cases, stages, strict=True)}

    yield run
    for stage in stages:
        stage.end()


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
    edge.stop()
    mesh.stop()


@pytest.fixture
def standing(shared):
    """The edge and the nodes that cases share which do no lasting harm; it has heard of a node just now."""
    assert shared.edge.get("/api/service/echo/warm").status == 200
    yield shared
    assert not shared.edge.unsound()
    for node in shared.mesh:
        node.service = node.gateway = None
