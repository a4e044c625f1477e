"""Reads the logs of many processes, and knows when each line came and how late it may have been."""

import os
import selectors
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

# Writes the time, every tenth of a second, just when it writes: what the reader is late with it is late with any line.
BEACON = """
import os, time
while True:
    os.write(1, b"%.6f\\n" % time.monotonic())
    time.sleep(0.1)
"""


def run_before_others():
    """Gives the calling thread real-time priority, and what it starts none."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        pass  # Then the beacon shows what it costs.


class LogReader(threading.Thread):
    """Hands over each line with the time at which it came, before anybody else on the machine may run."""

    def __init__(self, processes):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.lateness, self.measuring = [], False
        # The main thread too: while it holds Python's lock and is not on a core, this one waits with it.
        run_before_others()
        self.start()
        beacon = processes.start([sys.executable, "-c", BEACON], stdout=subprocess.PIPE)
        self.follow(beacon.stdout, self.note_lateness)

    def note_lateness(self, line, now):
        if self.measuring:
            self.lateness.append(now - float(line))

    @contextmanager
    def measured(self):
        """The time in which it matters how late a line is read."""
        self.measuring = True
        try:
            yield
        finally:
            self.measuring = False

    def follow(self, pipe, handle_line):
        os.set_blocking(pipe.fileno(), False)
        self.selector.register(pipe, selectors.EVENT_READ, [handle_line, b""])

    def run(self):
        run_before_others()
        while True:
            for key, _ in self.selector.select(timeout=1):
                self.read(key)

    def read(self, key):
        handle_line, rest = key.data
        now = time.monotonic()
        read = os.read(key.fd, 65536)
        if not read:
            self.selector.unregister(key.fileobj)
            key.fileobj.close()
            return
        *lines, key.data[1] = (rest + read).split(b"\n")
        for line in lines:
            handle_line(line.decode(errors="replace"), now)

    def worst_lateness(self):
        """Seconds by which lines were read late while it mattered: of a hundred the 99th, and the worst."""
        late = sorted(self.lateness) or [0.0]
        return late[int(len(late) * 0.99) - 1], late[-1]
