"""The whole chain with real processes: nodes elect a leader, it writes to Workers KV over REST, and the Worker finds the nodes there."""

import base64
import datetime
import json
import os
import pathlib
import socket
import subprocess

import pytest

from support import backend
from support.harness import ACCOUNT, NAMESPACE, TOKEN, Harness
from support.mesh import meshnode
from support.processes import Process, eventually

CLUSTER, KEY = "it", "mesh:v1:it"
# Of the 30 writes of a day, two are never planned for: the pacing allows 28 by its last hour.
PACED = 28
DAY = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SECRET = "k1:" + base64.b64encode(os.urandom(32)).decode()


def clock(hour, minute):
    """A time of the store's clock, in unix seconds."""
    return int((DAY + datetime.timedelta(hours=hour, minutes=minute)).timestamp())


def shown(hour):
    """A full hour of that day as it is shown."""
    return f"{DAY:%Y-%m-%d}T{hour:02}:00:00Z"


def example(name):
    """A program of examples/."""
    return pathlib.Path(os.environ.get(name.upper()) or meshnode().parent / "examples" / name).absolute()


class Node:
    """A real node with a listener for edges, whose summary goes to the API. The first ones lead first."""

    def __init__(self, world, number, token=TOKEN, namespace=NAMESPACE):
        self.world, self.name = world, f"n{number + 1}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        store = ["--store", f"cloudflare:{ACCOUNT}/{namespace}", "--cloudflare-api", world.harness.api, "--store-staleness", "0s"]
        edge = ["--edge-listen", f"127.0.0.1:{port}", "--edge-secret-file", world.directory / "secret"]
        # An edge takes a name only. This one is the machine's own.
        edge += ["--public-url", f"http://localhost:{port}"]
        self.command = [meshnode(), "run", "--name", self.name, "--cluster", CLUSTER, "--data-dir", world.directory / self.name]
        self.command += ["--cluster-key-file", world.directory / "key", "--election-hold", "1s", "--leader-priority", 9 - number]
        self.command += ["--bind", "127.0.0.1:0", "--ingress", "127.0.0.1:0", "--admin", "127.0.0.1:0", *edge, *store]
        self.environment = {**os.environ, "CLOUDFLARE_API_TOKEN": token}
        self.starts = 0
        self.start()

    def start(self):
        self.starts += 1
        others = [node for node in self.world.nodes if node is not self and node.process.is_alive()]
        join = [word for node in others for word in ("--join", node.ready["bind"])]
        name = f"{self.name}.{self.starts}"
        self.process = Process(name, [*self.command, *join], self.world.directory, env=self.environment)
        self.ready = json.loads(self.process.first_line())
        self.id = self.ready["worker_id"]

    def admin(self, path, body=None, method="GET"):
        data = body and json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        status, _, read = Harness.send(method, f"{self.ready['admin']}/api/admin/{path}", data, headers)
        assert status < 300, read
        return json.loads(read or b"null")

    def offer(self, service, url):
        """Offers a service; from then on the node may lead."""
        self.admin(f"local/services/{service}", {"url": url, "check": "none"}, "PUT")

    def knows(self):
        """The ids of the members that it holds alive."""
        return {worker["worker_id"] for worker in self.admin("workers") if worker["status"] == "alive"}

    def watched(self):
        """How many others it watches over a link; a death without one is noticed later."""
        text = Harness.send("GET", f"{self.ready['admin']}/metrics")[2].decode()
        lines = [line.split() for line in text.splitlines() if line.startswith("meshnode_watch_links{")]
        return sum(float(value) for labels, value in lines if "dialled" in labels)

    def leader(self):
        """What `meshnode leader --json` says of it."""
        command = [meshnode(), "leader", "--json", "--admin", self.ready["admin"]]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=20).stdout)

    def log(self):
        return self.process.err.read_text()


class World:
    """Cloudflare's runtime, a mesh of real nodes, and a service."""

    def __init__(self, directory, harness):
        self.directory, self.harness, self.nodes = pathlib.Path(directory), harness, []
        (self.directory / "key").write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
        (self.directory / "secret").write_text(SECRET + "\n")
        self.service = backend.uvicorn(directory)

    def start(self, count, **options):
        """Starts nodes; nobody leads before they know each other, for nobody offers anything yet."""
        for number in range(count):
            self.nodes.append(Node(self, number, **options))
        everybody = {node.id for node in self.nodes}
        eventually(lambda: all(node.knows() == everybody for node in self.nodes), what="all nodes know all")
        for number, node in enumerate(self.nodes):
            node.offer("notes" if number == count - 1 else f"idle{number}", self.service.url)
        return self.nodes

    def led_by(self, leader, seconds=30):
        """Waits until all that live agree on a leader."""

        def agreed():
            return all(node.admin("leader")["worker_id"] == leader.id for node in self.nodes if node.process.is_alive())

        eventually(agreed, seconds, f"{leader.name} leads")

    def kill(self, node):
        """Kills a node that the others watch."""
        others = [other for other in self.nodes if other.process.is_alive() and other is not node]
        eventually(lambda: all(other.watched() == len(others) for other in others), what=f"{node.name} is watched")
        node.process.stop()

    def written(self, count):
        """The stored value, once so many writes were applied."""
        eventually(lambda: self.harness.counts()["writes"] >= count, what=f"write {count}")
        assert self.harness.counts()["writes"] == count
        return json.loads(self.harness.get(KEY))

    def stop(self):
        for node in self.nodes:
            node.process.stop()
            assert "panicked" not in node.log(), node.log()[-4000:]
        self.service.process.stop()


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    harness = Harness(tmp_path_factory.mktemp("chain"), CLUSTER=CLUSTER, EDGE_SECRET=SECRET).wait()
    yield harness
    harness.stop()


@pytest.fixture
def world(tmp_path, harness):
    harness.control(reset=True)
    harness.call("DELETE", f"values/{KEY}")
    world = World(tmp_path, harness)
    yield world
    world.stop()


def attempts(value):
    """How many attempts to write are counted in a value, by writer."""
    assert list(value["writes"]) == [f"{DAY:%Y-%m-%d}"], value
    return sorted(value["writes"][f"{DAY:%Y-%m-%d}"].values())


def counted(leader):
    return {name: leader[name] for name in ("writes_today", "budget_left", "next_slot", "last_error")}


def test_the_leader_writes_and_the_next_one_does_and_the_worker_reaches_a_third_node(world, harness):
    harness.control(now=clock(12, 40))
    n1, n2, n3 = world.start(3)
    world.led_by(n1)
    value = world.written(1)
    assert {node["id"] for node in value["nodes"]} == {n1.id, n2.id, n3.id}
    assert (value["heartbeat_leader"], value["slot"], attempts(value)) == (n1.id, 12, [1])
    (entry,) = harness.call("GET", "keys")[2]["result"]
    assert entry["metadata"] == {"v": 1, "term": value["term"], "seq": value["seq"]}
    assert abs(entry["expiration"] - datetime.datetime.now().timestamp() - 7 * 86400) < 60
    assert counted(n1.leader()) == {"writes_today": 1, "budget_left": PACED - 1, "next_slot": shown(13), "last_error": None}
    assert served(harness) == n3.id

    harness.control(now=clock(13, 40))
    world.kill(n1)
    assert served(harness) == n3.id, "nobody but the leader is gone"
    world.led_by(n2)
    later = world.written(2)
    assert (later["heartbeat_leader"], later["slot"], attempts(later)) == (n2.id, 13, [1, 1])
    assert later["seq"] > value["seq"] and later["term"] > value["term"]
    assert {node["id"] for node in later["nodes"] if node["unseen_since"] is None} == {n2.id, n3.id}
    assert later["services"]["notes"] == {"healthy": 1, "total": 1}
    assert counted(n2.leader()) == {"writes_today": 2, "budget_left": PACED - 2, "next_slot": shown(14), "last_error": None}
    assert served(harness) == n3.id
    assert harness.counts()["writes"] == 2


def served(harness):
    """The node whose service answers through the Worker."""
    status, headers, body = harness.send("GET", f"{harness.url}/api/service/notes/a/b?c=d")
    assert (status, body) == (200, b"GET /a/b?c=d 0\n"), body
    return headers["x-mesh-worker"]


def test_what_the_store_refuses_or_loses_is_counted_and_waits_for_the_next_slot(world, harness):
    harness.control(now=clock(12, 40), status=429, on="get", retryAfter=3)
    harness.control(drop="put")
    n1, n2, n3 = world.start(3)
    # A read that is refused for its rate is repeated, later; the answer of the write is lost.
    eventually(lambda: harness.counts()["refused"] == 1, what="the 429")
    world.led_by(n1)
    assert harness.counts()["writes"] == 0, "it waits"
    assert attempts(world.written(1)) == [1]
    eventually(lambda: "unknown" in (n1.leader()["last_error"] or ""), what="the lost answer")
    assert {**counted(n1.leader()), "last_error": ""} == {"writes_today": 1, "budget_left": PACED - 1, "next_slot": shown(13), "last_error": ""}

    # The next leader's write is refused: that costs an attempt, and the office.
    harness.control(now=clock(13, 40), status=500, on="put")
    world.kill(n1)
    world.led_by(n3)
    assert harness.counts()["refused"] == 2
    assert "500" in n2.leader()["last_error"]
    eventually(lambda: n3.leader()["writes_today"] == 2, what="the count of both attempts")
    assert harness.counts()["writes"] == 1

    # The first one is back, knows from its disk and from the others what was spent, and leads in the next slot.
    n1.start()
    eventually(lambda: n1.knows() == {n1.id, n2.id, n3.id}, what="n1 is back")
    harness.control(now=clock(14, 40))
    world.kill(n3)
    world.led_by(n1)
    value = world.written(2)
    assert (value["slot"], attempts(value)) == (14, [1, 2])
    assert counted(n1.leader()) == {"writes_today": 3, "budget_left": PACED - 3, "next_slot": shown(15), "last_error": None}


@pytest.mark.parametrize(
    "wrong, says",
    [({"token": "expired"}, "Authentication error (10000)"), ({"namespace": "f" * 32}, "(10013)")],
    ids=["token", "namespace"],
)
def test_a_mesh_that_may_not_write_says_so_once_and_serves_on(world, harness, wrong, says):
    n1, n2 = world.start(2, **wrong)
    eventually(lambda: all(node.leader()["last_error"] for node in (n1, n2)), what="both were refused")
    for node in (n1, n2):
        leader = node.leader()
        assert says in leader["last_error"]
        assert (leader["worker_id"], leader["store_ok"], leader["writes_today"]) == (None, False, 0)
        assert node.log().count(says) == 1, node.log()
        assert "expired" not in node.log().replace(says, ""), "the token is no one's business"
    url = f"{n1.ready['ingress']}/api/service/notes/"
    answer = eventually(lambda: (got := harness.send("GET", url))[0] == 200 and got, what="an answer")
    assert answer[1]["x-mesh-worker"] == n2.id
    assert harness.counts()["writes"] == 0


def test_three_nodes_write_four_times_on_a_quiet_day(harness, figure):
    """The writer's own policy, through days of made-up time, against the real runtime."""
    harness.control(reset=True)
    harness.call("DELETE", f"values/{KEY}")
    command = [example("quiet_day"), harness.api, "2"]
    run = subprocess.run(command, env={"CLOUDFLARE_API_TOKEN": TOKEN}, capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr.decode()
    puts = [day["puts"] for day in json.loads(run.stdout).values()]
    # It begins shortly before the first of the two days, and ends in the middle of another.
    assert puts[:3] == [1, 4, 4]
    assert harness.counts()["writes"] == sum(puts), "each attempt is a write"
    figure(f"writes on a quiet day, 3 nodes, real runtime, the clock accelerated: {puts[1]}")
