"""Groups of agents that are members of one mesh, of meshnode or of Serf, seen through their own logs."""

import base64
import json
import math
import os
import re
import subprocess
import time
import urllib.request
from collections import deque
from dataclasses import dataclass, field

from bench import check_binary, need, wait_until
from hosts import Namespace

JOIN_WITHIN = 90
RECOVER_WITHIN = 30
# Two lines of one moment are read within this time.
AT_ONCE = 0.05
SERF_EVENT = re.compile(r"serf: Event(MemberJoin|MemberFailed|MemberLeave): (\S+)")


@dataclass
class Place:
    """Where an agent runs: its network, and its address there."""

    namespace: Namespace
    address: str
    port: int

    def bind(self):
        return f"{self.address}:{self.port}"


@dataclass
class Agent:
    """One member: its process, and what its log says about the others, with the time at which it said so."""

    name: str
    place: Place
    process: subprocess.Popen | None = None
    ready: dict | None = None
    ready_at: float = math.inf
    alive: set = field(default_factory=set)
    knows_all_at: float = math.inf
    dead: dict = field(default_factory=dict)
    # Not to be sent requests to, for whatever reason: unroutable or dead.
    avoided: dict = field(default_factory=dict)
    # Was avoided, from when and until when; a death ends `unroutable` just before it is told.
    routable: dict = field(default_factory=dict)
    last_lines: deque = field(default_factory=lambda: deque(maxlen=5))

    def forget(self):
        self.ready, self.ready_at, self.knows_all_at = None, math.inf, math.inf
        for what in (self.alive, self.dead, self.avoided, self.routable):
            what.clear()

    def note(self, kind, name, now, size):
        if kind == "alive":
            self.alive.add(name)
            self.dead.pop(name, None)
            self.avoided.pop(name, None)
            if len(self.alive | {self.name}) == size:
                self.knows_all_at = min(self.knows_all_at, now)
        elif kind == "unroutable":
            self.avoided.setdefault(name, now)
        elif kind == "routable":
            self.routable[name] = (self.avoided.pop(name, now), now)
        else:
            self.alive.discard(name)
            self.dead.setdefault(name, now)
            since, until = self.routable.pop(name, (now, now))
            self.avoided.setdefault(name, since if now - until < AT_ONCE else now)


class Group:
    """All agents of one system, the first of which is the seed of the others."""

    def __init__(self, processes, reader, directory, places):
        self.processes = processes
        self.reader = reader
        self.directory = directory
        self.agents = [Agent(f"n{index}", place) for index, place in enumerate(places)]
        # Every time that somebody held somebody dead: (when, by whom, whom).
        self.deaths = []

    def start(self):
        """Starts all, the seed first and the others at once; seconds from the last ready line until all know all."""
        self.launch(self.agents[0])
        wait_until(f"{self.name}: the seed does not start", 30, lambda: self.agents[0].ready_at < math.inf, 0.01)
        for agent in self.agents[1:]:
            self.launch(agent)
        self.wait_joined()
        last_ready = max(agent.ready_at for agent in self.agents)
        return max(0.0, max(agent.knows_all_at for agent in self.agents) - last_ready)

    def is_joined(self):
        return all(len(agent.alive | {agent.name}) == len(self.agents) for agent in self.agents)

    def wait_joined(self):
        """Waits until each sees all: by its log, and then by what it answers when it is asked."""
        wait_until(f"not all {self.name} agents see each other", JOIN_WITHIN, self.is_joined, 0.05)
        self.check_joined()

    def launch(self, agent):
        agent.forget()
        process = self.processes.start(
            self.command(agent),
            namespace=agent.place.namespace,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        agent.process = process

        def handle_line(line, now):
            # Not what the process before this one had left in its pipe.
            if agent.process is process:
                agent.last_lines.append(line)
                self.handle_line(agent, line, now)

        for pipe in (process.stdout, process.stderr):
            self.reader.follow(pipe, handle_line)

    def kill(self, agent):
        """Kills an agent without notice, and says when."""
        now = time.monotonic()
        self.processes.kill(agent.process)
        return now

    def restart(self, agent):
        """Starts an agent again, which was killed or is now."""
        if agent.process.poll() is None:
            self.kill(agent)
        self.launch(agent)

    def recover(self):
        """Waits until all see each other, and starts those again that do not find back by themselves."""
        deadline = time.monotonic() + RECOVER_WITHIN
        while not self.is_joined() and time.monotonic() < deadline:
            time.sleep(0.05)
        for agent in self.lost():
            how = "ended" if agent.process.poll() is not None else f"did not find back in {RECOVER_WITHIN} s"
            print(f"  {self.name} {agent.name} {how}, and is started again; it said last:")
            print("".join(f"    {line}\n" for line in agent.last_lines), end="", flush=True)
            self.restart(agent)
        self.wait_joined()

    def lost(self):
        """Those who see few or have ended, and those whom one of the others does not see."""
        is_blind = lambda agent: len(agent.alive) < len(self.agents) / 2 or agent.process.poll() is not None
        seeing = [agent for agent in self.agents if not is_blind(agent)]
        unseen = [agent for agent in seeing if any(agent.name not in it.alive for it in seeing if it is not agent)]
        return [agent for agent in self.agents if is_blind(agent)] + unseen

    def stop(self):
        for agent in self.agents:
            self.processes.kill(agent.process)

    def pids(self):
        return [agent.process.pid for agent in self.agents]

    def environment(self):
        return {key: value for key, value in os.environ.items() if not key.startswith("MESHNODE_")}

    def note(self, agent, kind, name, now):
        if kind == "dead":
            self.deaths.append((now, agent.name, name))
        agent.note(kind, name, now, len(self.agents))

    def wrongly_gone(self, since, but=()):
        """The members that somebody held dead since then, apart from those that were."""
        return {whom for when, _, whom in self.deaths if when >= since} - set(but)


class Meshnodes(Group):
    """`meshnode run`, with datagrams sealed and links over TLS as always."""

    name = "meshnode"
    EVENTS = {"joined": "alive", "refuted": "alive", "dead": "dead", "left": "left"}
    EVENTS |= {kind: kind for kind in ("unroutable", "routable")}

    def __init__(self, processes, reader, directory, places, binary):
        super().__init__(processes, reader, directory, places)
        self.binary = check_binary(binary)
        self.key = base64.b64encode(os.urandom(32)).decode()
        self.names = {}

    def environment(self):
        return {**super().environment(), "MESHNODE_CLUSTER_KEY": self.key}

    def command(self, agent):
        command = [self.binary, "run", "--name", agent.name, "--data-dir", self.directory / f"mesh-{agent.name}"]
        command += ["--bind", agent.place.bind(), "--ingress", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        command += ["--log-format", "json"]
        seed = self.agents[1] if agent is self.agents[0] else self.agents[0]
        if seed.process is not None:
            command += ["--join", seed.place.bind()]
        return command

    def handle_line(self, agent, line, now):
        try:
            record = json.loads(line)
        except ValueError:
            return
        if record.get("ready") is True:
            self.names[record["worker_id"]] = agent.name
            agent.ready, agent.ready_at = record, now
            return
        kind = self.EVENTS.get(record.get("message"))
        if kind is not None and "worker" in record:
            name = self.names.get(record["worker"]) or record.get("name") or record["worker"]
            self.note(agent, kind, name, now)

    def check_joined(self):
        """The log was right: every node's API shows every node alive."""

        def is_alive(agent):
            with agent.place.namespace.inside():
                with urllib.request.urlopen(agent.ready["admin"] + "/api/admin/workers", timeout=10) as answer:
                    workers = json.load(answer)
            return sum(worker["status"] == "alive" for worker in workers) == len(self.agents)

        wait_until("not all are alive in /api/admin/workers", 30, lambda: all(map(is_alive, self.agents)))


class Serfs(Group):
    """`serf agent` with the profile `lan`, which is its default; encrypted only when asked for."""

    RPC_PORTS = 1000

    def __init__(self, processes, reader, directory, places, encrypted=False):
        super().__init__(processes, reader, directory, places)
        need("serf")
        self.name = "serf-encrypted" if encrypted else "serf"
        self.key = base64.b64encode(os.urandom(16)).decode() if encrypted else None

    def command(self, agent):
        command = ["serf", "agent", "-profile=lan", f"-node={agent.name}", "-log-level=info"]
        command += [f"-bind={agent.place.bind()}", f"-rpc-addr={self.rpc(agent)}"]
        seed = self.agents[1] if agent is self.agents[0] else self.agents[0]
        if seed.process is not None:
            command += [f"-join={seed.place.bind()}"]
        if self.key is not None:
            command += [f"-encrypt={self.key}"]
        return command

    def rpc(self, agent):
        return f"127.0.0.1:{agent.place.port + self.RPC_PORTS}"

    def handle_line(self, agent, line, now):
        if "Serf agent running!" in line:
            agent.ready_at = now
            return
        found = SERF_EVENT.search(line)
        if found:
            kind = {"MemberJoin": "alive", "MemberFailed": "dead", "MemberLeave": "left"}[found[1]]
            self.note(agent, kind, found[2], now)

    def check_joined(self):
        for agent in self.agents:
            wait_until(f"serf members at {agent.name}", 30, lambda: self.alive_at(agent) == len(self.agents))

    def alive_at(self, agent):
        command = ["serf", "members", f"-rpc-addr={self.rpc(agent)}", "-status=alive"]
        with agent.place.namespace.inside():
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return len(answer.stdout.splitlines())


def make_group(name, processes, reader, directory, places, binary):
    """The group of that name."""
    if name == "meshnode":
        return Meshnodes(processes, reader, directory, places, binary)
    return Serfs(processes, reader, directory, places, encrypted=name == "serf-encrypted")


PEERS = ("serf", "serf-encrypted")
