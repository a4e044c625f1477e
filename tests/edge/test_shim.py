"""The stand-in for Cloudflare's API is what it says: by Cloudflare's own client, and by the rules that the writer relies on."""

import base64
import http.client
import json
import time
from email.utils import parsedate_to_datetime

import pytest

from support.harness import Harness, quoted
from support.processes import eventually


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    harness = Harness(tmp_path_factory.mktemp("shim")).wait()
    yield harness
    harness.stop()


@pytest.fixture(autouse=True)
def fresh(api):
    api.control(reset=True)


def code(answer):
    """Status, and code of the error."""
    return answer[0], answer[2]["errors"][0]["code"]


def billed(api):
    counts = api.counts()
    return {name: counts[name] for name in ("writes", "reads", "lists", "deletes")}


def listed(api, prefix):
    """The keys with this prefix, as the API lists them."""
    return {key["name"]: key for key in api.call("GET", f"keys?prefix={quoted(prefix)}")[2]["result"]}


def test_cloudflares_own_client_puts_gets_lists_and_deletes(api):
    api.wrangler("kv", "key", "put", "mesh:v1:wrangler", "its value", "--ttl", "120", "--metadata", '{"seq": 1}')
    assert api.wrangler("kv", "key", "get", "mesh:v1:wrangler", "--text").strip() == "its value"
    (entry,) = json.loads(api.wrangler("kv", "key", "list", "--prefix", "mesh:v1:wrangler"))
    assert (entry["name"], entry["metadata"]) == ("mesh:v1:wrangler", {"seq": 1})
    assert 60 < entry["expiration"] - time.time() <= 121
    api.wrangler("kv", "key", "delete", "mesh:v1:wrangler")
    assert api.get("mesh:v1:wrangler") is None
    assert billed(api) == {"writes": 1, "reads": 2, "lists": 1, "deletes": 1}


def test_cloudflares_own_client_writes_and_deletes_in_bulk(api):
    pairs = [{"key": "bulk:a", "value": "1", "expiration_ttl": 600}, {"key": "bulk:b", "value": "Mg==", "base64": True, "metadata": {"n": 2}}]
    (api.home / "pairs.json").write_text(json.dumps(pairs))
    (api.home / "keys.json").write_text(json.dumps(["bulk:a", "bulk:b"]))
    api.wrangler("kv", "bulk", "put", "pairs.json")
    assert (api.get("bulk:a"), api.get("bulk:b")) == (b"1", b"2")
    assert api.counts()["writes"] == 2, "each pair is billed"
    api.wrangler("kv", "bulk", "delete", "keys.json", "--force")
    assert listed(api, "bulk:") == {}


def test_a_caller_without_the_token_or_in_another_account_learns_nothing(api):
    api.put("secret", b"1")
    for wrong in ({"token": "guessed"}, {"token": ""}, {"account": "acct2"}):
        assert code(api.call("GET", "values/secret", **wrong)) == (403, 10000)
        assert code(api.call("PUT", "bulk", [{"key": "secret", "value": "2"}], **wrong)) == (403, 10000)
    assert code(api.call("GET", "values/secret", namespace="f" * 32)) == (404, 10013)
    assert code(api.call("GET", "values/other")) == (404, 10009)
    assert code(api.call("GET", "metadata/other")) == (404, 10009)
    assert api.call("GET", "elsewhere")[0] == 404
    assert api.call("POST", "values/secret", b"2")[0] == 405
    assert (api.get("secret"), api.counts()["writes"]) == (b"1", 1)


@pytest.mark.parametrize("ttl", ["10", "59", "0", "-1", "nonsense"])
def test_the_runtime_itself_refuses_a_ttl_below_a_minute(api, ttl):
    assert api.call("PUT", f"values/ttl?expiration_ttl={ttl}", b"1")[0] == 400
    assert api.call("PUT", "bulk", [{"key": "ttl", "value": "1", "expiration_ttl": int(ttl) if ttl.isdigit() else ttl}])[0] == 400
    assert api.call("PUT", f"values/ttl?expiration={int(time.time()) + 30}", b"1")[0] == 400
    # What was refused was not written: neither a value, nor the second of the key.
    assert (api.get("ttl"), api.counts()["writes"]) == (None, 0)


def test_the_runtimes_limits_of_keys_values_and_metadata_hold(api):
    assert api.call("PUT", f"values/{'k' * 513}", b"1")[0] == 414
    assert api.call("PUT", "bulk", [{"key": "large", "value": "1", "metadata": "m" * 1025}])[0] == 413
    assert api.call("PUT", "values/large", bytes(25 * 1024 * 1024 + 1))[0] == 413
    assert api.call("PUT", "bulk", [{"key": "", "value": "1"}])[0] == 400
    assert api.call("PUT", "bulk", {"key": "no list", "value": "1"})[0] == 400
    assert api.call("PUT", "bulk", b"no json")[0] == 400
    assert api.call("POST", "bulk/get", {"keys": ["k"] * 101})[0] == 400
    assert api.counts()["writes"] == 0


def test_a_write_replaces_value_expiry_and_metadata(api):
    item = {"key": "whole", "value": base64.b64encode(b"\x00\xff").decode(), "base64": True, "expiration_ttl": 604800, "metadata": {"v": 1}}
    status, _, body = api.call("PUT", "bulk", [item])
    assert (status, body["success"], body["result"]) == (200, True, {"successful_key_count": 1, "unsuccessful_keys": []})
    assert api.get("whole") == b"\x00\xff"
    assert api.call("GET", "metadata/whole")[2]["result"] == {"v": 1}
    assert abs(listed(api, "whole")["whole"]["expiration"] - time.time() - 604800) < 30

    api.control(now=time.time() + 2)
    api.put("whole", b"plain")
    assert listed(api, "whole") == {"whole": {"name": "whole"}}
    values = api.call("POST", "bulk/get", {"keys": ["whole", "absent"]})[2]["result"]["values"]
    assert values == {"whole": "plain", "absent": None}


def test_a_form_has_a_value_and_metadata(api):
    def form(*fields):
        parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
        headers = {"content-type": "multipart/form-data; boundary=b"}
        return api.call("PUT", "values/form", "".join([*parts, "--b--\r\n"]).encode(), **headers)[0]

    assert form(("metadata", "{}")) == 400
    assert form(("value", "1"), ("metadata", "no json")) == 400
    assert form(("value", "1"), ("metadata", '{"a": 1}')) == 200
    assert (api.get("form"), api.call("GET", "metadata/form")[2]["result"]) == (b"1", {"a": 1})


def test_a_key_is_written_once_a_second(api):
    clock = int(time.time())
    api.control(now=clock)
    api.put("often", b"1")
    status, headers, _ = api.call("PUT", "values/often", b"2")
    assert (status, headers["retry-after"]) == (429, "1")
    status, _, body = api.call("PUT", "bulk", [{"key": "often", "value": "2"}, {"key": "other", "value": "2"}])
    assert (status, body["result"]) == (200, {"successful_key_count": 1, "unsuccessful_keys": ["often"]})
    assert (api.get("often"), api.get("other")) == (b"1", b"2")
    assert api.control(now=clock + 2)["limited"] == 2
    api.put("often", b"3")
    assert (api.get("often"), api.counts()["writes"]) == (b"3", 3)


def test_a_long_list_comes_in_pages(api):
    api.call("PUT", "bulk", [{"key": f"page:{number:02}", "value": "1"} for number in range(25)])
    names, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        body = api.call("GET", f"keys?prefix=page:&limit=10&cursor={cursor}")[2]
        assert body["result_info"]["count"] == len(body["result"])
        names += [key["name"] for key in body["result"]]
        cursor, pages = body["result_info"]["cursor"], pages + 1
    assert (pages, names) == (3, [f"page:{number:02}" for number in range(25)])
    assert api.call("GET", "keys?limit=9")[0] == 400
    assert api.counts()["lists"] == 3


def test_faults_come_as_often_as_asked_for_and_change_nothing(api):
    api.control(status=429, left=2, retryAfter=7)
    for _ in range(2):
        status, headers, _ = api.call("PUT", "values/fault", b"1")
        assert (status, headers["retry-after"]) == (429, "7")
    assert api.get("fault") is None
    api.control(status=500, on="put")
    assert api.get("fault") is None, "only a write fails"
    assert api.call("PUT", "bulk", [{"key": "fault", "value": "1"}])[0] == 500
    counts = api.counts()
    assert (counts["reads"], counts["writes"], counts["limited"], counts["refused"]) == (2, 0, 2, 3)


def test_a_lost_answer_is_that_of_a_write_that_took_place(api):
    api.control(drop="put")
    with pytest.raises(http.client.IncompleteRead):
        api.put("lost", b"1")
    assert (api.get("lost"), api.counts()["writes"]) == (b"1", 1)
    api.control(drop="get")
    with pytest.raises(http.client.IncompleteRead):
        api.get("lost")
    assert api.get("lost") == b"1"


def test_the_date_is_what_the_test_says_and_goes_on(api):
    start = 1_795_437_600
    api.control(now=start)

    def shown():
        return parsedate_to_datetime(api.call("GET", "values/dated")[1]["date"]).timestamp()

    assert start <= shown() <= start + 5
    eventually(lambda: shown() > start, 5, "the clock to go on")
    api.control(now=None)
    assert abs(shown() - time.time()) <= 2


def test_values_outlive_the_process(api):
    api.call("PUT", "bulk", [{"key": "kept", "value": "1", "expiration_ttl": 3600, "metadata": {"a": 1}}])
    before = listed(api, "kept")
    api.process.popen.kill()
    api.restart()
    assert (api.get("kept"), listed(api, "kept")) == (b"1", before)
    assert api.counts()["writes"] == 0
