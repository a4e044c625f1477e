"""Everything that carries requests here, by name: `KIND-1` is one hop, `KIND-2-h1` and `KIND-2-h2` are two.

All hops of one are pinned to one core. Between two hops is mutual TLS 1.3, with HTTP/1.1 or HTTP/2 in it;
between two meshnodes it is HTTP/2, always.
"""

import base64
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from bench import GaveUp, family, wait_until
from meshes import Mesh, service
from peers import Peers, start_nginx

LOAD_CORE, PROXY_CORE = 0, 1
# nginx: 1 KiB of JSON, status 500, an end without an answer, how much it had of all that. Then backend.py.
BACKEND_PORT, FAILING_PORT, CLOSING_PORT, COUNT_PORT, PYTHON_PORT = 9000, 9001, 9002, 9003, 9004
# The backend as an edge sees a node: a summary, and answers with a worker's name.
NODE_PORT = 9005
FRONT_PORT, BACK_PORT = 9100, 9200
BODY = '{"text": "' + "x" * 1012 + '"}'


def make_certificates(directory):
    """A CA, and one certificate of the name `node` for client and server."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    openssl("req", *key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node")
    (directory / "node.ext").write_text("subjectAltName=DNS:node\n")
    signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", "node.csr", *signed_by, "-out", "node.pem", "-days", "2", "-extfile", "node.ext")
    both = (directory / "node.pem").read_text() + (directory / "node.key").read_text()
    (directory / "node-both.pem").write_text(both)


def start_backend(processes, directory):
    """An nginx for everything that is short."""
    listen = lambda port, what: f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {what}; }} }}"
    content = listen(BACKEND_PORT, f"return 200 '{BODY}'") + listen(FAILING_PORT, "return 500 'no'")
    content += listen(CLOSING_PORT, "return 444")
    summary = json.dumps(edge_summary())
    content += f"""server {{ listen 127.0.0.1:{NODE_PORT} backlog=4096; add_header x-mesh-worker w1;
        location = /.mesh/summary {{ return 200 '{summary}'; }} location / {{ return 200 '{BODY}'; }} }}"""
    start_nginx(processes, directory / "backend", content + listen(COUNT_PORT, "stub_status"), LOAD_CORE)


def edge_summary():
    """What lists the one node that an edge is to know."""
    node = {"id": "w1", "url": f"http://127.0.0.1:{NODE_PORT}", "unseen_since": None}
    return {"v": 1, "cluster": "bench", "cluster_id": "5be1c09a77d0e213", "term": 1, "seq": 1, "nodes": [node]}


def requests_served():
    """How many requests the backend has had, not counting those that ask for it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{COUNT_PORT}/") as answer:
        total = int(answer.read().split()[9])
    requests_served.own = getattr(requests_served, "own", 0) + 1
    return total - requests_served.own


class Proxy:
    """What is measured: processes in front of a backend, and the URL in front of its paths."""

    def __init__(self, name, started, url):
        self.name, self.started, self.base = name, started, url

    def url(self, path="/"):
        return self.base + path

    def pids(self):
        return [pid for process in self.started for pid in family(process.pid)]

    def is_serving(self):
        if any(process.poll() is not None for process in self.started):
            raise GaveUp(f"{self.name} ended: {[process.args for process in self.started]}")
        try:
            with urllib.request.urlopen(self.url(), timeout=2) as answer:
                return len(answer.read()) == len(BODY)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def spoken(context):
    """Version of TLS and protocol of the hop behind, or nothing if it does not answer a request."""
    try:
        with socket.create_connection(("127.0.0.1", BACK_PORT), 2) as plain:
            with context.wrap_socket(plain, server_hostname="node") as secure:
                version, protocol = secure.version(), secure.selected_alpn_protocol()
                preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                secure.sendall(preface if protocol == "h2" else b"GET / HTTP/1.1\r\nhost: node\r\n\r\n")
                # In TLS 1.3 a client learns of a certificate that is missing when it reads; nginx answers 400 then.
                answer = secure.recv(64)
                return (version, protocol) if answer and b" 400 " not in answer else None
    except OSError:
        return None


class Proxies:
    """Starts one at a time."""

    def __init__(self, processes, directory, binary):
        self.processes, self.directory, self.binary = processes, directory, binary
        self.meshes = 0
        self.tls = directory / "tls"
        self.tls.mkdir()
        make_certificates(self.tls)
        self.peers = Peers(processes, directory, PROXY_CORE, self.tls)

    def mesh(self):
        """An empty mesh of its own."""
        self.meshes += 1
        return Mesh(self.processes, self.directory / f"mesh-{self.meshes}", self.binary, PROXY_CORE)

    def start(self, name, to=BACKEND_PORT):
        """The proxy of that name in front of a port, when it serves; `direct` is none."""
        kind, hops, *protocol = name.split("-") if name != "direct" else ("direct", "0")
        if kind == "direct":
            proxy = Proxy(name, [], f"http://127.0.0.1:{to}")
        elif kind == "meshnode":
            proxy = self.meshnode(name, int(hops), to)
        elif kind == "meshedge":
            proxy = self.meshedge(name)
        else:
            proxy = self.peer(name, kind, int(hops), protocol == ["h2"], to)
        wait_until(f"{name} does not serve", 60, proxy.is_serving, step=0.1)
        return proxy

    def meshnode(self, name, hops, to):
        mesh = self.mesh()
        mesh.add(service("bench", f"http://127.0.0.1:{to}", max_in_flight=100000))
        if hops == 2:
            mesh.add()
            mesh.wait_whole(services=1)
        return Proxy(name, [node.process for node in mesh.nodes], mesh.nodes[-1].url("bench", ""))

    def meshedge(self, name):
        """An edge in front of the backend that poses as a node; it signs each request."""
        store, secret = self.directory / "edge-summary.json", self.directory / "edge.secret"
        store.write_text(json.dumps(edge_summary()))
        secret.write_text(f"k1:{base64.b64encode(bytes(32)).decode()}\n")
        command = [self.binary.with_name("meshedge"), "--store", f"file:{store}", "--cluster", "bench"]
        command += ["--edge-secret-file", secret, "--listen", f"127.0.0.1:{FRONT_PORT}", "--log", "warn"]
        started = self.processes.start(command, PROXY_CORE, stdout=subprocess.DEVNULL)
        return Proxy(name, [started], f"http://127.0.0.1:{FRONT_PORT}/api/service/bench")

    def peer(self, name, kind, hops, h2, to):
        hop = lambda listen, to, tls_in, tls_out: self.peers.start(kind, listen, to, tls_in, tls_out, h2)
        if hops == 1:
            started = [hop(FRONT_PORT, to, False, False)]
        else:
            started = [hop(BACK_PORT, to, True, False), hop(FRONT_PORT, BACK_PORT, False, True)]
            wait_until(f"{name} asks for no certificate, or speaks something else", 20, lambda: self.is_mutual(h2))
        # A proxy of the run before must not answer in the place of one that failed to start.
        time.sleep(0.3)
        return Proxy(name, started, f"http://127.0.0.1:{FRONT_PORT}")

    def is_mutual(self, h2):
        """Whether the hop behind takes the protocol with a certificate, and nothing without one."""
        context = ssl.create_default_context(cafile=self.tls / "ca.pem")
        context.set_alpn_protocols(["h2" if h2 else "http/1.1"])
        if spoken(context) is not None:
            return False
        context.load_cert_chain(self.tls / "node.pem", self.tls / "node.key")
        return spoken(context) == ("TLSv1.3", "h2" if h2 else "http/1.1")

    def stop(self, proxy):
        for process in proxy.started:
            self.processes.kill(process)
