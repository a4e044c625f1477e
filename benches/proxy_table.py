"""The table of the proxy benchmarks: what each row should be, beside whom, and what it was."""

import json
import math
import statistics
from dataclasses import dataclass

from bench import print_table, write_csv
from figures import Limit, finite


@dataclass(frozen=True)
class Row:
    """One line: a measure of one system, with limits of its own or beside a peer; `worst` judges by the worst."""

    part: str
    measure: str
    label: str
    unit: str
    ours: str
    floor: Limit | None = None
    goal: Limit | None = None
    peer: str | None = None
    digits: int = 1
    worst: bool = False


def beside(part, measure, label, unit, ours, limits, at_least=False, digits=1):
    """A line for each peer, with floor and goal as multiples of its figure."""
    limit = lambda value: None if value is None else Limit(value, of_peer=True, at_least=at_least)
    return [
        Row(part, measure, f"{label} / {peer}", unit, ours, limit(floor), limit(goal), peer, digits)
        for peer, (floor, goal) in limits.items()
    ]


def never(part, measure, label):
    """A line that counts what must not happen."""
    return Row(part, measure, label, "", "meshnode", Limit(0), Limit(0), digits=0, worst=True)


ROWS = [
    *beside("cpu", "cpu_1", "CPU per request, one hop", "us", "meshnode-1", {
        "nginx-1": (1.4, 1.0), "haproxy-1": (1.4, 1.0), "envoy-1": (0.5, 0.3),
        "traefik-1": (None, None), "caddy-1": (None, None),
    }),
    *beside("cpu", "cpu_2", "CPU per request, two hops, mTLS", "us", "meshnode-2", {
        "haproxy-2-h1": (1.8, 1.0), "haproxy-2-h2": (1.8, 1.0), "envoy-2-h2": (0.5, 0.25), "nginx-2-h1": (1.0, 0.6),
        "traefik-2-h2": (None, None), "caddy-2-h2": (None, None),
    }),
    *beside("edge", "edge_cpu", "CPU per request, meshedge", "us", "meshedge-1", {"nginx-1": (1.5, 1.1)}),
    *beside("latency", "added_p50", "added p50, two hops", "us", "meshnode-2",
            {"envoy-2-h2": (0.8, 0.4), "haproxy-2-h2": (None, None)}, digits=0),
    *beside("latency", "added_p99", "added p99, two hops", "us", "meshnode-2",
            {"envoy-2-h2": (0.8, 0.4), "haproxy-2-h2": (None, None)}, digits=0),
    *beside("latency", "cpu_2_open", "  CPU per request at that rate", "us", "meshnode-2",
            {"envoy-2-h2": (None, None), "haproxy-2-h2": (None, None)}),
    *beside("bytes", "bytes", "1 GiB up and down, two hops", "MB/CPU-s", "meshnode-2",
            {"haproxy-2-h1": (0.6, 1.0), "haproxy-2-h2": (0.6, 1.0)}, at_least=True, digits=0),
    Row("growth", "growth", "growth, 4 GiB to a reader of 1 MB/s", "MiB", "meshnode-2", Limit(16), Limit(2), digits=2),
    Row("mesh", "rss", "RSS idle, 20 nodes x 100 services", "MiB", "meshnode", Limit(40), Limit(15)),
    Row("mesh", "rss_anon", "  of it anonymous", "MiB", "meshnode"),
    Row("idle", "idle_connection", "idle client connection", "KiB", "meshnode-1", Limit(36), Limit(12)),
    *beside("idle", "idle_connection", "idle client connection", "KiB", "meshnode-1",
            {"nginx-1": (None, None), "haproxy-1": (None, None), "caddy-1": (None, None)}),
    *beside("idle", "idle_websocket", "idle WebSocket, two hops", "KiB", "meshnode-2", {"caddy-2-h1": (1.0, 0.5)}),
    never("kill", "kill_failed", "kill -9 of a replica: failed"),
    Row("kill", "kill_p999", "  p99.9 of 10 s after, minus before", "ms", "meshnode", None, Limit(50)),
    never("stop", "stop_failed", "SIGSTOP of a replica: failed"),
    Row("stop", "stop_gone", "  traffic gone from it after", "s", "meshnode", Limit(3), Limit(0.5), digits=2),
    never("restart", "restart_failed", "rolling restart: requests failed"),
    never("restart", "restart_websockets", "  WebSockets failed"),
    Row("failing", "attempts", "all replicas failing: attempts/request", "", "meshnode",
        Limit(1.3), Limit(1.1), digits=3, worst=True),
    Row("events", "events_p99", "event stream: added delay p99", "ms", "meshnode-2", Limit(5), digits=2),
]  # fmt: skip

PARTS = list(dict.fromkeys(row.part for row in ROWS))


class Table:
    """Every single measurement, and the rows that come of them."""

    def __init__(self):
        self.measured = []

    def add(self, measure, system, value, **details):
        """Takes one measurement; `inf` is one that never came."""
        self.measured.append({"measure": measure, "system": system, "value": value, **details})

    def values(self, measure, system):
        return [m["value"] for m in self.measured if m["measure"] == measure and m["system"] == system]

    def figure(self, row, system):
        values = self.values(row.measure, system)
        return None if not values else max(values) if row.worst else statistics.median(values)

    def rows(self):
        """What was measured, judged."""
        return [self.judge(row) for row in ROWS if self.values(row.measure, row.ours)]

    def judge(self, row):
        figure, peer = self.figure(row, row.ours), None
        if row.peer is not None:
            peer = self.figure(row, row.peer)
        # What a proxy adds may vanish in the noise; then there is nothing to compare.
        ratio = figure / peer if peer is not None and min(figure, peer) > 0 else None
        judged = figure if row.peer is None else ratio
        return {
            "row": row.label, "unit": row.unit, "part": row.part, "measure": row.measure, "system": row.ours,
            "floor": row.floor and row.floor.text(row.unit), "goal": row.goal and row.goal.text(row.unit),
            "figure": figure, "least": min(self.values(row.measure, row.ours)),
            "greatest": max(self.values(row.measure, row.ours)), "peer": row.peer, "peer_figure": peer,
            "ratio": ratio, "met": met(row, figure, ratio) if judged is not None else "not measured",
            "samples": len(self.values(row.measure, row.ours)), "digits": row.digits,
        }  # fmt: skip

    def lines(self):
        """The table as text, the head first."""
        yield ["measure: median (least to greatest)", "floor", "goal", "meshnode", "peer", "ratio", "met", "n"]
        for row in self.rows():
            show = lambda value: "never" if value == math.inf else f"{value:.{row['digits']}f}"
            ours = f"{show(row['figure'])} ({show(row['least'])} to {show(row['greatest'])}) {row['unit']}".strip()
            peer = "-" if row["peer_figure"] is None else show(row["peer_figure"])
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}x"
            limits = [row["floor"] or "-", row["goal"] or "-"]
            yield [row["row"], *limits, ours, peer, ratio, row["met"], str(row["samples"])]

    def print(self):
        print()
        print_table(list(self.lines()))

    def write_markdown(self, path):
        """The table for a document."""
        head, *rows = (f"| {' | '.join(cell.strip() for cell in line)} |\n" for line in self.lines())
        path.write_text(head + "|---" * 8 + "|\n" + "".join(rows), encoding="utf-8")

    def write(self, csv_path, json_path, about):
        """Every measurement as CSV, and with the table as JSON."""
        rows = []
        for measured in self.measured:
            details = {key: value for key, value in measured.items() if key not in ("measure", "system", "value")}
            rows.append((measured["measure"], measured["system"], measured["value"], json.dumps(finite(details))))
        write_csv(csv_path, ("measure", "system", "value", "details"), rows)
        document = finite({**about, "rows": self.rows(), "measured": self.measured})
        json_path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"the same with the table as JSON: {json_path}")


def met(row, figure, ratio):
    """Goal, floor, or neither."""
    if row.goal is None and row.floor is None:
        return "-"
    if row.goal is not None and row.goal.holds(figure, ratio):
        return "goal"
    if row.floor is None or row.floor.holds(figure, ratio):
        return "floor" if row.floor is not None else "missed"
    return "missed"
