"""Groups of agents that are members of one mesh, of meshnode or of Serf, seen through their own logs."""

import base64
import json
import os
import re
import selectors
import subprocess
import threading
import time
import urllib.request

from bench import check_binary, need, wait_until

JOIN_WITHIN = 90
SERF_EVENT = re.compile(r"serf: Event(MemberJoin|MemberFailed|MemberLeave): (\S+)")


class LogReader(threading.Thread):
    """Reads the logs of all agents, and hands over each line with the time at which it came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.start()

    def follow(self, pipe, handle_line):
        os.set_blocking(pipe.fileno(), False)
        self.selector.register(pipe, selectors.EVENT_READ, [handle_line, b""])

    def run(self):
        while True:
            if not self.selector.get_map():
                time.sleep(0.05)
                continue
            for key, _ in self.selector.select(timeout=0.05):
                self.read(key)

    def read(self, key):
        handle_line, rest = key.data
        read = os.read(key.fd, 65536)
        now = time.monotonic()
        if not read:
            self.selector.unregister(key.fileobj)
            key.fileobj.close()
            return
        *lines, key.data[1] = (rest + read).split(b"\n")
        for line in lines:
            handle_line(line.decode(errors="replace"), now)


class Agent:
    """One member: its process, and what its log says about the others."""

    def __init__(self, index):
        self.index = index
        self.name = f"n{index}"
        self.process = None
        self.alive = set()
        # The time at which this agent held another one dead, by name.
        self.dead = {}

    def note(self, kind, name, now):
        if kind == "alive":
            self.alive.add(name)
        elif kind == "dead":
            self.alive.discard(name)
            self.dead[name] = now
        else:
            self.alive.discard(name)


class Group:
    """All agents of one system."""

    def __init__(self, processes, count, directory):
        self.processes = processes
        self.directory = directory
        self.reader = LogReader()
        self.agents = [Agent(index) for index in range(count)]

    def start(self):
        self.launch(self.agents[0])
        for agent in self.agents[1:]:
            self.launch(agent)
        self.wait_joined()

    def is_joined(self):
        others = len(self.agents) - 1
        return all(len(agent.alive - {agent.name}) == others for agent in self.agents)

    def wait_joined(self):
        wait_until(f"not all {self.name} agents see each other", JOIN_WITHIN, self.is_joined, 0.05)
        self.check_joined()

    def launch(self, agent):
        agent.alive.clear()
        agent.dead.clear()
        command, log = self.command(agent)
        streams = {log: subprocess.PIPE, "stdout" if log == "stderr" else "stderr": self.other_stream(agent)}
        agent.process = self.processes.start(command, env=self.environment(), **streams)
        self.reader.follow(getattr(agent.process, log), lambda line, now: self.handle_line(agent, line, now))
        self.launched(agent)

    def kill(self, agent):
        """Kills an agent without notice, and says when."""
        now = time.monotonic()
        self.processes.kill(agent.process)
        return now

    def false_deaths(self):
        """Pairs of living agents of which one holds the other dead, by the logs."""
        return sum(len(agent.dead) for agent in self.agents)

    def forget_deaths(self):
        for agent in self.agents:
            agent.dead.clear()

    def stop(self):
        for agent in self.agents:
            self.processes.kill(agent.process)

    def pids(self):
        return [agent.process.pid for agent in self.agents]

    def environment(self):
        return {key: value for key, value in os.environ.items() if not key.startswith("MESHNODE_")}


class Meshnodes(Group):
    """`meshnode run`, with datagrams sealed and links over TLS as always."""

    name = "meshnode"
    EVENTS = {"joined": "alive", "refuted": "alive", "dead": "dead", "left": "left"}

    def __init__(self, processes, count, directory, binary):
        super().__init__(processes, count, directory)
        self.binary = check_binary(binary)
        self.key = base64.b64encode(os.urandom(32)).decode()
        self.ready = {}

    def environment(self):
        return {**super().environment(), "MESHNODE_CLUSTER_KEY": self.key}

    def command(self, agent):
        # A node that is started again keeps its address, as a Serf agent does.
        bind = self.ready.get(agent.index, {}).get("bind", "127.0.0.1:0")
        command = [self.binary, "run", "--name", agent.name, "--data-dir", self.directory / f"mesh-{agent.name}"]
        command += ["--bind", bind, "--ingress", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"]
        seed = self.agents[1] if agent.index == 0 else self.agents[0]
        if seed.index in self.ready:
            command += ["--join", self.ready[seed.index]["bind"]]
        return command, "stderr"

    def other_stream(self, _agent):
        return subprocess.PIPE

    def launched(self, agent):
        line = agent.process.stdout.readline()
        if not line:
            raise SystemExit(f"meshnode {agent.name} did not start, exit code {agent.process.wait()}")
        self.ready[agent.index] = json.loads(line)

    def handle_line(self, agent, line, now):
        try:
            record = json.loads(line)
        except ValueError:
            return
        kind = self.EVENTS.get(record.get("message"))
        if kind is not None and "worker" in record:
            name = record.get("name") or self.name_of(record["worker"])
            agent.note(kind, name, now)

    def name_of(self, worker_id):
        names = [index for index, ready in self.ready.items() if ready["worker_id"] == worker_id]
        return f"n{names[0]}" if names else worker_id

    def get(self, agent, path):
        url = self.ready[agent.index]["admin"] + path
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    def check_joined(self):
        """The log was right: every node's API shows every node alive."""

        def is_alive(agent):
            workers = json.loads(self.get(agent, "/api/admin/workers"))
            return sum(worker["status"] == "alive" for worker in workers) == len(self.agents)

        wait_until("not all are alive in /api/admin/workers", 30, lambda: all(map(is_alive, self.agents)))

    def counted_bytes(self):
        """Bytes that the nodes say that they sent: datagrams and links, without IP, UDP and TCP headers."""
        wanted = re.compile(r'^meshnode_(datagram|link)_bytes_total\{direction="sent"\} (\d+)', re.MULTILINE)
        return sum(int(value) for agent in self.agents for _, value in wanted.findall(self.get(agent, "/metrics")))


class Serfs(Group):
    """`serf agent` with the profile `lan`, which is its default; encrypted only when asked for."""

    FIRST_BIND, FIRST_RPC = 20000, 21000

    def __init__(self, processes, count, directory, encrypted=False):
        super().__init__(processes, count, directory)
        need("serf")
        self.name = "serf-encrypted" if encrypted else "serf"
        self.key = base64.b64encode(os.urandom(16)).decode() if encrypted else None

    def command(self, agent):
        command = ["serf", "agent", "-profile=lan", f"-node={agent.name}", "-log-level=info"]
        command += [f"-bind=127.0.0.1:{self.FIRST_BIND + agent.index}"]
        command += [f"-rpc-addr=127.0.0.1:{self.FIRST_RPC + agent.index}"]
        seed = self.agents[1] if agent.index == 0 else self.agents[0]
        if seed.process is not None:
            command += [f"-join=127.0.0.1:{self.FIRST_BIND + seed.index}"]
        if self.key is not None:
            command += [f"-encrypt={self.key}"]
        return command, "stdout"

    def other_stream(self, _agent):
        return subprocess.STDOUT

    def launched(self, agent):
        if agent.index == 0:
            wait_until("the first serf agent does not start", 10, lambda: agent.name in agent.alive)

    def handle_line(self, agent, line, now):
        found = SERF_EVENT.search(line)
        if found:
            kind = {"MemberJoin": "alive", "MemberFailed": "dead", "MemberLeave": "left"}[found[1]]
            agent.note(kind, found[2], now)

    def check_joined(self):
        for agent in self.agents:
            rpc = f"-rpc-addr=127.0.0.1:{self.FIRST_RPC + agent.index}"
            wait_until(f"serf members at {agent.name}", 30, lambda: self.alive_at(rpc) == len(self.agents))

    @staticmethod
    def alive_at(rpc):
        answer = subprocess.run(
            ["serf", "members", rpc, "-status=alive"], capture_output=True, text=True, timeout=10, check=False
        )
        return len(answer.stdout.splitlines())

    def counted_bytes(self):
        """Serf does not count them."""
        return None


def make_group(name, processes, count, directory, binary):
    """The group of that name."""
    if name == "meshnode":
        return Meshnodes(processes, count, directory, binary)
    return Serfs(processes, count, directory, encrypted=name == "serf-encrypted")


PEERS = ("serf", "serf-encrypted")
