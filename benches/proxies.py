"""The proxies that are compared, each pinned to one core, with one hop or two in front of the same backend."""

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

from bench import family, wait_until

BACKEND_PORT = 9000
FRONT_PORT, BACK_PORT = 9100, 9200
BODY = "x" * 1024
PATH = "/"

NGINX = """
user root;
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  {content}
}}
"""

NGINX_PROXY = """
  upstream next {{ server 127.0.0.1:{to}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{listen} {listen_tls};
    location / {{
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      {proxy_tls}
    }}
  }}
"""

NGINX_LISTEN_TLS = "ssl; ssl_certificate {tls}/node.pem; ssl_certificate_key {tls}/node.key; \
ssl_client_certificate {tls}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3"

NGINX_PROXY_TLS = "proxy_pass https://next; proxy_ssl_certificate {tls}/node.pem; \
proxy_ssl_certificate_key {tls}/node.key; proxy_ssl_trusted_certificate {tls}/ca.pem; proxy_ssl_verify on; \
proxy_ssl_name node; proxy_ssl_protocols TLSv1.3;"

HAPROXY = """
global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{listen} {listen_tls}
  default_backend next
backend next
  server next 127.0.0.1:{to} {proxy_tls}
"""

HAPROXY_LISTEN_TLS = "ssl crt {tls}/node-both.pem ca-file {tls}/ca.pem verify required alpn {alpn}"
HAPROXY_PROXY_TLS = "ssl crt {tls}/node-both.pem ca-file {tls}/ca.pem verify required verifyhost node alpn {alpn}"


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


def start_nginx(processes, directory, content, core):
    """An nginx of one process, its own worker, so that nothing of it can outlive the script."""
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, content=content))
    return processes.start(["nginx", "-c", file, "-e", directory / "error.log"], core)


def start_backend(processes, directory, core):
    """Answers every request with 1 KiB."""
    server = f"server {{ listen 127.0.0.1:{BACKEND_PORT}; location / {{ return 200 '{BODY}'; }} }}"
    return start_nginx(processes, directory / "backend", server, core)


class Proxy:
    """What is measured: processes in front of the backend, and the URL to send requests to."""

    def __init__(self, name, started, url, check=None):
        self.name = name
        self.started = started
        self.url = url
        self.check = check

    def pids(self):
        return [pid for process in self.started for pid in family(process.pid)]

    def wait_serving(self):
        wait_until(f"{self.name} does not serve", 60, self.is_serving, step=0.1)

    def is_serving(self):
        try:
            with urllib.request.urlopen(self.url, timeout=2) as answer:
                body = answer.read().decode()
                return body == BODY and (self.check is None or self.check(answer.headers))
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


class Bench:
    """Starts one kind of proxy at a time."""

    def __init__(self, processes, directory, binary, core):
        self.processes = processes
        self.directory = directory
        self.binary = binary
        self.core = core
        self.started = 0
        self.tls = directory / "tls"
        self.tls.mkdir()
        make_certificates(self.tls)

    def fresh(self):
        self.started += 1
        return self.directory / f"proxy-{self.started}"

    def nginx(self, listen, to, listen_tls="", proxy_tls="proxy_pass http://next;"):
        tls = {"listen_tls": listen_tls.format(tls=self.tls), "proxy_tls": proxy_tls.format(tls=self.tls)}
        # In nginx the parameters of `listen` and the directives after it are two things.
        word, _, directives = tls["listen_tls"].partition("; ")
        content = NGINX_PROXY.format(listen=listen, to=to, listen_tls=word, proxy_tls=tls["proxy_tls"])
        if directives:
            content = content.replace("location /", f"{directives};\n    location /")
        return start_nginx(self.processes, self.fresh(), content, self.core)

    def haproxy(self, listen, to, alpn=None, tls_in=False, tls_out=False):
        words = {
            "listen_tls": HAPROXY_LISTEN_TLS.format(tls=self.tls, alpn=alpn) if tls_in else "",
            "proxy_tls": HAPROXY_PROXY_TLS.format(tls=self.tls, alpn=alpn) if tls_out else "",
        }
        file = self.fresh().with_suffix(".cfg")
        file.write_text(HAPROXY.format(listen=listen, to=to, **words))
        return self.processes.start(["haproxy", "-db", "-q", "-f", file], self.core, stderr=subprocess.DEVNULL)

    def meshnode(self, key, service=False, join=None):
        """A node; with `service` the backend is its own."""
        directory = self.fresh()
        directory.mkdir()
        config = directory / "node.toml"
        table = f'[[service]]\nname = "bench"\nurl = "http://127.0.0.1:{BACKEND_PORT}"\ncheck = "none"\n'
        config.write_text(table if service else "")
        command = [self.binary, "run", "--config", config, "--name", directory.name, "--data-dir", directory / "data"]
        command += ["--bind", "127.0.0.1:0", "--ingress", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "warn"]
        if join is not None:
            command += ["--join", join]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MESHNODE_")}
        environment["MESHNODE_CLUSTER_KEY"] = key
        process = self.processes.start(command, self.core, env=environment, stdout=subprocess.PIPE)
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"meshnode did not start, exit code {process.wait()}")
        return process, json.loads(line)

    def start(self, name):
        """The proxy of that name, when it serves."""
        proxy = getattr(self, "start_" + name.replace("-", "_"))(name)
        proxy.wait_serving()
        return proxy

    def stop(self, proxy):
        for process in proxy.started:
            self.processes.terminate(process)

    def start_direct(self, name):
        return Proxy(name, [], f"http://127.0.0.1:{BACKEND_PORT}{PATH}")

    def start_meshnode_1(self, name):
        node, ready = self.meshnode(base64.b64encode(os.urandom(32)).decode(), service=True)
        return self.mesh_proxy(name, [node], ready, ready)

    def start_meshnode_2(self, name):
        key = base64.b64encode(os.urandom(32)).decode()
        exit_node, exit_ready = self.meshnode(key, service=True)
        entry_node, entry_ready = self.meshnode(key, join=exit_ready["bind"])
        return self.mesh_proxy(name, [entry_node, exit_node], entry_ready, exit_ready)

    def mesh_proxy(self, name, nodes, entry, exit_):
        url = f"{entry['ingress']}/api/service/bench{PATH}"
        return Proxy(name, nodes, url, lambda headers: headers["x-mesh-worker"] == exit_["worker_id"])

    def start_nginx_1(self, name):
        return self.front(name, [self.nginx(FRONT_PORT, BACKEND_PORT)])

    def start_nginx_2(self, name):
        return self.front(name, [self.nginx(BACK_PORT, BACKEND_PORT), self.nginx(FRONT_PORT, BACK_PORT)])

    def start_nginx_2_mtls(self, name):
        back = self.nginx(BACK_PORT, BACKEND_PORT, listen_tls=NGINX_LISTEN_TLS)
        return self.front(name, [back, self.nginx(FRONT_PORT, BACK_PORT, proxy_tls=NGINX_PROXY_TLS)])

    def start_haproxy_1(self, name):
        return self.front(name, [self.haproxy(FRONT_PORT, BACKEND_PORT)])

    def start_haproxy_2_mtls(self, name):
        return self.haproxy_pair(name, "http/1.1")

    def start_haproxy_2_mtls_h2(self, name):
        return self.haproxy_pair(name, "h2")

    def haproxy_pair(self, name, alpn):
        back = self.haproxy(BACK_PORT, BACKEND_PORT, alpn, tls_in=True)
        return self.front(name, [back, self.haproxy(FRONT_PORT, BACK_PORT, alpn, tls_out=True)])

    @staticmethod
    def front(name, started):
        # A proxy of the run before must not answer in the place of one that failed to start.
        time.sleep(0.3)
        ended = [process.args for process in started if process.poll() is not None]
        if ended:
            raise SystemExit(f"{name} did not start: {ended}")
        return Proxy(name, started, f"http://127.0.0.1:{FRONT_PORT}{PATH}")


ONE_HOP = ("meshnode-1", "nginx-1", "haproxy-1")
TWO_HOPS = ("meshnode-2", "nginx-2", "nginx-2-mtls", "haproxy-2-mtls", "haproxy-2-mtls-h2")
