#!/usr/bin/env python3
"""What it costs to send requests through meshnode, beside nginx, HAProxy, Envoy, Traefik and Caddy, and what faults do to them.

The load and the backends have core 0, all proxies that a request goes through have core 1. README.md says what each
row measures, from when to when, with what error, and what is not alike.
"""

import argparse
import pathlib
import resource
import sys
import tempfile
import time

import peers
from bench import (
    BusyMeter,
    Processes,
    add_arguments,
    check_binary,
    enter_own_network,
    machine,
    need,
)
from proxies import PYTHON_PORT, LOAD_CORE, Proxies, start_backend
from proxy_bytes import bytes_per_cpu, growth
from proxy_cpu import cpu, latency
from proxy_events import events
from proxy_faults import failing, kill, restart, stop
from proxy_memory import idle, mesh
from proxy_run import HERE, Run
from proxy_table import PARTS, Table

MEASURES = {
    "cpu": cpu, "latency": latency, "bytes": bytes_per_cpu, "growth": growth, "mesh": mesh, "idle": idle,
    "kill": kill, "stop": stop, "restart": restart, "failing": failing, "events": events,
}  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--quick", action="store_true", help="one round of everything, shorter, for the shape only")
    parser.add_argument("--connections", type=int, default=64, help="of the closed load")
    parser.add_argument("--rate", type=int, default=2000, help="of the open load for latency, requests a second")
    parser.add_argument("--for", dest="seconds", type=int, default=4, help="of one run, in seconds; twice that for latency")
    parser.add_argument("--rounds", type=int, default=3, help="each in the opposite order of the one before")
    parser.add_argument("--faults", type=int, default=1, help="repetitions of kill and stop")
    parser.add_argument("--profile", type=pathlib.Path, help="directory: in the first round of `cpu` also perf and strace")
    parser.add_argument("--json", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "meshnode-proxy.json")
    add_arguments(parser, "meshnode-proxy.csv")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2
    return options


def main():
    options = arguments()
    need("wrk", "nginx", "haproxy", "openssl", *(["perf", "strace"] if options.profile else []))
    binary = check_binary(options.binary)
    # Before the network is gone.
    peers.install()
    enter_own_network()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    began, busy, table = machine(), BusyMeter(), Table()
    print(began, flush=True)
    with Processes() as processes, tempfile.TemporaryDirectory(prefix="meshnode-bench-") as directory:
        directory = pathlib.Path(directory)
        start_backend(processes, directory)
        processes.start([sys.executable, HERE / "backend.py", "--port", PYTHON_PORT], LOAD_CORE)
        run = Run(options, processes, directory, Proxies(processes, directory, binary), table)
        failed = measure_all(run, options.only or PARTS)
    table.print()
    print(f"\nthe whole machine was busy {busy.share():.0%} of the time\n{machine()}")
    about = {"machine": began, "busy": busy.share(), "versions": peers.versions(), "not_measured": failed}
    table.write(options.csv, options.json, {**about, "arguments": sys.argv[1:]})
    if failed:
        sys.exit(f"not measured: {failed}")


def measure_all(run, parts):
    """One part after another; one that cannot be measured is told, and does not take the others with it."""
    failed = {}
    for part in parts:
        started = time.monotonic()
        before = list(run.processes.running)
        try:
            MEASURES[part](run)
        except SystemExit as problem:
            failed[part] = str(problem)
            run.say(f"{part} was not measured: {problem}")
            for process in [process for process in run.processes.running if process not in before]:
                run.processes.kill(process)
        run.say(f"{part} took {time.monotonic() - started:.0f} s")
    return failed


if __name__ == "__main__":
    main()
