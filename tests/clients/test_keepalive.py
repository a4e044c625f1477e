"""Backends that close kept connections, at once or after a second: no GET is lost in the race with its reuse."""

import concurrent.futures
import http.client
import time

import pytest
from support import backend

REQUESTS = 500


def get_all(ingress, service, numbers, pause):
    """The paths that were not answered as they should."""
    failed = []
    connection = http.client.HTTPConnection(ingress.host, ingress.port, timeout=30)
    for number in numbers:
        connection.request("GET", f"/api/service/{service}/n/{number}")
        answer = connection.getresponse()
        body = answer.read()
        if (answer.status, body) != (200, f"/n/{number}".encode()):
            failed.append((number, answer.status, body))
        pause()
    connection.close()
    return failed


# Around the moment of the close the race is won and lost: 5 and 20 ms are about what passes between two requests.
@pytest.mark.parametrize("linger", ["0", "0.005", "0.02", "1"])
def test_no_get_fails_when_the_backend_closes_its_connections(mesh, ingress, directory, linger):
    name = f"hasty-{linger.replace('.', '-')}"
    if not (directory / f"{name}.out").exists():
        running = backend.python(name, "hasty.py", directory, linger)
        mesh.offer(name, running.url)
    workers = 5
    shares = [range(worker, REQUESTS, workers) for worker in range(workers)]
    waits = [uneven_pause(worker) for worker in range(workers)]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        failed = pool.map(get_all, [ingress] * workers, [name] * workers, shares, waits)
    assert sum(failed, []) == []


def uneven_pause(worker):
    """Gaps of 0 to 24 ms, in an order of their own for each worker: none is in step with the backend."""
    state = [worker]

    def pause():
        state[0] = (state[0] * 5 + 3) % 25
        time.sleep(state[0] / 1000)

    return pause
