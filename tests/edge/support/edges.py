"""The two edges as processes: the Worker in Cloudflare's runtime, and meshedge."""

import itertools
import json
import os
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

from .client import Client, echo
from .fakes import CLUSTER
from .harness import ACCOUNT, NAMESPACE, ROOT, Harness
from .processes import Process
from .signature import SECRET

KEY = f"mesh:v1:{CLUSTER}"
ADMIN_TOKEN = "the-token-of-the-admin"
NUMBERS = itertools.count(1)


def meshedge():
    """The binary under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return pathlib.Path(os.environ.get("MESHEDGE") or target / "debug" / "meshedge").absolute()


class Edge(Client):
    """What both edges share."""

    def __init__(self, process, pid, url):
        super().__init__(url.removeprefix("http://"))
        self.process, self.pid = process, pid

    def warmed(self):
        """Itself, once it knows its nodes."""
        assert self.get(echo()).status == 200
        return self

    def unsound(self):
        """What it said, unless it runs, or ended in order."""
        said = self.process.err.read_text()
        is_sound = self.process.popen.poll() in (None, 0) and "panicked" not in said
        return None if is_sound else f"{self.process.name} ended with {self.process.popen.returncode}: {said[-4000:]}"

    def forget_peak(self):
        """From now on the most memory is counted anew."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def resident_peak(self):
        """The most bytes in memory since it was last forgotten."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


class Worker(Edge):
    """The Worker, which reads KV."""

    kind = "worker"

    def __init__(self, harness):
        self.harness = harness
        super().__init__(harness.process, runtime(harness.process.pid), harness.wait().url)

    def store(self, value):
        """Puts a value into KV, or takes it away."""
        put(self.harness, value)

    def store_reads(self):
        """How often the Worker read KV since the last value was put there."""
        return self.harness.counts()["edgeReads"]

    def stop(self):
        """Asks it to end; whoever started the harness waits for that."""
        self.process.popen.terminate()


class MeshEdge(Edge):
    """The binary, which reads a file, or KV over the REST API of a harness."""

    kind = "meshedge"

    def __init__(self, directory, stored=None, seeds=(), admin_token=ADMIN_TOKEN, secret=SECRET, harness=None):
        name = f"meshedge-{next(NUMBERS)}"
        own = pathlib.Path(directory) / name
        own.mkdir()
        self.file, self.harness = own / "summary.json", harness
        self.store(stored)
        (own / "secret").write_text(secret + "\n")
        store = ["--store", f"file:{self.file}"]
        if harness is not None:
            store = ["--store", f"cloudflare:{ACCOUNT}/{NAMESPACE}", "--cloudflare-api", harness.api]
        command = [meshedge(), *store, "--listen", "127.0.0.1:0", "--cluster", CLUSTER, "--edge-secret-file", own / "secret"]
        for seed in seeds:
            command += ["--seed", seed]
        if admin_token:
            (own / "token").write_text(admin_token + "\n")
            command += ["--admin-token-file", own / "token"]
        environment = {**os.environ, "CLOUDFLARE_API_TOKEN": harness.token} if harness else None
        process = Process(name, command, directory, env=environment)
        super().__init__(process, process.pid, json.loads(process.first_line())["listen"])

    def store(self, value):
        """Puts a value into the store, or takes it away."""
        if self.harness is not None:
            put(self.harness, value)
        elif value is None:
            self.file.unlink(missing_ok=True)
        else:
            new = self.file.with_suffix(".new")
            new.write_bytes(encoded(value))
            new.rename(self.file)

    def store_reads(self):
        """How often the API was asked since the last value was put there."""
        return self.harness.counts()["reads"]

    def stop(self):
        self.process.stop()


class Spares:
    """Harnesses that start while the case before is still running: a cold Worker without the wait."""

    def __init__(self, directory, size=2):
        self.directory, self.size = directory, size
        self.waiting, self.started = [], []
        self.lock = threading.Lock()
        # The kernel ends a process with the thread that started it, so that is one which stays.
        self.starter = ThreadPoolExecutor(1)

    def take(self, **options):
        """One that serves, and has not been asked anything."""
        if options:
            return self.start(**options).wait()
        with self.lock:
            ready = self.waiting.pop(0) if self.waiting else self.start()
            while len(self.waiting) < self.size:
                self.waiting.append(self.start())
        return ready.wait()

    def start(self, seeds=(), admin_token=ADMIN_TOKEN, secret=SECRET):
        variables = {"CLUSTER": CLUSTER, "EDGE_SECRET": secret, "ADMIN_TOKEN": admin_token or "", "SEEDS": ",".join(seeds)}
        harness = self.starter.submit(Harness, self.directory, f"worker-{next(NUMBERS)}", **variables).result()
        self.started.append(harness)
        return harness

    def stop(self):
        for harness in self.started:
            harness.process.popen.terminate()
        for harness in self.started:
            harness.stop()
        self.starter.shutdown()


def encoded(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def put(harness, value):
    """Puts the summary into KV, or takes it away. The API counts from zero again, and forgets when it was written last."""
    harness.control(reset=True)
    if value is None:
        harness.call("DELETE", f"values/{KEY.replace(':', '%3A')}")
    else:
        harness.put(KEY, encoded(value))


def runtime(pid):
    """The process of workerd that a harness started."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return next(child for child in children if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "workerd")
