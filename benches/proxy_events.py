"""Streams of events through two hops: how much later each one arrives than without a proxy."""

import json

from proxies import PYTHON_PORT

STREAMS, RATE = 200, 50


def events(run):
    """The difference of the p99 of all events of all streams; both clocks are this machine's."""
    streams, count = (50, 100) if run.options.quick else (STREAMS, RATE * run.options.seconds)
    direct = {}
    for number, name in run.turns(["direct", "meshnode-2"], 1 if run.options.quick else 2):
        proxy = run.proxies.start(name, PYTHON_PORT)
        url = proxy.url(f"/events?rate={RATE}&count={count}")
        said = json.loads(run.finish(run.program("sockets.py", "listen", "--count", str(streams), url), 120))
        run.proxies.stop(proxy)
        if said["events"] != streams * count:
            raise SystemExit(f"events, {name}: {said['events']} of {streams * count} arrived")
        run.add(f"events_{name}", name, said["p99"] / 1000, round=number, **said)
        run.say(f"events, round {number + 1}, {name}: p50 {said['p50']} us, p99 {said['p99']} us, {said['coalesced']} together")
        direct.setdefault(number, {})[name] = said["p99"]
    for number, by_name in direct.items():
        run.add("events_p99", "meshnode-2", (by_name["meshnode-2"] - by_name["direct"]) / 1000, round=number)
