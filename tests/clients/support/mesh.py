"""Two real nodes: an exit that has the services, and an entry that has none."""

import base64
import dataclasses
import json
import os
import pathlib
import urllib.error
import urllib.request

from .processes import Process, eventually

ROOT = pathlib.Path(__file__).parents[3]


def meshnode():
    """The binary under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return pathlib.Path(os.environ.get("MESHNODE") or target / "debug" / "meshnode").absolute()


@dataclasses.dataclass(frozen=True)
class Ingress:
    """Where a request is sent, and how many nodes it crosses from there."""

    host: str
    port: int
    hops: int

    @property
    def authority(self):
        return f"{self.host}:{self.port}"

    def url(self, service, path="/"):
        return f"http://{self.authority}/api/service/{service}{path}"


class Node:
    """One running node."""

    def __init__(self, name, directory, *flags):
        own = pathlib.Path(directory) / name
        own.mkdir()
        command = [meshnode(), "run", "--name", name, "--data-dir", own, "--log", "info"]
        command += ["--cluster-key-file", pathlib.Path(directory) / "cluster.key"]
        command += ["--bind", "127.0.0.1:0", "--ingress", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
        self.process = Process(name, command, directory)
        self.ready = json.loads(self.process.first_line())

    def ingress(self, hops):
        host, port = self.ready["ingress"].removeprefix("http://").split(":")
        return Ingress(host, int(port), hops)


class Mesh:
    """The two nodes."""

    def __init__(self, directory):
        key = base64.b64encode(os.urandom(32)).decode()
        (pathlib.Path(directory) / "cluster.key").write_text(key + "\n")
        self.exit = Node("exit", directory)
        self.entry = Node("entry", directory, "--join", self.exit.ready["bind"])
        self.nodes = [self.exit, self.entry]
        self.by_hops = {1: self.exit.ingress(1), 2: self.entry.ingress(2)}

    def offer(self, name, url, **fields):
        """Lets the exit offer a service, and waits until the entry knows it."""
        body = {"url": url, "check": "none", "max_in_flight": 0, **fields}
        request = urllib.request.Request(
            f"{self.exit.ready['admin']}/api/admin/local/services/{name}",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
            method="PUT",
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"the exit refuses {body}: {refused.read().decode()}") from refused
        for ingress in self.by_hops.values():
            eventually(lambda at=ingress: self.is_offered(at, name), what=f"{name} at {ingress}")

    @staticmethod
    def is_offered(ingress, name):
        with urllib.request.urlopen(f"http://{ingress.authority}/api/services", timeout=10) as answer:
            services = json.load(answer)["services"]
        return any(service["name"] == name and service["healthy"] for service in services)

    def assert_alive(self):
        for node in self.nodes:
            assert node.process.is_alive(), f"{node.process.name} died: {node.process.err.read_text()[-2000:]}"
            assert "panicked" not in node.process.err.read_text(), node.process.err.read_text()[-4000:]

    def stop(self):
        for node in self.nodes:
            node.process.stop()
