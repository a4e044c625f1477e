"""Long bodies through two hops: bytes by CPU time, and what a node holds of a body that its reader does not take."""

import json
import time

from bench import GaveUp
from proxies import PYTHON_PORT
from proxy_run import CpuMeter, memory, wait_steady

NAMES = ["meshnode-2", "haproxy-2-h1", "haproxy-2-h2"]
GIB = 1 << 30
READ_PER_SECOND = 1_000_000


def bytes_per_cpu(run):
    """One body up and one down, one after the other, on a connection each; MB are 10^6 bytes."""
    run.turns(NAMES, run.options.rounds, transfer)


def transfer(run, number, name):
    size = GIB // 8 if run.options.quick else GIB
    proxy = run.proxies.start(name, PYTHON_PORT)
    spent, took = {}, {}
    transfers = {
        "up": ("send", "--bytes", str(size), proxy.url("/take")),
        "down": ("fetch", proxy.url(f"/give?bytes={size}")),
    }
    for way, words in transfers.items():
        meter, started = CpuMeter(proxy.pids()), time.monotonic()
        said = json.loads(run.finish(run.program("sockets.py", *words), 120))
        if said != {"status": 200, "bytes": size}:
            raise GaveUp(f"{name}, {way}: {said}")
        spent[way], took[way] = meter.seconds(), time.monotonic() - started
    figure = 2 * size / 1e6 / sum(spent.values())
    details = {f"{way}_per_cpu_second": size / 1e6 / spent[way] for way in spent}
    details |= {f"{way}_per_second": size / 1e6 / took[way] for way in took}
    run.add("bytes", name, figure, round=number, bytes=size, **details)
    run.proxies.stop(proxy)
    ways = ", ".join(f"{way} {details[f'{way}_per_cpu_second']:.0f}" for way in spent)
    run.say(f"bytes, round {number + 1}, {name}: {figure:.0f} MB a CPU second ({ways})")


def growth(run):
    """The most that both nodes grew by, from just before to the end of the window, while the body cannot go on."""
    seconds = 10 if run.options.quick else 30
    proxy = run.proxies.start("meshnode-2", PYTHON_PORT)
    # What the first long body costs once is not what a slow reader costs.
    run.finish(run.program("sockets.py", "send", "--bytes", str(64 << 20), proxy.url("/take")), 60)
    pids = proxy.pids()
    before = wait_steady(lambda: memory(pids)[0])
    upload = run.program("sockets.py", "send", "--bytes", str(4 * GIB), proxy.url(f"/take?rate={READ_PER_SECOND}"))
    of_nodes, started = [], time.monotonic()
    while time.monotonic() - started < seconds:
        time.sleep(0.25)
        if upload.poll() is not None:
            raise GaveUp("growth: the upload ended")
        of_nodes.append([round(memory([pid])[0], 2) for pid in pids])
    most = max(map(sum, of_nodes)) - before
    # The entry is the last that was started.
    run.add("growth", "meshnode-2", most, before_mib=before, seconds=seconds, exit_and_entry_mib=of_nodes[::8])
    run.say(f"growth: {most:.2f} MiB above {before:.1f} MiB in {seconds} s; exit and entry at its end: {of_nodes[-1]}")
    run.processes.kill(upload)
    run.proxies.stop(proxy)
