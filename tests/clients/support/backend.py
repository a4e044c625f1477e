"""Backends as processes that print their port, and then what they saw, one JSON object a line."""

import json
import os
import pathlib
import socket
import sys

from .mesh import ROOT
from .processes import Process, eventually

HERE = pathlib.Path(__file__).parents[1] / "backends"


class Backend:
    """A service, and what it says that it was asked."""

    def __init__(self, name, process, port, log):
        self.name, self.process, self.port, self.log = name, process, port, log
        self.read, self.records = 0, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def seen(self):
        """Everything that it has recorded until now."""
        with self.log.open("rb") as log:
            log.seek(self.read)
            text = log.read()
        text = text[: text.rfind(b"\n") + 1]
        self.read += len(text)
        lines = text.decode(errors="surrogateescape").split("\n")
        self.records += [json.loads(line) for line in lines if line.startswith("{")]
        return self.records

    def wait_for(self, matches, what, seconds=10.0):
        """The first record that matches."""

        def found():
            return next((record for record in self.seen() if matches(record)), None)

        return eventually(found, seconds, what=f"{self.name}: {what}")


def started(name, command, directory):
    """A backend whose first line of output is its port."""
    process = Process(name, command, directory)
    port = int(process.first_line())
    return Backend(name, process, port, process.out)


def python(name, script, directory, *arguments):
    """A backend in Python."""
    return started(name, [sys.executable, HERE / script, *arguments], directory)


def uvicorn(directory):
    return python("uvicorn", "asgi.py", directory)


def node(directory):
    return started("node", ["node", HERE / "server.js"], directory)


def hyper(directory):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    recorder = os.environ.get("RECORDER", target / "debug" / "examples" / "recorder")
    return started("hyper", [recorder], directory)


def nginx(directory, keepalive="75s"):
    """nginx, which cannot be given port 0: when somebody else was faster on the port that was free, another is tried."""
    home = pathlib.Path(directory) / f"nginx-{keepalive}"
    home.mkdir()
    (home / "1MiB").write_bytes(bytes(range(256)) * 4096)
    log = home / "requests.log"
    log.touch()
    while True:
        port = free_port()
        template = (HERE / "nginx.conf").read_text()
        for key, value in {"HOME": home, "PORT": port, "KEEPALIVE": keepalive}.items():
            template = template.replace(f"@{key}@", str(value))
        (home / "nginx.conf").write_text(template)
        command = ["nginx", "-p", home, "-c", home / "nginx.conf", "-e", home / "error.log"]
        path = f"{os.environ['PATH']}:/usr/sbin"
        process = Process(f"nginx-{keepalive}", command, directory, env={**os.environ, "PATH": path})
        eventually(lambda process=process, port=port: not process.is_alive() or answers(port), what="nginx's start")
        if process.is_alive():
            return Backend("nginx", process, port, log)
        error = process.err.read_text()
        assert "Address already in use" in error, error


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as stream:
            stream.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            return stream.recv(12).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


BY_NAME = {"nginx": nginx, "uvicorn": uvicorn, "node": node, "hyper": hyper}
