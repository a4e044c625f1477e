"""What the benchmarks share: processes that cannot outlive the script, counters of the kernel, medians and tables."""

import csv
import ctypes
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class GaveUp(SystemExit):
    """What should be measured cannot be; ends the script, unless it can go on with something else."""


def enter_own_network():
    """Runs the script again in a network namespace of its own, where there is nothing but `lo`."""
    if os.environ.get("BENCH_NETWORK") != "own":
        if shutil.which("unshare") is None or shutil.which("ip") is None:
            sys.exit("needs unshare (util-linux) and ip (iproute2)")
        unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
        environment = dict(os.environ, BENCH_NETWORK="own")
        os.execvpe("unshare", [*unshare, sys.executable, *sys.argv], environment)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # A script that is asked to end cleans up as it does when it ends by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


def need(*programs):
    """Ends the script when a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")


def add_arguments(parser, csv_name):
    """The arguments that every benchmark has."""
    parser.add_argument("--binary", default=REPOSITORY / "target/release/meshnode", type=pathlib.Path)
    parser.add_argument("--csv", default=pathlib.Path(tempfile.gettempdir()) / csv_name, type=pathlib.Path)


def check_binary(path):
    """The program, which must have been built."""
    if not path.is_file():
        sys.exit(f"{path} is not there: cargo build --release")
    return path.resolve()


class Processes:
    """Processes that end with the script, whatever ends it."""

    def __init__(self):
        self.running = []

    def start(self, command, core=None, namespace=None, **options):
        """Starts one, on `core` alone and in the network `namespace`, if they are given."""

        def before_exec():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if namespace is not None:
                namespace.enter()
            if core is not None:
                os.sched_setaffinity(0, {core})

        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, preexec_fn=before_exec, **options
        )
        self.running.append(process)
        return process

    def kill(self, process):
        """Ends one at once."""
        process.kill()
        process.wait()
        self.running.remove(process)

    def finish(self, process, seconds=60):
        """Waits for the end of one that ends by itself."""
        process.wait(seconds)
        self.running.remove(process)

    def terminate(self, process):
        """Asks one to end, so that it ends its own children, and kills it when it does not."""
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.running.remove(process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in list(self.running):
            process.kill()
        for process in list(self.running):
            process.wait()


def family(pid):
    """A process and its descendants."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in family(int(child)))]


def cpu_seconds(pid):
    """User and system time of a process so far."""
    after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_SECOND


def memory_mib(pid):
    """Resident memory of a process, all of it and the part that is not backed by a file, in MiB."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(status[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon"))


def wait_until(what, deadline_seconds, condition, step=0.2):
    """Waits for a condition, and gives up when it does not come."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise GaveUp(f"gave up after {deadline_seconds} s: {what}")
        time.sleep(step)


def machine():
    """One line that says what was measured on, and how busy it was."""
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} x {model}, Linux {platform.release()}, load {load}"


class BusyMeter:
    """The share of the machine's CPU time that was in use since the meter was made, by whomever."""

    def __init__(self):
        self.start = self.read()

    @staticmethod
    def read():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        idle = fields[3] + fields[4]
        return sum(fields) - idle, sum(fields)

    def share(self):
        busy, total = (now - then for now, then in zip(self.read(), self.start))
        return busy / max(total, 1)


def summary(values):
    """Median, least and greatest."""
    return statistics.median(values), min(values), max(values)


def spread(values, digits=2):
    """`median (min to max)`."""
    median, least, greatest = summary(values)
    return f"{median:.{digits}f} ({least:.{digits}f} to {greatest:.{digits}f})"


def print_table(rows):
    """Columns as wide as their widest cell; the first row is the head."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def write_csv(path, head, rows):
    """Every single measurement."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    print(f"\nevery measurement: {path}")
