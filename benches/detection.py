#!/usr/bin/env python3
"""How long it takes until the others hold a killed node dead, in meshnode and in Serf.

Both groups run at the same time, in one network namespace of their own. In each repetition one node of each group is
killed with SIGKILL (or frozen with SIGSTOP), in turns; the time at which the log of another node says so is what counts.
The node is started again, and the next repetition begins when all see each other.
"""

import argparse
import pathlib
import random
import signal
import statistics
import tempfile
import time

from bench import (
    BusyMeter,
    Processes,
    add_arguments,
    enter_own_network,
    machine,
    print_table,
    spread,
    summary,
    wait_until,
    write_csv,
)
from groups import PEERS, make_group

HEAD = ("repetition", "system", "victim", "first_s", "median_s", "last_s", "false_deaths")
GIVE_UP = 120


def detect(group, how, victim):
    """Seconds until the first, the median and the last of the others hold the victim dead."""
    group.forget_deaths()
    others = [agent for agent in group.agents if agent is not victim]
    if how == "stop":
        began = time.monotonic()
        victim.process.send_signal(signal.SIGSTOP)
    else:
        began = group.kill(victim)
    wait_until(
        f"not all {group.name} nodes hold {victim.name} dead",
        GIVE_UP,
        lambda: all(victim.name in agent.dead for agent in others),
        step=0.02,
    )
    if how == "stop":
        group.kill(victim)
    times = [agent.dead[victim.name] - began for agent in others]
    false_deaths = group.false_deaths() - len(others)
    return min(times), statistics.median(times), max(times), false_deaths


def print_summary(rows, systems):
    """All systems beside each other; the ratio is meshnode's median divided by the other's."""
    values = lambda system, column: [row[column] for row in rows if row[1] == system]
    table = [["seconds, median (least to greatest)", *systems, *(f"meshnode / {peer}" for peer in systems[1:])]]
    for label, column in (("first of the others", 3), ("median of the others", 4), ("last of the others", 5)):
        ours = summary(values("meshnode", column))[0]
        ratios = [f"{ours / summary(values(peer, column))[0]:.2f}" for peer in systems[1:]]
        table.append([label, *(spread(values(system, column)) for system in systems), *ratios])
    table.append(["deaths of living nodes", *(sum(values(system, 6)) for system in systems)])
    table[-1] += [""] * (len(systems) - 1)
    print()
    print_table(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--settle", type=float, default=10, help="seconds between two repetitions")
    parser.add_argument("--how", choices=("kill", "stop"), default="kill", help="SIGKILL, or SIGSTOP: a frozen process")
    parser.add_argument("--peer", action="append", choices=PEERS, help="default: serf")
    parser.add_argument("--seed", type=int, default=1, help="of the draw of the victims")
    add_arguments(parser, "meshnode-detection.csv")
    options = parser.parse_args()
    enter_own_network()
    systems = ["meshnode", *(options.peer or ["serf"])[:1]]
    print(machine(), flush=True)
    victims = random.Random(options.seed)
    rows = []
    with Processes() as processes, tempfile.TemporaryDirectory(prefix="meshnode-bench-") as directory:
        groups = [
            make_group(name, processes, options.nodes, pathlib.Path(directory), options.binary) for name in systems
        ]
        for group in groups:
            group.start()
        busy = BusyMeter()
        for number in range(options.repetitions):
            victim = victims.randrange(options.nodes)
            time.sleep(options.settle)
            for group in groups if number % 2 == 0 else reversed(groups):
                rows.append((number, group.name, f"n{victim}", *detect(group, options.how, group.agents[victim])))
                print("  " + " ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in rows[-1]), flush=True)
                group.launch(group.agents[victim])
                group.wait_joined()
        print(f"the whole machine was busy {busy.share():.0%} of the time")
    print_summary(rows, systems)
    print(machine())
    write_csv(options.csv, HEAD, rows)


if __name__ == "__main__":
    main()
