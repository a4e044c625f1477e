"""h2load: thousands of requests over many streams of few connections, and not one error."""

import re
import subprocess

import pytest

REQUESTS = 5000


def h2load(*arguments):
    """How many requests succeeded, and how many a second."""
    command = ["h2load", "--connection-inactivity-timeout=20", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False)
    output = done.stdout.decode()
    assert done.returncode == 0, output + done.stderr.decode()
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output).groups()
    rate = re.search(r"([\d.]+) req/s", output).group(1)
    return [int(count) for count in statuses], rate


@pytest.mark.parametrize("backend", ["nginx", "hyper"])
@pytest.mark.parametrize("protocol", ["h2c", "http/1.1"])
def test_thousands_of_requests_have_no_error(ingress, backends, figure, backend, protocol):
    backends(backend)
    version = ["--h1"] if protocol == "http/1.1" else ["-m", 50]
    statuses, rate = h2load("-n", REQUESTS, "-c", 4, *version, ingress.url(backend, "/load"))
    figure(f"h2load, {protocol}, {backend}, {ingress.hops} hop(s): {REQUESTS} requests, {rate} a second")
    assert statuses == [REQUESTS, 0, 0, 0]


def test_thousands_of_uploads_have_no_error(ingress, backends, directory):
    backends("node")
    body = directory / "h2load.bin"
    body.write_bytes(b"b" * 20_000)
    statuses, _ = h2load("-n", 2000, "-c", 4, "-m", 25, "-d", body, ingress.url("node", "/load"))
    assert statuses == [2000, 0, 0, 0]
