"""Server-sent events read by httpx: each arrives alone, and hardly later than without the mesh."""

import subprocess
import time

import httpx

EVENTS, EVERY_MS = 200, 10


def read_events(url):
    """Each event: its number, how late it came, and when."""
    found = []
    with httpx.Client(trust_env=False, timeout=30) as client, client.stream("GET", url) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        for piece in answer.iter_raw():
            now = time.monotonic()
            for event in piece.decode().strip().split("\n\n"):
                number, sent = (line.split(": ")[1] for line in event.splitlines())
                found.append((int(number), now - float(sent), now))
    return found


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


def test_events_arrive_one_by_one_and_in_time(ingress, backends, figure):
    asgi = backends("uvicorn")
    path = f"/events/{EVENTS}/{EVERY_MS}"
    direct = read_events(asgi.url + path)
    meshed = read_events(ingress.url("uvicorn", path))
    assert [number for number, _, _ in meshed] == list(range(EVENTS))
    added = [p99([late for _, late, _ in events]) * 1000 for events in (direct, meshed)]
    moments = [moment for _, _, moment in meshed]
    together = sum(after == before for before, after in zip(moments, moments[1:], strict=False))
    figure(
        f"SSE, {ingress.hops} hop(s): p99 delay of an event {added[1]:.1f} ms, direct {added[0]:.1f} ms "
        f"(goal: 5 ms more); {together} of {EVENTS} came together with the one before"
    )
    assert added[1] - added[0] < 50
    assert together <= EVENTS // 20, "events were held back and sent together"


def test_the_first_event_does_not_wait_for_a_second(ingress, backends):
    backends("uvicorn")
    with httpx.Client(trust_env=False, timeout=10) as client, client.stream("GET", ingress.url("uvicorn", "/drip")) as answer:
        assert next(answer.iter_raw()) == b"first\n"


def test_events_flow_over_http2_too(mesh, backends):
    """h2c by prior knowledge, which curl has and httpx has not."""


    backends("uvicorn")
    for ingress in mesh.by_hops.values():
        command = ["curl", "-sN", "--http2-prior-knowledge", "--max-time", "20", ingress.url("uvicorn", "/events/20/5")]
        output = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout.decode()
        assert output.count("data: ") == 20
