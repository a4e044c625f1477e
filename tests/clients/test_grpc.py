"""gRPC by grpcio: all four kinds of calls, statuses, metadata, deadlines, and calls that the client gives up."""

import concurrent.futures
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SECRET = bytes(range(256))



class Service(grpc.GenericRpcHandler):
    """Echoes in all four ways, and fails, waits and remembers what was given up."""

    KINDS = {
        "unary": "unary_unary", "fail": "unary_unary", "wait": "unary_unary", "tell": "unary_unary",
        "split": "unary_stream", "flood": "unary_stream", "join": "stream_unary", "chat": "stream_stream",
        "break_off": "unary_stream",
    }  # fmt: skip

    def __init__(self):
        self.cancelled = {}
        self.changed = threading.Condition()

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        kind = self.KINDS.get(name)
        return getattr(grpc, f"{kind}_rpc_method_handler")(getattr(self, name)) if kind else None

    def unary(self, message, _):
        return message

    def fail(self, message, context):
        code, text = message.split(b" ", 1)
        context.set_trailing_metadata((("x-why", "because"), ("x-why-bin", SECRET)))
        status = next(status for status in grpc.StatusCode if status.value[0] == int(code))
        context.abort(status, text.decode())

    def wait(self, message, context):
        """Until the client gives up; remembers when that was seen."""
        gone = threading.Event()

        def note():
            with self.changed:
                self.cancelled[message] = time.monotonic()
                self.changed.notify_all()
            gone.set()

        context.add_callback(note)
        with self.changed:
            self.cancelled[b"began " + message] = time.monotonic()
            self.changed.notify_all()
        gone.wait(30)
        return b""

    def when(self, key):
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.cancelled, 15), f"{key} was never seen"
            return self.cancelled[key]

    def tell(self, _, context):
        metadata = sorted((key, value) for key, value in context.invocation_metadata())
        context.send_initial_metadata((("x-first", "1"), ("x-first-bin", SECRET)))
        return repr((metadata, context.time_remaining())).encode()

    def split(self, message, _):
        for number in range(len(message)):
            yield message[number : number + 1]

    def flood(self, message, _):
        for _ in range(int(message)):
            yield bytes(65536)

    def break_off(self, message, context):
        yield message
        context.abort(grpc.StatusCode.DATA_LOSS, "half way")

    def join(self, messages, _):
        return b"".join(messages)

    def chat(self, messages, _):
        for message in messages:
            yield b"you said " + message


@pytest.fixture(scope="module")
def service(mesh):
    service = Service()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[service])
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    mesh.offer("grpc", f"http://127.0.0.1:{port}", protocol="h2c")
    yield service
    server.stop(0)


@pytest.fixture(params=["authority", "metadata"])
def call(request, ingress, service):
    """Makes a stub of one method, found by host name or by header."""
    authority = "grpc.mesh" if request.param == "authority" else "anything.example"
    options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    metadata = () if request.param == "authority" else (("x-mesh-service", "grpc"),)
    with grpc.insecure_channel(ingress.authority, options) as channel:

        def stub(name, kind="unary_unary"):
            method = getattr(channel, kind)(f"/test.Echo/{name}")

            def run(message, timeout=20, more=()):
                return method(message, timeout=timeout, metadata=(*metadata, *more))

            run.method, run.metadata, run.channel = method, metadata, channel
            return run

        yield stub


def test_a_unary_call_is_answered(call):
    for message in (b"", b"hello", bytes(3_000_000)):
        assert call("unary")(message) == message


def test_a_stream_of_answers_arrives_in_order(call):
    assert b"".join(call("split", "unary_stream")(SECRET)) == SECRET


def test_a_stream_of_questions_arrives_in_order(call):
    pieces = [bytes([number]) * 1000 for number in range(200)]
    assert call("join", "stream_unary")(iter(pieces)) == b"".join(pieces)


def test_both_ends_take_turns_on_one_stream(call):
    """Nothing may wait for the end of the other direction."""
    heard = threading.Semaphore(0)

    def questions():
        for number in range(20):
            yield str(number).encode()
            assert heard.acquire(timeout=10), f"no answer to {number}"

    answers = call("chat", "stream_stream")(questions())
    for number in range(20):
        assert next(answers) == f"you said {number}".encode()
        heard.release()
    assert list(answers) == []


def test_much_more_than_any_window_flows(call):
    assert sum(map(len, call("flood", "unary_stream")(b"800"))) == 800 * 65536


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status.value[0]])
def test_a_status_and_its_message_pass(call, status):
    with pytest.raises(grpc.RpcError) as failed:
        call("fail")(f"{status.value[0]} it ☃ failed: 100%".encode())
    assert failed.value.code() == status
    assert failed.value.details() == "it ☃ failed: 100%"
    assert ("x-why", "because") in failed.value.trailing_metadata()
    assert ("x-why-bin", SECRET) in failed.value.trailing_metadata()


def test_a_status_after_messages_passes(call):
    answers = call("break_off", "unary_stream")(b"first")
    assert next(answers) == b"first"
    with pytest.raises(grpc.RpcError) as failed:
        next(answers)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.DATA_LOSS, "half way")


def test_metadata_passes_both_ways(call):
    stub = call("tell")
    more = (("x-own", "value"), ("x-own-bin", SECRET), ("x-twice", "a"), ("x-twice", "b"))
    answer, done = stub.method.with_call(b"", timeout=20, metadata=(*stub.metadata, *more))
    seen, _ = eval(answer, {"inf": float("inf"), "_Metadatum": lambda key, value: (key, value)})
    assert set(more) <= set(seen)
    assert not [key for key, _ in seen if key.startswith("x-mesh-")]
    assert ("x-first", "1") in done.initial_metadata() and ("x-first-bin", SECRET) in done.initial_metadata()


def test_the_deadline_travels(call):
    _, left = eval(call("tell")(b"", timeout=12), {"_Metadatum": lambda key, value: (key, value)})
    # grpcio rounds it up when it writes it.
    assert 5 < left <= 13


def test_a_deadline_that_passes_ends_the_call_at_both_ends(call, service):
    message = f"deadline {time.monotonic()}".encode()
    with pytest.raises(grpc.RpcError) as failed:
        call("wait")(message, timeout=0.5)
    assert failed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    service.when(message)


def test_a_call_that_is_given_up_ends_at_the_server(call, service, ingress, figure):
    stub, lags = call("wait"), []
    for number in range(20):
        message = f"cancel {number} {time.monotonic()}".encode()
        future = stub.method.future(message, timeout=20, metadata=stub.metadata)
        service.when(b"began " + message)
        at = time.monotonic()
        future.cancel()
        lags.append(service.when(message) - at)
    figure(f"grpcio: cancel seen by the server, {ingress.hops} hop(s): worst of 20 {max(lags) * 1000:.1f} ms (goal 100)")
    assert max(lags) < 0.5


def test_a_hundred_calls_at_once_share_a_connection(call):
    stub = call("unary")
    messages = [f"message {number}".encode() * 100 for number in range(100)]
    futures = [stub.method.future(message, timeout=20, metadata=stub.metadata) for message in messages]
    assert [future.result() for future in futures] == messages


def test_an_unknown_method_is_the_servers_to_refuse(call):
    with pytest.raises(grpc.RpcError) as failed:
        call("nothing")(b"")
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert failed.value.details() == "Method not found!"


def test_the_standard_health_service_is_reached(ingress, service):
    options = [("grpc.default_authority", "grpc.mesh"), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(ingress.authority, options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        watched = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=10)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()


def refused(ingress, name):
    options = [("grpc.default_authority", f"{name}.mesh"), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(ingress.authority, options) as channel:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/test.Echo/unary")(b"", timeout=20)
        return failed.value


def test_a_service_that_nobody_has_is_unavailable_with_a_sentence(ingress, service):
    failed = refused(ingress, "nobody")
    assert failed.code() == grpc.StatusCode.UNAVAILABLE
    assert "nobody" in failed.details() and ("x-mesh-error", "no_route") in failed.initial_metadata() + failed.trailing_metadata()


def test_a_service_that_speaks_no_http2_is_unimplemented(ingress, backends):
    backends("node")
    failed = refused(ingress, "node")
    assert failed.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "node" in failed.details()


def test_a_service_where_nobody_listens_is_unavailable(ingress, mesh):
    mesh.offer("grpc-gone", "http://127.0.0.1:1", protocol="h2c")
    assert refused(ingress, "grpc-gone").code() == grpc.StatusCode.UNAVAILABLE
