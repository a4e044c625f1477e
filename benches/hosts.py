"""Network namespaces that end with the script: one with nothing but `lo`, or one per host, joined by a bridge.

A namespace has no name, only a file descriptor of the script and the processes in it; so nothing is left behind when
they are gone, whatever ends them. What the network does to packets (loss, silence) and what it counts is done by
nftables on the bridge's ports, so that a sender is not told of a packet that is lost, as on a wire.
"""

import ctypes
import json
import os
import subprocess
from contextlib import contextmanager

from bench import LIBC

CLONE_NEWNET = 0x40000000


def check(result):
    """Raises what errno says, when a call into libc failed."""
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def open_own_namespace():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace, with `lo` up."""

    def __init__(self):
        home = open_own_namespace()
        try:
            check(LIBC.unshare(CLONE_NEWNET))
            try:
                self.fd = open_own_namespace()
            finally:
                check(LIBC.setns(home, CLONE_NEWNET))
        finally:
            os.close(home)
        self.ip("link set lo up")

    def enter(self):
        """Moves the calling thread into it: what it opens or starts from now on is there."""
        check(LIBC.setns(self.fd, CLONE_NEWNET))

    @contextmanager
    def inside(self):
        """Moves the calling thread into it for a while."""
        home = open_own_namespace()
        try:
            self.enter()
            yield
        finally:
            check(LIBC.setns(home, CLONE_NEWNET))
            os.close(home)

    def run(self, command, text="", pass_fds=()):
        """Runs a command in it, and gives what it prints."""
        with self.inside():
            done = subprocess.run(command, input=text, capture_output=True, text=True, pass_fds=pass_fds, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}\n{text}")
        return done.stdout

    def ip(self, *lines, pass_fds=()):
        self.run(["ip", "-batch", "-"], "\n".join(lines) + "\n", pass_fds)

    def nft(self, text):
        self.run(["nft", "-f", "-"], text)

    def lo_bytes(self):
        """Bytes that went over `lo` so far, with the headers of IP, UDP and TCP."""
        with self.inside(), open("/proc/thread-self/net/dev", encoding="ascii") as file:
            for line in file:
                if line.strip().startswith("lo:"):
                    return int(line.split(":")[1].split()[8])
        raise SystemExit("no lo in /proc/net/dev")

    def count_sent(self, hook, ports_by_name):
        """Counts from now on what passes a hook from or to some ports, with the headers of IP, UDP and TCP."""
        names = [f"{name}_{protocol}" for name in ports_by_name for protocol in ("udp", "tcp")]
        rules = [
            f"{protocol} {end} {ports} counter name {name}_{protocol} accept"
            for name, ports in ports_by_name.items()
            for protocol in ("udp", "tcp")
            for end in ("dport", "sport")
        ]
        family = "netdev" if "devices" in hook else "inet"
        counters = "".join(f"counter {name} {{ }}\n" for name in names)
        chain = "\n".join([f"type filter hook {hook};", *rules])
        self.nft(f"table {family} sent {{\n{counters}chain sent {{\n{chain}\n}}\n}}\n")

    def sent(self):
        """Bytes counted so far, by name, as `(UDP, TCP)`."""
        answer = json.loads(self.run(["nft", "-j", "list", "counters"]))
        counters = [item["counter"] for item in answer["nftables"] if "counter" in item]
        by_name = {counter["name"]: counter["bytes"] for counter in counters}
        names = {name.rsplit("_", 1)[0] for name in by_name}
        return {name: (by_name[f"{name}_udp"], by_name[f"{name}_tcp"]) for name in names}

    def close(self):
        os.close(self.fd)


class Network:
    """Hosts on one bridge. Neighbours are known for good: no ARP, so that its limits and losses play no part."""

    def __init__(self, count):
        self.bridge = Namespace()
        self.hosts = [Namespace() for _ in range(count)]
        self.silent = set()
        self.bridge.ip("link add br0 type bridge", "link set br0 up")
        for index, host in enumerate(self.hosts):
            # One segment a packet, as on a wire: a lost "packet" of 64 KiB would be a harder loss than meant.
            self.bridge.ip(
                f"link add p{index} type veth peer name eth0 address {self.mac(index)} netns /proc/self/fd/{host.fd}",
                f"link set p{index} master br0",
                f"link set p{index} gso_max_segs 1 up",
                pass_fds=[host.fd],
            )
            others = [other for other in range(count) if other != index]
            host.ip(
                f"addr add {self.address(index)}/16 dev eth0",
                "link set eth0 gso_max_segs 1 up",
                *(f"neigh add {self.address(o)} lladdr {self.mac(o)} dev eth0 nud permanent" for o in others),
            )

    @staticmethod
    def address(index):
        return f"10.99.{index // 200}.{index % 200 + 1}"

    @staticmethod
    def mac(index):
        return f"02:00:00:00:{index // 256:02x}:{index % 256:02x}"

    def ports(self):
        return ", ".join(f'"p{index}"' for index in range(len(self.hosts)))

    def count(self, ports_by_name):
        """Counts from now on what hosts send, lost or not."""
        self.bridge.count_sent(f"ingress devices = {{ {self.ports()} }} priority -10", ports_by_name)

    def sent(self):
        return self.bridge.sent()

    def lose(self, percent):
        """Loses so many of the packets that leave a host, and of those that arrive at one, from now on."""
        chains = [
            f"""chain {hook} {{
                type filter hook {hook} devices = {{ {self.ports()} }} priority 0;
                numgen random mod 100 < {percent} drop
            }}"""
            for hook in ("ingress", "egress")
        ]
        self.replace("loss", chains if percent else [])

    def silence(self, index):
        """Drops all that a host sends or should get."""
        self.silent.add(index)
        self.apply_silence()

    def unsilence(self, index):
        self.silent.discard(index)
        self.apply_silence()

    def apply_silence(self):
        devices = ", ".join(f'"p{index}"' for index in sorted(self.silent))
        chains = [
            f"""chain {hook} {{
                type filter hook {hook} devices = {{ {devices} }} priority 1;
                drop
            }}"""
            for hook in ("ingress", "egress")
        ]
        self.replace("silence", chains if self.silent else [])

    def replace(self, table, chains):
        """Puts chains in the place of a table's, in one transaction."""
        body = "\n".join(chains)
        name = f"table netdev {table}"
        self.bridge.nft(f"{name} {{ }}\ndelete {name}\n{name} {{\n{body}\n}}\n")

    def close(self):
        for namespace in [self.bridge, *self.hosts]:
            namespace.close()
