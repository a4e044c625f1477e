"""CPU time per request with the proxy's core full, and added latency at a rate that all can carry."""

import signal
import subprocess
import time

from proxies import BACKEND_PORT, LOAD_CORE, NODE_PORT
from proxy_run import CpuMeter, percentile

ONE_HOP = ["meshnode-1", "nginx-1", "haproxy-1", "envoy-1", "traefik-1", "caddy-1"]
TWO_HOPS = ["meshnode-2", "haproxy-2-h1", "haproxy-2-h2", "envoy-2-h2", "nginx-2-h1", "traefik-2-h2", "caddy-2-h2"]
OPEN_LOAD = ["direct", "meshnode-2", "envoy-2-h2", "haproxy-2-h2"]


def cpu(run):
    """A closed load of `--connections`: user and system time of all processes of a proxy, by the requests answered."""
    run.turns([*ONE_HOP, *TWO_HOPS], run.options.rounds, per_request)


def edge(run):
    """The same for the edge, beside nginx in front of the same backend."""
    run.turns(["meshedge-1", "nginx-1"], run.options.rounds * 2, lambda *turn: per_request(*turn, measure="edge_cpu"))


def per_request(run, number, name, measure=None):
    proxy = run.proxies.start(name, NODE_PORT if measure else BACKEND_PORT)
    run.wrk(proxy.url(), run.options.connections, 1)
    meter = CpuMeter(proxy.pids())
    said = run.wrk(proxy.url(), run.options.connections, run.options.seconds)
    spent = meter.seconds()
    figure, rate = spent * 1e6 / said["requests"], said["requests"] / said["us"] * 1e6
    run.add(
        measure or ("cpu_1" if name in ONE_HOP else "cpu_2"), name, figure, round=number, requests_per_second=rate,
        core_busy=spent * 1e6 / said["us"], p50_us=said["p50"], p99_us=said["p99"], errors=said["errors"],
        machine_busy=meter.busy.share(),
    )  # fmt: skip
    if run.options.profile is not None and number == 0:
        profile(run, proxy)
    run.proxies.stop(proxy)
    run.say(f"cpu, round {number + 1}, {name}: {figure:.1f} us, {rate:.0f}/s")


def profile(run, proxy):
    """Where the CPU time goes under the same load, in runs of their own: perf's samples, and how many system calls."""
    run.options.profile.mkdir(parents=True, exist_ok=True)
    pids, seconds = ",".join(map(str, proxy.pids())), run.options.seconds
    into = run.options.profile / f"{proxy.name}.perf"
    record = ["perf", "record", "-q", "-F", "997", "-g", "-p", pids, "-o", into, "--", "sleep", seconds]
    recorder = run.processes.start(record, LOAD_CORE, stderr=subprocess.DEVNULL)
    run.wrk(proxy.url(), run.options.connections, seconds + 1)
    run.processes.finish(recorder)
    # A traced process is many times slower, so its calls are counted by the requests of that time alone.
    counts = into.with_suffix(".strace")
    words = [word for pid in proxy.pids() for word in ("-p", str(pid))]
    tracer = run.processes.start(["strace", "-c", "-f", "-o", counts, *words], LOAD_CORE, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    requests = run.wrk(proxy.url(), run.options.connections, seconds)["requests"]
    tracer.send_signal(signal.SIGINT)
    run.processes.finish(tracer)
    with counts.open("a") as file:
        file.write(f"\n{requests} requests meanwhile\n")


def latency(run):
    """An open load of `--rate`: percentiles of the time from when a request was due, minus the same without a proxy."""
    seen = {}
    run.turns(OPEN_LOAD, run.options.rounds, lambda *turn: seen.update({turn[1:]: open_load(*turn)}))
    for (number, name), details in seen.items():
        direct = seen.get((number, "direct"))
        if direct is None or name == "direct":
            continue
        run.add("added_p50", name, details["p50_us"] - direct["p50_us"], round=number, **details)
        run.add("added_p99", name, details["p99_us"] - direct["p99_us"], round=number, **details)
        run.add("cpu_2_open", name, details["cpu_us"], round=number)


def open_load(run, number, name):
    rate, count = run.options.rate, run.options.rate * run.options.seconds * 2
    proxy = run.proxies.start(name)
    run.sent(run.load([proxy.url()], rate, rate), 60)
    meter = CpuMeter(proxy.pids())
    sent = run.sent(run.load([proxy.url()], rate, count, seed=number + 2), count / rate + 60)
    cpu_us, failed = meter.seconds() * 1e6 / count, sum(request.failed for request in sent)
    p50, p99 = (percentile([request.took * 1000 for request in sent], share) for share in (0.5, 0.99))
    run.proxies.stop(proxy)
    run.say(f"latency, round {number + 1}, {name}: p50 {p50:.0f} us, p99 {p99:.0f} us, cpu {cpu_us:.1f} us")
    return {"p50_us": p50, "p99_us": p99, "cpu_us": cpu_us, "failed": failed, "machine_busy": meter.busy.share()}
