"""Health checks of a real gRPC server: it gets calls only while it says of itself that it serves."""

import concurrent.futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from support.processes import eventually

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def server():
    """A server, the health that it tells, and its URL."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    server.stop(0)


@pytest.mark.parametrize("name", ["", "acme.v1.Search"], ids=["server", "named"])
def test_a_grpc_server_decides_by_its_health_service_whether_it_is_used(mesh, server, name):
    servicer, url = server
    service = "checked-named" if name else "checked"
    # The other name says the contrary, so that asking for the wrong one is seen.
    servicer.set("" if name else "other", NOT_SERVING)
    servicer.set(name, SERVING)
    quick = {"interval": "200ms", "rise": 1, "fall": 1}
    mesh.offer(service, url, protocol="h2c", check="grpc", health=name, **quick)
    for status in (NOT_SERVING, SERVING):
        servicer.set(name, status)
        for ingress in mesh.by_hops.values():
            eventually(
                lambda at=ingress: mesh.is_offered(at, service) == (status == SERVING),
                what=f"{service} at {ingress} after it said {status}",
            )
