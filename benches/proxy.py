#!/usr/bin/env python3
"""What requests through meshnode cost, beside nginx, HAProxy, Envoy, Traefik and Caddy, and what faults do to them.

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
from proxy_cpu import cpu, edge, latency
from proxy_events import events
from proxy_faults import failing, kill, restart, stop
from proxy_memory import idle, mesh
from proxy_run import HERE, Run
from proxy_table import PARTS, Table

MEASURES = {
    "cpu": cpu, "edge": edge, "latency": latency, "bytes": bytes_per_cpu, "growth": growth, "mesh": mesh, "idle": idle,
    "kill": kill, "stop": stop, "restart": restart, "failing": failing, "events": events,
}  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--quick", action="store_true", help="one round of everything, shorter, for the shape only")
    parser.add_argument("--connections", type=int, default=64, help="of the closed load")
    parser.add_argument("--rate", type=int, default=2000, help="of the open load for latency, requests a second")
    parser.add_argument(
        "--for", dest="seconds", type=int, default=4, help="of one run, seconds; twice that for latency"
    )
    parser.add_argument("--rounds", type=int, default=3, help="each in the opposite order of the one before")
    parser.add_argument("--faults", type=int, default=2, help="repetitions of kill and stop")
    parser.add_argument("--profile", type=pathlib.Path, help="directory for perf and strace of `cpu`")
    add_arguments(parser, "meshnode-proxy.csv")
    parser.add_argument("--markdown", type=pathlib.Path, help="the table for a document")
    parser.add_argument("--json", type=pathlib.Path, help="default: as --csv, but .json")
    options = parser.parse_args()
    options.json = options.json or options.csv.with_suffix(".json")
    if options.quick:
        options.rounds, options.seconds, options.faults = 1, 2, 1
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
    others = BusyMeter()
    time.sleep(1)
    began, busy, table = f"{machine()}, busy {others.share():.0%} before", BusyMeter(), Table()
    print(began, flush=True)
    with Processes() as processes, tempfile.TemporaryDirectory(prefix="meshnode-bench-") as directory:
        directory = pathlib.Path(directory)
        start_backend(processes, directory)
        processes.start([sys.executable, HERE / "backend.py", "--port", PYTHON_PORT], LOAD_CORE)
        run = Run(options, processes, directory, Proxies(processes, directory, binary), table)
        # Who ends the script in the middle has at least what was measured until then.
        try:
            for part in options.only or PARTS:
                started = time.monotonic()
                run.attempt(MEASURES[part], run)
                run.say(f"{part} took {time.monotonic() - started:.0f} s")
        finally:
            report(options, table, {"machine": began, "busy": busy.share(), "not_measured": run.not_measured})
    if run.not_measured:
        sys.exit(f"not measured: {run.not_measured}")


def report(options, table, about):
    """The table, and the files."""
    table.print()
    print(f"\nthe whole machine was busy {about['busy']:.0%} of the time\n{machine()}")
    table.write(options.csv, options.json, {**about, "versions": peers.versions(), "arguments": sys.argv[1:]})
    if options.markdown is not None:
        table.write_markdown(options.markdown)


if __name__ == "__main__":
    main()
