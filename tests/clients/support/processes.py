"""Processes that die with the tests, and waiting for what they do."""

import ctypes
import os
import pathlib
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
DEADLINE = 30.0


def die_with_parent():
    """In the child: the kernel kills it when the tests end, however they end."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def eventually(question, seconds=DEADLINE, what="it"):
    """The first truthy answer to `question`; an error when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(0.005)


class Process:
    """A process whose standard output and error go to files."""

    def __init__(self, name, command, directory, **options):
        self.name = name
        self.out = pathlib.Path(directory) / f"{name}.out"
        self.err = pathlib.Path(directory) / f"{name}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=die_with_parent,
                **options,
            )
        self.pid = self.popen.pid

    def is_alive(self):
        return self.popen.poll() is None

    def first_line(self):
        """The first line that it printed, once there is one."""

        def line():
            if not self.is_alive():
                raise AssertionError(f"{self.name} ended with {self.popen.returncode}: {self.err.read_text()[-2000:]}")
            text = self.out.read_text()
            return text.splitlines()[0] if "\n" in text else None

        return eventually(line, what=f"the first line of {self.name}")

    def stop(self):
        self.popen.kill()
        self.popen.wait()

    def cpu_seconds(self):
        """CPU time of the process so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        """What of the process is in memory."""
        return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
