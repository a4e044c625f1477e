#!/usr/bin/env python3
"""What a proxied request costs: CPU time per request, requests a second and latency, of meshnode, nginx and HAProxy.

wrk and the backend (nginx, 1 KiB) have core 0, all proxies that a request goes through have core 1. `-1` is one hop;
`-2` is two: wrk, proxy, proxy, backend. Between two meshnodes there is always HTTP/2 over mutual TLS.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

from bench import (
    BusyMeter,
    Processes,
    add_arguments,
    check_binary,
    cpu_seconds,
    enter_own_network,
    machine,
    need,
    print_table,
    spread,
    summary,
    write_csv,
)
from proxies import ONE_HOP, TWO_HOPS, Bench, start_backend

WRK_CORE, PROXY_CORE = 0, 1
HEAD = (
    "round", "proxy", "connections", "requests_per_s", "cpu_us_per_request", "proxy_core_busy", "p50_us", "p99_us",
    "errors", "machine_busy",
)  # fmt: skip
REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('\\n{"requests": %d, "us": %d, "p50": %d, "p99": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"""


def wrk(processes, script, url, connections, seconds):
    """What wrk says of one run."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url]
    process = processes.start(command, WRK_CORE, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=seconds + 30)
    processes.running.remove(process)
    return json.loads(output.decode().splitlines()[-1])


def measure(processes, script, proxy, connections, seconds):
    """One row."""
    before, busy = sum(map(cpu_seconds, proxy.pids())), BusyMeter()
    said = wrk(processes, script, proxy.url, connections, seconds)
    cpu = sum(map(cpu_seconds, proxy.pids())) - before
    rate = said["requests"] / said["us"] * 1e6
    per_request = cpu * 1e6 / said["requests"]
    return rate, per_request, cpu * 1e6 / said["us"], said["p50"], said["p99"], said["errors"], busy.share()


def print_summary(rows, names, connections):
    """The ratio is meshnode's CPU time per request divided by this proxy's with as many hops."""
    values = lambda name, column, count: [row[column] for row in rows if row[1] == name and row[2] == count]
    median = lambda name, column, count: summary(values(name, column, count))[0]
    head = ["median (least to greatest)", "CPU us/request", "meshnode / this", "requests/s", "core 1 busy"]
    table = [[*head, f"p50 us, -c{connections}", f"p99 us, -c{connections}", "added p50 us, -c1", "added p99 us, -c1", "errors"]]
    for name in names:
        ours = next((ours for ours in ("meshnode-1", "meshnode-2") if ours[-2:] in name), None)
        ratio = "" if ours not in names else f"{median(ours, 4, connections) / median(name, 4, connections):.2f}"
        cells = [spread(values(name, 4, connections), 1), ratio, spread(values(name, 3, connections), 0)]
        cells += [f"{median(name, 5, connections):.0%}"]
        cells += [f"{median(name, column, connections):.0f}" for column in (6, 7)]
        cells += [f"{median(name, column, 1) - median('direct', column, 1):.0f}" for column in (6, 7)]
        table.append([name, *cells, sum(values(name, 8, connections) + values(name, 8, 1))])
    print()
    print_table(table)
    direct = [f"{median('direct', column, 1):.0f}" for column in (6, 7)]
    print(f"\nwithout a proxy, -c1: p50 {direct[0]} us, p99 {direct[1]} us; `added` is what a proxy adds to that")
    busy = [row[9] for row in rows]
    print(f"the whole machine was busy {min(busy):.0%} to {max(busy):.0%} of the time")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--for", dest="seconds", type=int, default=5, help="of one run, in seconds")
    parser.add_argument("--rounds", type=int, default=3, help="each in the opposite order of the one before")
    parser.add_argument("--only", action="append", choices=[*ONE_HOP, *TWO_HOPS], help="repeatable; default: all")
    add_arguments(parser, "meshnode-proxy.csv")
    options = parser.parse_args()
    need("wrk", "nginx", "haproxy", "openssl")
    enter_own_network()
    names = ["direct", *(options.only or [*ONE_HOP, *TWO_HOPS])]
    print(machine(), flush=True)
    rows = []
    with Processes() as processes, tempfile.TemporaryDirectory(prefix="meshnode-bench-") as directory:
        directory = pathlib.Path(directory)
        script = directory / "report.lua"
        script.write_text(REPORT)
        start_backend(processes, directory, WRK_CORE)
        bench = Bench(processes, directory, check_binary(options.binary), PROXY_CORE)
        for number in range(options.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                proxy = bench.start(name)
                wrk(processes, script, proxy.url, options.connections, 1)
                for connections in (options.connections, 1):
                    seconds = options.seconds if connections > 1 else max(1, options.seconds // 2)
                    row = measure(processes, script, proxy, connections, seconds)
                    rows.append((number, name, connections, *row))
                bench.stop(proxy)
                print(f"  round {number + 1}, {name}: {rows[-2][3]:.0f}/s, {rows[-2][4]:.1f} us", flush=True)
    print_summary(rows, names, options.connections)
    print(machine())
    write_csv(options.csv, HEAD, rows)


if __name__ == "__main__":
    main()
