#!/usr/bin/env python3
"""What it costs to be a member of an idle mesh: CPU, memory and bytes a second per node, of meshnode and of Serf.

The groups run one after the other, meshnode first and then in the opposite order, in a network namespace of their own.
"""

import argparse
import pathlib
import tempfile
import time

from bench import (
    BusyMeter,
    Processes,
    add_arguments,
    cpu_seconds,
    enter_own_network,
    loopback,
    machine,
    memory_mib,
    print_table,
    spread,
    summary,
    write_csv,
)
from groups import PEERS, make_group

HEAD = (
    "round", "system", "node", "cpu_ms_per_s", "rss_mib", "anon_mib", "lo_bytes_per_s_per_node",
    "lo_packets_per_s_per_node", "counted_bytes_per_s_per_node", "machine_busy",
)  # fmt: skip


def measure(name, options):
    """One row per node of a group that has settled."""
    with Processes() as processes, tempfile.TemporaryDirectory(prefix="meshnode-bench-") as directory:
        group = make_group(name, processes, options.nodes, pathlib.Path(directory), options.binary)
        began = time.monotonic()
        group.start()
        print(f"  {name}: {options.nodes} nodes see each other after {time.monotonic() - began:.1f} s", flush=True)
        time.sleep(options.settle)
        group.forget_deaths()
        counted_before = group.counted_bytes()
        busy = BusyMeter()
        start, lo_start = time.monotonic(), loopback()
        cpu_start = [cpu_seconds(pid) for pid in group.pids()]
        time.sleep(options.seconds)
        cpu = [cpu_seconds(pid) - before for pid, before in zip(group.pids(), cpu_start)]
        seconds, lo_end = time.monotonic() - start, loopback()
        share = busy.share()
        memory = [memory_mib(pid) for pid in group.pids()]
        counted = group.counted_bytes()
        if group.false_deaths():
            print(f"  {name}: {group.false_deaths()} false deaths in the window")
        group.stop()
    sent, packets = ((end - begin) / seconds / options.nodes for begin, end in zip(lo_start, lo_end))
    own_count = (counted - counted_before) / seconds / options.nodes if counted is not None else ""
    return [
        (index, node_cpu / seconds * 1000, *node_memory, sent, packets, own_count, share)
        for index, (node_cpu, node_memory) in enumerate(zip(cpu, memory))
    ]


def print_summary(rows, systems):
    """All systems beside each other; the ratio is meshnode's median divided by the other's."""
    values = lambda system, column: [row[column] for row in rows if row[1] == system]
    measures = (
        ("CPU, ms a second per node", 3, 2),
        ("resident memory, MiB per node", 4, 1),
        ("of it not backed by files, MiB", 5, 1),
        ("sent = received over lo, bytes/s per node", 6, 0),
        ("packets/s per node", 7, 2),
    )
    head = ["median (least to greatest)", *systems]
    head += [f"meshnode / {peer}" for peer in systems[1:]]
    table = [head]
    for label, column, digits in measures:
        cells = [spread(values(system, column), digits) for system in systems]
        ours = summary(values("meshnode", column))[0]
        ratios = [f"{ours / summary(values(peer, column))[0]:.2f}" for peer in systems[1:]]
        table.append([label, *cells, *ratios])
    print()
    print_table(table)
    own_count = values("meshnode", 8)
    busy = [row[9] for row in rows]
    print(f"\nmeshnode's own counters, without IP, UDP and TCP headers: {spread(own_count, 0)} bytes/s sent per node")
    print(f"the whole machine was busy {min(busy):.0%} to {max(busy):.0%} of the time in the windows")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--for", dest="seconds", type=float, default=60, help="the window, in seconds")
    parser.add_argument("--settle", type=float, default=30, help="seconds from the last join to the window")
    parser.add_argument("--peer", action="append", choices=PEERS, help="repeatable; default: serf")
    parser.add_argument("--rounds", type=int, default=2, help="each in the opposite order of the one before")
    add_arguments(parser, "meshnode-membership.csv")
    options = parser.parse_args()
    enter_own_network()
    systems = ["meshnode", *(options.peer or ["serf"])]
    print(machine(), flush=True)
    rows = []
    for number in range(options.rounds):
        for name in systems if number % 2 == 0 else reversed(systems):
            rows += [(number, name, *row) for row in measure(name, options)]
    print_summary(rows, systems)
    print(machine())
    write_csv(options.csv, HEAD, rows)


if __name__ == "__main__":
    main()
