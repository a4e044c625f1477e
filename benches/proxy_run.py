"""What the parts of the proxy benchmarks share: options, the order of turns, and load and clients on core 0."""

import json
import pathlib
import signal
import subprocess
import sys
import time
import traceback
from typing import NamedTuple

from bench import BusyMeter, GaveUp, cpu_seconds, memory_mib
from proxies import LOAD_CORE

HERE = pathlib.Path(__file__).resolve().parent
WRK_REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('\\n{"requests": %d, "us": %d, "p50": %d, "p99": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"""


class Sent(NamedTuple):
    """What became of one request: due in seconds of CLOCK_MONOTONIC, and how long until its answer, in ms."""

    due: float
    took: float
    outcome: str
    times: int
    worker: str
    attempts: str

    @property
    def failed(self):
        return not self.outcome.startswith("2")


class Run:
    """One run: its options, its processes, its table."""

    def __init__(self, options, processes, directory, proxies, table):
        self.options, self.processes, self.directory = options, processes, directory
        self.proxies, self.table = proxies, table
        self.not_measured = []
        self.script = directory / "report.lua"
        self.script.write_text(WRK_REPORT)

    def turns(self, names, rounds, measure):
        """Rounds of all names, each in the opposite order of the one before."""
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                self.attempt(measure, self, number, name)

    def attempt(self, measure, *words):
        """What cannot be measured is told in the end, and does not take the rest with it."""
        before = list(self.processes.running)
        try:
            measure(*words)
        except (GaveUp, Exception) as problem:
            if not isinstance(problem, GaveUp):
                traceback.print_exc()
            self.not_measured.append(repr(problem))
            self.say(f"not measured: {problem}")
            for process in [process for process in self.processes.running if process not in before]:
                self.processes.kill(process)

    def add(self, measure, system, value, **details):
        self.table.add(measure, system, value, **details)

    def say(self, text):
        print(f"  {text}", flush=True)

    def program(self, name, *words, **options):
        """A program of this directory, on the load's core, with its output to read."""
        command = [sys.executable, HERE / name, *words]
        return self.processes.start(command, LOAD_CORE, stdout=subprocess.PIPE, text=True, **options)

    def finish(self, process, seconds):
        """What a program said until its end."""
        output, _ = process.communicate(timeout=seconds)
        self.processes.running.remove(process)
        if process.returncode:
            raise GaveUp(f"{process.args} ended with {process.returncode}")
        return output

    def held(self, *words):
        """A program that holds connections, once it does."""
        process = self.program("sockets.py", *words)
        if process.stdout.readline().strip() != "ready":
            raise GaveUp(f"{words} did not get ready")
        return process

    def release(self, process):
        """Ends such a program; what it said."""
        process.send_signal(signal.SIGTERM)
        return json.loads(self.finish(process, 30))

    def wrk(self, url, connections, seconds):
        """What wrk says of one run."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", self.script, url]
        process = self.processes.start(command, LOAD_CORE, stdout=subprocess.PIPE, text=True)
        return json.loads(self.finish(process, seconds + 30).splitlines()[-1])

    def load(self, urls, rate, count, again=False, seed=1):
        """Starts an open load; `sent` reads what became of it."""
        words = ["--rate", str(rate), "--count", str(count), "--seed", str(seed), *(["--again"] if again else [])]
        return self.program("load.py", *words, *urls)

    def sent(self, process, seconds):
        """What became of each request of a load, by when it was due."""
        rows = (line.split(",") for line in self.finish(process, seconds).splitlines())
        return [Sent(int(row[0]) / 1e9, int(row[1]) / 1e3, row[2], int(row[3]), *row[4:]) for row in rows]


class CpuMeter:
    """CPU seconds of some processes since it was made, and how busy the whole machine was."""

    def __init__(self, pids):
        self.pids, self.busy = pids, BusyMeter()
        self.before = self.read()

    def read(self):
        return sum(map(cpu_seconds, self.pids))

    def seconds(self):
        return self.read() - self.before


def memory(pids):
    """Resident and anonymous memory of some processes together, in MiB."""
    return tuple(map(sum, zip(*map(memory_mib, pids))))


def percentile(values, share):
    """The value that this share of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def wait_steady(read, seconds=20, within=0.1):
    """A figure, once it has stood still for a second, or when the time is over."""
    before, now = None, read()
    for _ in range(seconds):
        if before is not None and abs(now - before) <= within:
            break
        time.sleep(1)
        before, now = now, read()
    return now
