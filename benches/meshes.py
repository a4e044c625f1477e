"""Meshes of real nodes on this machine, made for one measurement and gone after it."""

import base64
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from bench import GaveUp, wait_until

WHOLE_WITHIN = 60


def service(name, url, **fields):
    """One `[[service]]` of a node's file."""
    fields = {"name": name, "url": url, "check": "none", **fields}
    return "[[service]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


def fetch(url):
    """JSON from a node, or nothing while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError, TimeoutError, json.JSONDecodeError):
        return None


class Node:
    """One member: where it is, and the process that it is just now."""

    def __init__(self, name, directory, config):
        self.name, self.directory, self.config = name, directory, config
        self.process = self.ready = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def worker(self):
        return self.ready["worker_id"]

    def url(self, service_name, path="/"):
        return f"{self.ready['ingress']}/api/service/{service_name}{path}"

    def listeners(self):
        """Any free ports the first time, the same ones ever after."""
        if self.ready is None:
            return dict.fromkeys(("bind", "ingress", "admin"), "127.0.0.1:0")
        return {name: self.ready[name].removeprefix("http://") for name in ("bind", "ingress", "admin")}


class Mesh:
    """Nodes of one cluster key, all on one core."""

    def __init__(self, processes, directory, binary, core):
        self.processes, self.directory, self.binary, self.core = processes, directory, binary, core
        self.key = base64.b64encode(os.urandom(32)).decode()
        self.nodes = []
        directory.mkdir()

    def add(self, services="", settings=""):
        """One more node, which joins the first."""
        name = f"n{len(self.nodes) + 1}"
        directory = self.directory / name
        directory.mkdir()
        config = directory / "node.toml"
        config.write_text(f"{settings}\n{services}")
        node = Node(name, directory, config)
        self.start(node)
        self.nodes.append(node)
        return node

    def start(self, node):
        command = [self.binary, "run", "--config", node.config, "--name", node.name, "--log", "warn"]
        command += ["--data-dir", node.directory / "data"]
        for listener, address in node.listeners().items():
            command += [f"--{listener}", address]
        for other in [other for other in self.nodes if other is not node][:3]:
            command += ["--join", other.ready["bind"]]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MESHNODE_")}
        environment["MESHNODE_CLUSTER_KEY"] = self.key
        with open(node.directory / "log", "ab") as log:
            node.process = self.processes.start(command, self.core, env=environment, stdout=subprocess.PIPE, stderr=log)
        line = node.process.stdout.readline()
        if not line:
            raise GaveUp(f"{node.name} did not start: {(node.directory / 'log').read_text()[-2000:]}")
        node.ready = json.loads(line)

    def up(self):
        return [node for node in self.nodes if node.process.poll() is None]

    def wait_whole(self, services=0):
        """Every node that runs knows every other as alive, with so many instances in all."""
        wait_until("the mesh is not whole", WHOLE_WITHIN, lambda: self.is_whole(services), step=0.05)

    def is_whole(self, services):
        up = self.up()
        for node in up:
            workers = fetch(f"{node.ready['admin']}/api/admin/workers")
            if workers is None:
                return False
            serving = [w for w in workers if w["status"] == "alive" and not w["unroutable"] and not w["draining"]]
            if len(serving) != len(up) or sum(len(worker["services"]) for worker in serving) < services:
                return False
        return True

    def terminate(self, node, within):
        """Asks a node to drain and leave, and waits for its end; how long that took, in seconds."""
        started = time.monotonic()
        node.process.send_signal(signal.SIGTERM)
        node.process.wait(within)
        self.processes.running.remove(node.process)
        return time.monotonic() - started

    def stop(self):
        for node in self.up():
            self.processes.kill(node.process)
