"""curl: every version of HTTP that it speaks, uploads of any size, ranges, trailers and answers without a body."""

import hashlib
import json
import subprocess

import pytest

UPLOAD = 200_000_000
VERSIONS = {"http1": "--http1.1", "h2c": "--http2-prior-knowledge"}


@pytest.fixture(params=VERSIONS)
def version(request):
    return VERSIONS[request.param]


def curl(*arguments, check=True):
    """curl's run; its answer with the head in front."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=90, check=False)
    if check:
        assert done.returncode == 0, f"curl {arguments}: {done.returncode} {done.stderr.decode()}"
    return done


def heads(output):
    """The heads of all answers, interim ones too, and the body of the last."""
    found = []
    while output.startswith(b"HTTP/"):
        head, output = output.split(b"\r\n\r\n", 1)
        found.append(head.decode("latin1").lower().split("\r\n"))
    return found, output


def written(done):
    """What --write-out %{json} said."""
    return json.loads(done.stdout.splitlines()[-1])


def test_a_get_is_answered_and_says_who_served(ingress, backends, version):
    backends("node")
    done = curl(version, "-i", ingress.url("node", "/chunked"))
    [head], body = heads(done.stdout)
    assert head[0].split()[1] == "200" and body == b"one,two,three"
    assert "x-mesh-attempts: 1" in head and any(line.startswith("x-mesh-worker: 12d3") for line in head)


def test_an_attempt_to_upgrade_to_h2c_is_answered_over_http1(ingress, backends):
    backends("node")
    done = curl("--http2", "-i", ingress.url("node", "/chunked"))
    [head], body = heads(done.stdout)
    assert head[0].startswith("http/1.1 200") and body == b"one,two,three"


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_an_upload_of_200_mb_arrives_whole(ingress, backends, upload, version, how):
    asgi = backends("uvicorn")
    headers = ["-H", f"x-case: upload-{how}-{version}-{ingress.hops}", "-H", "expect:"]
    if how == "chunked":
        headers += ["-H", "transfer-encoding: chunked"]
    done = curl(version, "-T", upload, *headers, ingress.url("uvicorn", "/put"))
    assert done.stdout == f"PUT /put {UPLOAD}\n".encode()
    record = asgi.wait_for(
        lambda record: record["event"] == "request" and record["case"] == headers[1].split(": ")[1], "the upload"
    )
    assert record["length"] == UPLOAD


@pytest.fixture(scope="module")
def upload(directory):
    path = directory / "upload.bin"
    block = hashlib.sha512(b"block").digest() * 15625
    with path.open("wb") as file:
        for _ in range(UPLOAD // len(block)):
            file.write(block)
    yield path
    path.unlink()


def test_a_client_that_expects_100_gets_it_once_and_before_its_body(ingress, backends, directory):
    backends("node")
    body = directory / "expected.bin"
    body.write_bytes(b"e" * 3_000_000)
    done = curl("--http1.1", "-i", "-H", "expect: 100-continue", "--expect100-timeout", 30, "-T", body,
                ingress.url("node", "/put"))  # fmt: skip
    found, answer = heads(done.stdout)
    assert [head[0].split()[1] for head in found] == ["100", "200"]
    assert answer == b"PUT /put 3000000\n"


def test_a_client_that_expects_100_of_nobody_gets_the_refusal_without_sending_its_body(ingress, directory):
    body = directory / "unwanted.bin"
    body.write_bytes(b"e" * 3_000_000)
    done = curl("--http1.1", "-o", "/dev/null", "-w", "%{json}", "-H", "expect: 100-continue", "--expect100-timeout",
                30, "-T", body, ingress.url("nobody", "/put"))  # fmt: skip
    assert written(done)["http_code"] == 503
    assert written(done)["size_upload"] == 0


def test_ranges_pass_in_both_directions(ingress, backends, version):
    backends("nginx")
    url = ingress.url("nginx", "/1MiB")
    done = curl(version, "-i", "-r", "1000-1999", url)
    [head], body = heads(done.stdout)
    assert head[0].split()[1] == "206" and "content-range: bytes 1000-1999/1048576" in head
    assert body == (bytes(range(256)) * 4096)[1000:2000]
    done = curl(version, "-i", "-r", "2000000-", url)
    assert heads(done.stdout)[0][0][0].split()[1] == "416"


def test_several_ranges_pass(ingress, backends):
    backends("nginx")
    done = curl("-i", "-r", "0-1,10-11", ingress.url("nginx", "/1MiB"))
    [head], body = heads(done.stdout)
    assert head[0].split()[1] == "206" and any("multipart/byteranges" in line for line in head)
    assert b"\x0a\x0b" in body


def test_a_head_has_the_length_of_the_body_that_it_does_not_have(ingress, backends, version):
    backends("nginx")
    done = curl(version, "-i", "--head", ingress.url("nginx", "/1MiB"))
    [head], body = heads(done.stdout)
    assert "content-length: 1048576" in head and body == b""


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_a_status_passes(ingress, backends, version, status):
    backends("nginx")
    done = curl(version, "-i", "-H", "x-mesh-explain: 0", ingress.url("nginx", f"/status/{status}"))
    [head], _ = heads(done.stdout)
    assert head[0].split()[1] == str(status)
    assert not any(line.startswith("x-mesh-error") for line in head), "the answer is the backend's"


def test_trailers_of_a_response_arrive_over_h2c(ingress, backends):
    backends("node")
    done = curl("--http2-prior-knowledge", "-i", "-H", "te: trailers", ingress.url("node", "/trailers"))
    assert b"body\n" in done.stdout
    assert b"x-sum: abc123" in done.stdout.split(b"body\n")[1].lower()


def test_trailers_of_a_response_arrive_over_http1(ingress, backends):
    backends("node")
    done = curl("--http1.1", "--raw", "-i", "-H", "te: trailers", ingress.url("node", "/trailers"))
    assert b"x-sum: abc123" in done.stdout.lower().split(b"0\r\n")[-1]


def test_many_urls_share_one_connection(ingress, backends):
    """Not over h2c: curl 7.88 cannot use such a connection twice, whatever the server."""
    backends("nginx")
    urls = [ingress.url("nginx", f"/many/{number}") for number in range(50)]
    done = curl("--http1.1", "-w", "%{num_connects}\n", *urls)
    lines = done.stdout.decode().split("\n")[:-1]
    assert lines[0].startswith("GET /many/0 ") and [int(line) for line in lines[1::2]] == [1] + [0] * 49


def test_a_service_is_found_by_host_name(ingress, backends, version):
    backends("node")
    done = curl(version, "-H", "host: node.mesh", f"http://{ingress.authority}/api/service/is-a-path?of=its%20own")
    assert done.stdout == b"GET /api/service/is-a-path?of=its%20own 0\n"


def test_what_nobody_serves_is_503_with_what_there_is_instead(ingress, backends, version):
    backends("node")
    done = curl(version, "-i", ingress.url("nobody"))
    [head], body = heads(done.stdout)
    said = json.loads(body)
    assert head[0].split()[1] == "503" and "x-mesh-retry: 1" in head
    assert said["service"] == "nobody" and "node" in said["available_services"] and said["suggestion"]


def test_a_service_where_nobody_listens_is_503(ingress, mesh):
    """Nobody listens on port 1 of loopback."""
    mesh.offer("gone", "http://127.0.0.1:1")
    done = curl("-o", "/dev/null", "-w", "%{json}", ingress.url("gone"))
    assert written(done)["http_code"] == 503
