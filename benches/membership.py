#!/usr/bin/env python3
"""How fast membership notices, how often it is wrong, and what it costs: meshnode beside Serf, real processes, one run.

Both groups go through everything at the same time, or in turns where one would disturb the other. README.md says what
each row measures, with what error, and what it leaves out.
"""

import argparse
import math
import pathlib
import random
import resource
import signal
import statistics
import tempfile
import time
from contextlib import contextmanager

from bench import (
    BusyMeter,
    Processes,
    add_arguments,
    cpu_seconds,
    enter_own_network,
    machine,
    memory_mib,
    need,
    write_csv,
)
from figures import Figures
from groups import PEERS, Place, make_group
from hosts import Namespace, Network
from logs import LogReader

PARTS = ("join", "idle", "kill", "stop", "silent", "loss")
ON_LO, ON_HOSTS = ("join", "idle", "kill", "stop"), ("silent", "loss")
PORTS = {"meshnode": 7946, "peer": 7950}
LO_PORT = 20000
LOSS_PERCENT = 25
# Seconds after which a death is given up, and what is between two repetitions.
GIVE_UP, SETTLE = 60, 4


class Bench:
    """One run: its options, its processes, its figures."""

    def __init__(self, options, processes, directory):
        self.options = options
        self.processes = processes
        self.directory = directory
        self.systems = ["meshnode", options.peer]
        self.figures = Figures(options.peer)
        self.reader = LogReader(processes)
        self.draw, self.victims = random.Random(options.seed), set()

    def wants(self, part):
        return not self.options.only or part in self.options.only

    def add(self, key, system, value, label=""):
        self.figures.add(key, system, value, label)

    def groups(self, places_of):
        """A group of each system; `places_of` says where."""
        return [
            make_group(system, self.processes, self.reader, self.directory, places_of(system), self.options.binary)
            for system in self.systems
        ]

    def say(self, text):
        print(f"{time.monotonic() - self.options.began:5.0f} s  {text}", flush=True)

    def on_lo(self):
        """What is measured in one namespace per system, with all its agents on `lo`."""
        namespaces = {system: Namespace() for system in self.systems}
        for namespace in namespaces.values():
            namespace.count_sent("output priority 0", {"all": f"{LO_PORT}-{LO_PORT + self.options.nodes}"})

        def places_of(system):
            return [Place(namespaces[system], "127.0.0.1", LO_PORT + index) for index in range(self.options.nodes)]

        rounds = self.options.rounds if self.wants("join") else 1
        for number in range(rounds):
            groups = self.groups(places_of)
            self.victims.clear()
            self.join(groups if number % 2 == 0 else reversed(groups), number)
            if number < rounds - 1:
                for group in groups:
                    group.stop()
                self.forget_data()
        started = time.monotonic()
        if self.wants("idle"):
            self.idle(groups, started)
        if self.wants("kill"):
            self.repeat(groups, self.options.kills, self.kill)
        if self.wants("stop"):
            self.repeat(groups, self.options.stops, self.freeze)
        for group in groups:
            group.stop()
        self.forget_data()

    def forget_data(self):
        """New groups are new nodes."""
        for path in self.directory.iterdir():
            path.rename(self.options.trash / f"{len(list(self.options.trash.iterdir()))}-{path.name}")

    def join(self, groups, number):
        for group in groups:
            with self.reader.measured():
                seconds = group.start()
            if self.wants("join"):
                self.add("join", group.name, seconds, f"round {number}")
            self.say(f"join: {group.name} {seconds:.2f} s")

    def idle(self, groups, started):
        """The window in which nothing is asked of anybody."""
        time.sleep(max(0.0, started + self.options.idle_from - time.monotonic()))
        busy, began = BusyMeter(), time.monotonic()
        namespaces = [group.agents[0].place.namespace for group in groups]
        bytes_before = [(namespace.lo_bytes(), namespace.sent()["all"]) for namespace in namespaces]
        cpu_before = [[cpu_seconds(pid) for pid in group.pids()] for group in groups]
        time.sleep(self.options.idle)
        seconds = time.monotonic() - began
        for group, (lo, sent), cpu in zip(groups, bytes_before, cpu_before):
            namespace = group.agents[0].place.namespace
            rate = (namespace.lo_bytes() - lo) / seconds / len(group.agents)
            self.add("idle_bytes", group.name, rate)
            split = self.add_split("idle", group, sent, namespace.sent()["all"], seconds)
            spent = [cpu_seconds(pid) - before for pid, before in zip(group.pids(), cpu)]
            for agent, node_cpu in zip(group.agents, spent):
                resident, anonymous = memory_mib(agent.process.pid)
                self.add("idle_rss", group.name, resident, agent.name)
                self.add("idle_anonymous", group.name, anonymous, agent.name)
                self.add("idle_cpu_by_node", group.name, node_cpu / seconds * 1000, agent.name)
            self.add("idle_cpu", group.name, statistics.mean(spent) / seconds * 1000)
            gone = group.wrongly_gone(began)
            self.add("idle_gone", group.name, len(gone))
            self.say(f"idle: {group.name} {rate:.0f} B/s a node {split}, wrongly gone: {len(gone)}")
        self.say(f"idle: the whole machine was busy {busy.share():.0%} of the time")

    def add_split(self, key, group, before, after, seconds):
        """Adds what of the bytes was UDP and what TCP, per node and second, and says it."""
        udp, tcp = ((now - then) / seconds / len(group.agents) for now, then in zip(after, before))
        self.add(f"{key}_udp_bytes", group.name, udp)
        self.add(f"{key}_tcp_bytes", group.name, tcp)
        return f"({udp:.0f} by UDP, {tcp:.0f} by TCP)"

    def repeat(self, groups, count, once):
        """Does something to one agent of each group, and brings it back; again, with others."""
        for number in range(count):
            time.sleep(SETTLE)
            victim = self.victim(groups)
            once(groups, victim, f"{number}: n{victim}")
            for group in groups:
                group.restart(group.agents[victim])
            for group in groups:
                group.recover()

    def victim(self, groups):
        """One that all hold alive, that died not before, and that is not the seed, whom others join through."""
        healthy = lambda index: all(
            group.agents[index].name in agent.alive
            for group in groups
            for agent in group.agents
            if agent is not group.agents[index]
        )
        others = range(1, self.options.nodes)
        fresh = [index for index in others if index not in self.victims]
        victim = self.draw.choice([index for index in fresh if healthy(index)] or fresh or others)
        self.victims.add(victim)
        return victim

    def kill(self, groups, victim, label):
        began = {group.name: group.kill(group.agents[victim]) for group in groups}
        self.await_deaths(groups, victim, began)
        self.add_last("kill", groups, victim, began, "dead", label)

    def freeze(self, groups, victim, label):
        began = {}
        for group in groups:
            began[group.name] = time.monotonic()
            group.agents[victim].process.send_signal(signal.SIGSTOP)
        self.await_deaths(groups, victim, began)
        self.add_last("stop_dead", groups, victim, began, "dead", label)
        self.add_last("stop_avoided", groups[:1], victim, began, "avoided", label)

    def await_deaths(self, groups, victim, began):
        """Waits until all survivors of all groups hold the victim dead, or it is given up."""
        deadline = max(began.values()) + GIVE_UP

        def known():
            return all(
                group.agents[victim].name in agent.dead
                for group in groups
                for agent in group.agents
                if agent is not group.agents[victim]
            )

        with self.reader.measured():
            while not known() and time.monotonic() < deadline:
                time.sleep(0.05)

    def add_last(self, key, groups, victim, began, what, label):
        """Adds when the last survivor knew, and says so."""
        for group in groups:
            name = group.agents[victim].name
            survivors = [agent for agent in group.agents if agent.name != name]
            times = sorted(getattr(agent, what).get(name, math.inf) - began[group.name] for agent in survivors)
            self.add(key, group.name, max(0.0, times[-1]), label)
            self.add(f"{key}_first", group.name, max(0.0, times[0]), label)
            self.add(f"{key}_median", group.name, max(0.0, statistics.median(times)), label)
            gone = group.wrongly_gone(began[group.name], but=[name])
            self.add(f"{key}_gone", group.name, len(gone), label)
            note = f", wrongly gone: {' '.join(sorted(gone))}" if gone else ""
            self.say(f"{key} {label}: {group.name} first {times[0]:.2f} s, last {times[-1]:.2f} s{note}")

    def on_hosts(self):
        """What is measured with a namespace per host, each with an agent of each system."""
        network = Network(self.options.nodes)

        def places_of(system):
            port = PORTS["meshnode" if system == "meshnode" else "peer"]
            return [Place(host, network.address(index), port) for index, host in enumerate(network.hosts)]

        groups = self.groups(places_of)
        self.victims.clear()
        network.count({"meshnode": PORTS["meshnode"], "peer": PORTS["peer"]})
        for group in groups:
            self.say(f"hosts: {group.name} joined after {group.start():.2f} s")
        time.sleep(self.options.idle_from / 4)
        if self.wants("silent"):
            self.repeat(groups, self.options.silences, lambda *args: self.silence(network, "silent", *args))
        if self.wants("loss"):
            time.sleep(SETTLE)
            self.loss(network, groups)
            self.repeat(groups, self.options.lossy_silences, lambda *args: self.lossy_silence(network, *args))
        for group in groups:
            group.stop()
        network.close()

    def silence(self, network, key, groups, victim, label):
        now = time.monotonic()
        began = {group.name: now for group in groups}
        network.silence(victim)
        try:
            self.await_deaths(groups, victim, began)
        finally:
            network.unsilence(victim)
        self.add_last(key, groups, victim, began, "dead", label)

    def lossy_silence(self, network, groups, victim, label):
        with self.lossy(network):
            time.sleep(self.options.lossy_settle)
            self.silence(network, "loss_silent", groups, victim, label)

    @contextmanager
    def lossy(self, network):
        network.lose(LOSS_PERCENT)
        try:
            yield
        finally:
            network.lose(0)

    def loss(self, network, groups):
        """Nobody dies, and packets are lost."""
        with self.lossy(network):
            before, began = network.sent(), time.monotonic()
            time.sleep(self.options.lossy)
            after, seconds = network.sent(), time.monotonic() - began
            for group in groups:
                name = "meshnode" if group.name == "meshnode" else "peer"
                sent = (sum(after[name]) - sum(before[name])) / seconds / len(group.agents)
                split = self.add_split("loss", group, before[name], after[name], seconds)
                gone = group.wrongly_gone(began)
                told = sum(1 for when, _, _ in group.deaths if when >= began)
                self.add("loss_bytes", group.name, sent)
                self.add("loss_gone", group.name, len(gone))
                self.add("loss_gone_told", group.name, told)
                rate = f"{sent:.0f} B/s a node {split}"
                self.say(f"loss: {group.name} {rate}; wrongly gone: {len(gone)}, told {told} times")
        for group in groups:
            group.recover()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, shorter windows: for the shape")
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--peer", choices=PEERS, default="serf")
    parser.add_argument("--seed", type=int, default=1, help="of the draw of the victims")
    json = pathlib.Path(tempfile.gettempdir()) / "meshnode-membership.json"
    parser.add_argument("--json", default=json, type=pathlib.Path)
    add_arguments(parser, "meshnode-membership.csv")
    options = parser.parse_args()
    quick = options.quick
    options.rounds, options.kills, options.stops = (1, 2, 1) if quick else (5, 5, 3)
    options.silences, options.lossy_silences = (1, 1) if quick else (5, 3)
    options.idle_from, options.idle = (15, 15) if quick else (60, 60)
    options.lossy, options.lossy_settle = (20, 3) if quick else (90, 5)
    return options


def main():
    options = arguments()
    need("ip", "nft", "serf")
    enter_own_network()
    # Two pipes a process, and a descriptor a namespace.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    options.began = time.monotonic()
    before = machine()
    print(before, flush=True)
    with tempfile.TemporaryDirectory(prefix="meshnode-bench-") as directory, Processes() as processes:
        options.trash = pathlib.Path(directory) / "trash"
        data = pathlib.Path(directory) / "data"
        options.trash.mkdir()
        data.mkdir()
        bench, busy = Bench(options, processes, data), BusyMeter()
        if any(bench.wants(part) for part in ON_LO):
            bench.on_lo()
        if any(bench.wants(part) for part in ON_HOSTS):
            bench.on_hosts()
        share, (late, latest) = busy.share(), bench.reader.worst_lateness()
    print()
    bench.figures.print()
    without_loss = ("kill_gone", "stop_dead_gone", "silent_gone", "idle_gone")
    gone = {by: sum(sum(bench.figures.values(key, by)) for key in without_loss) for by in bench.systems}
    print("\nlive members wrongly gone without loss: " + ", ".join(f"{by} {count}" for by, count in gone.items()))
    print(f"log lines were read late by {late * 1000:.1f} ms (99 of 100), {latest * 1000:.1f} ms at the worst")
    took = time.monotonic() - options.began
    print(f"the whole machine was busy {share:.0%} of the time, {took:.0f} s in all\n{machine()}")
    about = {
        "machine": before, "nodes": options.nodes, "quick": options.quick, "busy": share,
        "late_p99_s": late, "late_max_s": latest,
    }  # fmt: skip
    bench.figures.write_json(options.json, about)
    write_csv(options.csv, ("measure", "system", "label", "value"), bench.figures.measured)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("ended by Ctrl-C") from None
