"""Memory of nodes that have nothing to do: in a large mesh, and with many connections that stay."""

import statistics
import time

from bench import GaveUp, memory_mib
from meshes import service
from proxies import BACKEND_PORT, PYTHON_PORT
from proxy_run import memory, wait_steady

NODES, SERVICES = 20, 100
HOLDERS = ["meshnode-1", "nginx-1", "haproxy-1", "caddy-1"]
WEBSOCKET_HOLDERS = ["meshnode-2", "caddy-2-h1"]


def mesh(run):
    """Resident memory of a node of a mesh that has stood for a while; the median of its nodes."""
    nodes, services = (5, 20) if run.options.quick else (NODES, SERVICES)
    mesh = run.proxies.mesh()
    for _ in range(nodes):
        first = len(mesh.nodes) * services
        names = (f"service-{number}" for number in range(first, first + services))
        mesh.add("".join(service(name, f"http://127.0.0.1:{BACKEND_PORT}") for name in names))
    mesh.wait_whole(nodes * services)
    time.sleep(2 if run.options.quick else 20)
    of_nodes = [memory_mib(node.pid) for node in mesh.nodes]
    for position, measure in enumerate(("rss", "rss_anon")):
        values = [values[position] for values in of_nodes]
        run.add(measure, "meshnode", statistics.median(values), nodes=nodes, services=services, of_nodes=values)
    run.say(f"mesh: {statistics.median(values[0] for values in of_nodes):.1f} MiB, median of {nodes} nodes")
    mesh.stop()


def idle(run):
    """What each of many connections adds, from when there was one to when all have been silent for a while."""
    connections, websockets = (500, 200) if run.options.quick else (2000, 1000)
    for name in HOLDERS:
        run.attempt(hold, run, "idle_connection", name, BACKEND_PORT, "/", connections)
    for name in WEBSOCKET_HOLDERS:
        run.attempt(hold, run, "idle_websocket", name, PYTHON_PORT, "/echo", websockets, "--websockets")


def hold(run, measure, name, port, path, count, *words):
    proxy = run.proxies.start(name, port)
    run.release(run.held("hold", *words, "--count", "1", proxy.url(path)))
    pids = proxy.pids()
    before = wait_steady(lambda: memory(pids)[0])
    holder = run.held("hold", *words, "--count", str(count), proxy.url(path))
    after = wait_steady(lambda: memory(pids)[0])
    open_at_end = run.release(holder)["open"]
    if open_at_end != count:
        raise GaveUp(f"{measure}, {name}: only {open_at_end} of {count} stayed open")
    each = (after - before) * 1024 / count
    run.add(measure, name, each, count=count, before_mib=before, after_mib=after)
    run.proxies.stop(proxy)
    run.say(f"{measure}, {name}: {each:.1f} KiB each, of {count}")
