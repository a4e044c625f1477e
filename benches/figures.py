"""The table of the membership benchmarks: what each row measures, what it should be, and what it was."""

import json
import math
import statistics
from dataclasses import dataclass

from bench import print_table


@dataclass(frozen=True)
class Limit:
    """A bound, from above if not `at_least`: a figure in the row's unit, or a multiple of the peer's."""

    value: float
    of_peer: bool = False
    at_least: bool = False

    def holds(self, figure, ratio):
        bounded = ratio if self.of_peer else figure
        if bounded is None:
            return False
        return bounded >= self.value if self.at_least else bounded <= self.value

    def text(self, unit):
        text = f"{self.value:g}x" if self.of_peer else f"{self.value:g} {unit}".strip()
        return f">= {text}" if self.at_least else text


@dataclass(frozen=True)
class Row:
    key: str
    label: str
    unit: str
    goal: Limit
    floor: Limit
    digits: int = 2


ROWS = (
    Row("kill", "kill -9: last survivor knows", "s", Limit(0.3), Limit(1)),
    Row("silent", "host silent: last survivor knows", "s", Limit(3), Limit(5)),
    Row("loss_silent", "25 % loss, host silent: last survivor knows", "s", Limit(4), Limit(10)),
    Row("loss_bytes", "25 % loss: sent per node", "B/s", Limit(0.4, True), Limit(1, True), 0),
    Row("loss_gone", "25 % loss: live members wrongly gone", "", Limit(0), Limit(0), 0),
    Row("idle_bytes", "idle: sent per node on lo", "B/s", Limit(0.75, True), Limit(1.1, True), 0),
    Row("idle_cpu", "idle: CPU per node", "ms/s", Limit(0.3, True), Limit(1, True)),
    Row("idle_rss", "idle: resident memory per node", "MiB", Limit(0.95, True), Limit(1, True), 1),
    Row("join", "join through one seed: all know all", "s", Limit(0.3), Limit(1, True)),
    Row("stop_avoided", "SIGSTOP: unroutable everywhere", "s", Limit(2), Limit(4)),
    Row("stop_dead", "SIGSTOP: dead everywhere", "s", Limit(13), Limit(20)),
)


class Figures:
    """Every single measurement, by row and system."""

    def __init__(self, peer):
        self.peer = peer
        self.measured = []

    def add(self, key, system, value, label=""):
        """Takes one measurement; `inf` is one that never came."""
        self.measured.append((key, system, label, value))

    def values(self, key, system):
        return [value for row, by, _, value in self.measured if row == key and by == system]

    def rows(self):
        """What was measured, judged by the median."""
        return [self.judge(row) for row in ROWS if self.values(row.key, "meshnode")]

    def judge(self, row):
        ours, theirs = self.values(row.key, "meshnode"), self.values(row.key, self.peer)
        figure = statistics.median(ours)
        peer = statistics.median(theirs) if theirs else None
        ratio = figure / peer if peer else None
        met = "goal" if row.goal.holds(figure, ratio) else "floor" if row.floor.holds(figure, ratio) else "missed"
        return {
            "measure": row.key, "label": row.label, "unit": row.unit,
            "goal": row.goal.text(row.unit), "floor": row.floor.text(row.unit),
            "meshnode": figure, "meshnode_worst": max(ours), "peer": peer,
            "peer_worst": max(theirs) if theirs else None, "ratio": ratio, "met": met, "samples": len(ours),
        }  # fmt: skip

    def print(self):
        head = ["measure: median (worst)", "goal", "floor", "meshnode", self.peer, "ratio", "met", "n"]
        table = [head]
        for row, judged in zip((row for row in ROWS if self.values(row.key, "meshnode")), self.rows()):
            ours = cell(judged["meshnode"], judged["meshnode_worst"], row)
            theirs = cell(judged["peer"], judged["peer_worst"], row)
            ratio = f"{judged['ratio']:.2f}" if judged["ratio"] is not None else "-"
            table.append(
                [row.label, judged["goal"], judged["floor"], ours, theirs, ratio, judged["met"], judged["samples"]]
            )
        print_table(table)

    def write_json(self, path, about):
        """The table and every measurement; what never came is `null`."""
        measured = [
            {"measure": key, "system": system, "label": label, "value": value}
            for key, system, label, value in self.measured
        ]
        document = finite({**about, "peer": self.peer, "rows": self.rows(), "measured": measured})
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"the table as JSON: {path}")


def cell(median, worst, row):
    """`median (worst) unit`."""
    if median is None:
        return "-"
    show = lambda value: f"{value:.{row.digits}f}" if value < math.inf else "never"
    return f"{show(median)} ({show(worst)}) {row.unit}".strip()


def finite(value):
    """The same without infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if value == math.inf else value
