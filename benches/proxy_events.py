"""Streams of events through two hops: how much later each one arrives than without a proxy."""

import json

from bench import GaveUp
from proxies import PYTHON_PORT
from proxy_run import CpuMeter

STREAMS, RATE = 200, 50


def events(run):
    """The difference of the p99 of all events of all streams; both clocks are this machine's."""
    seen = {}
    rounds = 1 if run.options.quick else 2
    run.turns(["direct", "meshnode-2"], rounds, lambda *turn: seen.update({turn[1:]: listen(*turn)}))
    for (number, name), p99 in seen.items():
        if name != "direct" and (number, "direct") in seen:
            run.add("events_p99", name, (p99 - seen[number, "direct"]) / 1000, round=number)


def listen(run, number, name):
    streams, count = (50, 100) if run.options.quick else (STREAMS, RATE * run.options.seconds)
    proxy = run.proxies.start(name, PYTHON_PORT)
    url = proxy.url(f"/events?rate={RATE}&count={count}")
    meter = CpuMeter(proxy.pids())
    said = json.loads(run.finish(run.program("sockets.py", "listen", "--count", str(streams), url), 120))
    if said["events"] != streams * count:
        raise GaveUp(f"{said['events']} events of {streams * count} arrived")
    said["cpu_us_per_event"] = round(meter.seconds() * 1e6 / said["events"], 1)
    run.proxies.stop(proxy)
    run.add("events_late_p99", name, said["p99"] / 1000, round=number, **said)
    run.say(f"events, round {number + 1}, {name}: {said}")
    return said["p99"]
