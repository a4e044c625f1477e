"""A pytest plugin: the tests run in a network of their own that has loopback only, and whoever tries to leave it is noticed."""

import ctypes
import fcntl
import os
import pathlib
import socket
import struct

import pytest

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41


class Isolation:
    """Whether this process and all that it starts are cut off."""

    done = False


def pytest_configure(config):
    # Only the thread that asks is moved, so this comes before there are others.
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if uid == 0 else CLONE_NEWUSER | CLONE_NEWNET
    if ctypes.CDLL(None).unshare(flags) != 0:
        return
    if uid != 0:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP_RUNNING))
    Isolation.done = True


def pytest_terminal_summary(terminalreporter):
    if not Isolation.done:
        terminalreporter.write_line("not checked: that nothing leaves the machine, as this user may not make a network without a way out")


def attempts():
    """How often somebody tried to reach what is not this machine: a connection, or a question to a name server."""
    read = pathlib.Path("/proc/self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in read if line.startswith("Ip:"))
    six = dict(line.split() for line in pathlib.Path("/proc/self/net/snmp6").read_text().splitlines())
    return int(dict(zip(names, values))["OutNoRoutes"]) + int(six["Ip6OutNoRoutes"])


@pytest.fixture(scope="session", autouse=True)
def nobody_leaves():
    yield
    if Isolation.done:
        assert attempts() == 0, f"{attempts()} attempts to reach what is not this machine"
