"""One mesh of two nodes for all tests, the backends behind it, and figures that are printed at the end."""

import pytest

from support import backend
from support.mesh import Mesh

pytest_plugins = ["support.figures"]


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="session")
def mesh(directory):
    try:
        mesh = Mesh(directory)
    except (AssertionError, OSError) as error:
        pytest.exit(f"there is no mesh to test: {error}", returncode=1)
    yield mesh
    mesh.stop()


@pytest.fixture(scope="session")
def backends(directory, mesh):
    """The recording backends, each offered as a service of its name, started when first asked for."""
    running = {}

    def get(name):
        if name not in running:
            running[name] = backend.BY_NAME[name](directory)
            mesh.offer(name, running[name].url)
        return running[name]

    yield get
    for started in running.values():
        started.process.stop()


@pytest.fixture(params=[1, 2], ids=["one_hop", "two_hops"])
def ingress(request, mesh):
    """The exit's own ingress, and the entry's, from where a request crosses a link."""
    return mesh.by_hops[request.param]


@pytest.fixture(autouse=True)
def nobody_dies(mesh):
    yield
    mesh.assert_alive()
