"""Private parts of packages that the code relies on.

They can change in any release. Each test fails with a sentence that names the package and our file.
tests/helpers/private_parts.py lists the names, pyproject.toml has an upper bound for each package,
and test_private_names.py finds names in the code that are not listed. The tests of psycopg are in
resilience/test_psycopg_private_parts.py.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.middleware import get_user
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory
from kombu import Connection

from accounts.models import User
from snap.metering.entries import read_entries, value_at
from snap.metering.files import SIZE, ReservedDict
from snap.resilience.http_sessions import POOLS
from tests.helpers.private_parts import UNDOCUMENTED, changed, require

# channels_redis ----------------------------------------------------------------------------------

CHANNEL_LAYER = "snap/channel_layer.py"


def test_channels_redis_subscribes_and_delivers_through_its_shards() -> None:
    from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection

    from snap.channel_layer import GroupChannelLayer

    async def run() -> None:
        theirs = RedisPubSubChannelLayer(hosts=[settings.CHANNELS_URL], prefix="private")
        require(theirs, {"_get_layer", "_layers"}, "channels-redis", CHANNEL_LAYER)
        assert theirs._layers == {}, changed(
            "channels-redis", CHANNEL_LAYER, "_layers, which is empty before the first call"
        )
        inner = theirs._get_layer()
        assert theirs._layers == {asyncio.get_running_loop(): inner}, changed(
            "channels-redis", CHANNEL_LAYER, "_layers, which has the layer of each event loop"
        )
        require(inner, {"_shards", "_get_group_channel_name"}, "channels-redis", CHANNEL_LAYER)
        shard = RedisSingleShardConnection(inner._shards[0].host, inner)
        names = {"_ensure_receiver", "_ensure_redis", "_lock", "_pubsub", "_subscribed_to"}
        require(shard, names, "channels-redis", CHANNEL_LAYER)
        shard._ensure_redis()
        assert hasattr(shard._pubsub, "psubscribe"), changed(
            "channels-redis", CHANNEL_LAYER, "_pubsub, which _ensure_redis sets"
        )
        await shard.flush()

        ours = GroupChannelLayer(hosts=[settings.CHANNELS_URL], prefix="private")
        channel = await ours.new_channel()
        await ours.group_add("a group", channel)
        pattern = ours._get_layer()._get_group_channel_name("*")
        assert ours._get_layer()._shards[0]._subscribed_to == {pattern}, changed(
            "channels-redis", CHANNEL_LAYER, "subscribe, which each new channel and group calls"
        )
        await ours.group_send("a group", {"type": "hello"})
        received = await asyncio.wait_for(ours.receive(channel), 5)
        assert received == {"type": "hello"}, changed(
            "channels-redis", CHANNEL_LAYER, "messages of a pattern, delivered to their group"
        )
        await ours.flush()

    asyncio.run(run())


# qrcode ------------------------------------------------------------------------------------------


def test_qrcode_draws_codewords_that_were_computed_elsewhere() -> None:
    import qrcode
    from qrcode.base import gexp, glog, rs_blocks
    from qrcode.constants import ERROR_CORRECT_M
    from qrcode.util import QRData

    from guests.qr.codewords import codewords

    file = UNDOCUMENTED["qrcode"]
    data = b"https://snap.example/guest/0123456789abcdefghijklmn/"
    expected = qrcode.QRCode(error_correction=ERROR_CORRECT_M, mask_pattern=2)
    expected.add_data(QRData(data))
    version = expected.best_fit()
    assert version == 4, changed("qrcode", file, "best_fit, which returns the smallest version")
    expected.make(fit=False)

    own = qrcode.QRCode(version, error_correction=ERROR_CORRECT_M, mask_pattern=2)
    require(own, {"data_cache", "modules", "modules_count"}, "qrcode", file)
    own.data_cache = codewords(data, version)
    own.make(fit=False)
    assert own.modules == expected.modules, changed(
        "qrcode", file, "data_cache, the codewords that make(fit=False) draws"
    )
    assert len(own.modules) == own.modules_count, changed(
        "qrcode", file, "modules, a matrix of modules_count rows"
    )
    blocks = rs_blocks(10, ERROR_CORRECT_M)
    counts = [(block.total_count, block.data_count) for block in blocks]
    assert counts == [(69, 43)] * 4 + [(70, 44)], changed(
        "qrcode", file, "rs_blocks, the table of error correction blocks"
    )
    for number in range(1, 256):
        assert gexp(glog(number)) == number, changed(
            "qrcode", file, "gexp and glog, the arithmetic of the field"
        )


# uvicorn -----------------------------------------------------------------------------------------


def test_uvicorn_calls_the_parts_of_its_protocol_that_ours_changes() -> None:
    from uvicorn.config import Config
    from uvicorn.server import ServerState
    from websockets.asyncio.client import connect as open_socket

    from snap.asgi import WebSocketProtocol

    file = UNDOCUMENTED["uvicorn"]
    seen: dict[str, Any] = {}

    class Recording(WebSocketProtocol):
        def handle_connect(self, event: Any) -> None:
            seen["headers before"] = len(event.headers)
            super().handle_connect(event)
            seen["headers after"] = len(event.headers)

        def send_receive_event_to_app(self) -> None:
            seen["frames"] = list(self.frames)
            super().send_receive_event_to_app()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen["scope"] = len(scope["headers"])
        await receive()
        await send({"type": "websocket.accept"})
        seen["received"] = (await receive())["type"]

    async def run() -> None:
        config = Config(application, lifespan="off", ws_per_message_deflate=False)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Recording(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        async with open_socket(f"ws://127.0.0.1:{port}/") as socket:
            await socket.send("a message of the page")
            await socket.ping()
        await asyncio.wait(state.tasks, timeout=5) if state.tasks else None

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
        seen["refusal"] = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()

    asyncio.run(run())
    assert seen.get("headers before"), changed(
        "uvicorn", file, "handle_connect(event) with headers"
    )
    assert seen["scope"] == seen["headers before"], changed(
        "uvicorn", file, "handle_connect, which copies the headers into the scope"
    )
    assert seen["headers after"] == 0, changed("uvicorn", file, "headers that can be cleared")
    assert seen.get("frames") == [b"a message of the page"], changed(
        "uvicorn", file, "frames, which send_receive_event_to_app passes to the application"
    )
    assert seen["received"] == "websocket.disconnect", changed(
        "uvicorn", file, "send_receive_event_to_app as the only way of a message to the application"
    )
    assert seen["refusal"].startswith(b"HTTP/1.1 400"), changed(
        "uvicorn",
        file,
        "conn.handshake_exc and handshake_initiated, which tell an invalid handshake",
    )


# Celery and kombu --------------------------------------------------------------------------------

CELERY = "snap/celery.py"


def test_kombu_closes_a_transport_where_ours_keeps_its_client() -> None:
    from snap.celery import ReconnectingConnection, app

    require(Connection, {"_do_close_transport"}, "kombu", CELERY)
    theirs = Connection("memory://")
    transport: Any = theirs.transport
    is_same = getattr(theirs, "_transport", None) is transport
    assert is_same, changed("kombu", CELERY, "_transport, the transport of a connection")
    had_client = transport.client is theirs
    assert had_client, changed("kombu", CELERY, "the client of a transport")
    theirs.close()
    assert transport.client is None, changed(
        "kombu", CELERY, "_do_close_transport, which sets the client of a transport to None"
    )
    ours = ReconnectingConnection("memory://")
    transport = ours.transport
    ours.close()
    assert transport.client is ours, changed(
        "kombu", CELERY, "_do_close_transport, which close() calls"
    )
    made = app.connection_for_write()
    assert isinstance(made, ReconnectingConnection), changed(
        "celery", CELERY, "AMQP.Connection, the class of an application's connections"
    )


def test_kombu_passes_the_intervals_between_two_tries() -> None:
    from snap.celery import ReconnectingConnection

    intervals: list[float] = []
    away = ReconnectingConnection("redis://127.0.0.1:1", transport_options={"max_retries": 0})
    with pytest.raises(Exception, match="111"):
        away.ensure_connection(lambda error, interval: intervals.append(interval), max_retries=2)
    assert intervals[:2] == [1, 1], changed(
        "kombu", CELERY, "the arguments interval_start, interval_step and interval_max"
    )


def test_celery_installs_its_handler_of_sigterm_by_a_function_of_its_module() -> None:
    from celery.apps import worker

    name = "install_worker_term_handler"
    require(worker, {name}, "celery", UNDOCUMENTED["celery"])
    called = worker.Worker.install_platform_tweaks.__code__.co_names
    assert name in called, changed("celery", UNDOCUMENTED["celery"], name)


METERING = "snap/metering/files.py"

# Logs and metrics --------------------------------------------------------------------------------


def test_granian_logs_with_the_logger_that_the_settings_name() -> None:
    from granian.log import LOGGING_CONFIG, logger

    sentence = changed("granian", "snap/settings.py", 'the logger "_granian"')
    loggers: Any = LOGGING_CONFIG["loggers"]
    ours: Any = settings.LOGGING["loggers"]
    assert "_granian" in ours
    assert "_granian" in loggers, sentence
    assert logger.name == "_granian", sentence


def test_granian_waits_for_an_event_that_its_signal_handlers_set() -> None:
    from granian.server import Server

    options: Any = {"interface": "wsgi"}
    server: Any = Server("tests.bench.hello:application", **options)
    event = server.main_loop_interrupt
    server.signal_handler_interrupt()
    reliance = "AbstractServer.main_loop_interrupt"
    assert event.is_set(), changed("granian", UNDOCUMENTED["granian"], reliance)


def test_prometheus_client_names_files_by_kind_and_process(tmp_path: Path) -> None:
    file = UNDOCUMENTED["prometheus-client"]
    program = (
        "from prometheus_client import Counter, Gauge, values;"
        "values.ValueClass = values.MultiProcessValue(lambda: 'web-1');"
        "Gauge('level', 'A level', ['name'], multiprocess_mode='livemax').labels('a').set(2);"
        "Counter('seen', 'Seen').inc()"
    )
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    subprocess.run(command, check=True, env=environment)
    assert {path.name for path in tmp_path.iterdir()} == {
        "gauge_livemax_web-1.db",
        "counter_web-1.db",
    }, changed("prometheus-client", file, "files named by kind, mode and process")
    content = (tmp_path / "gauge_livemax_web-1.db").read_bytes()
    [(key, position)] = read_entries(content)
    assert json.loads(key) == ["level", "level", {"name": "a"}, "A level"]
    assert value_at(content, position)[0] == 2, changed(
        "prometheus-client", "snap/metering/entries.py", "the form of such files"
    )


def test_prometheus_client_makes_its_lock_and_values_by_these_names() -> None:
    from prometheus_client import values

    require(values, {"Lock", "MultiProcessValue", "ValueClass"}, "prometheus-client", METERING)


def test_prometheus_client_keeps_the_values_of_a_process_in_a_mapped_file(tmp_path: Path) -> None:
    from prometheus_client import mmap_dict, values

    file = METERING
    kept: Any = mmap_dict.MmapedDict(str(tmp_path / "x.db"))  # type: ignore[no-untyped-call]
    require(kept, {"_capacity", "_f", "_init_value", "_m", "_used"}, "prometheus-client", file)
    sizes = (kept._capacity, len(kept._m), os.fstat(kept._f.fileno()).st_size)
    kept.close()
    assert sizes == (SIZE, SIZE, SIZE), changed("prometheus-client", file, "files of 64 KiB")
    assert values.MmapedDict is ReservedDict, changed(  # type: ignore[attr-defined]
        "prometheus-client", file, "values.MmapedDict, the class of such files"
    )


def test_sentry_sends_through_the_pool_of_its_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib3 import HTTPResponse

    from snap.observability.reporter import ReportTransport

    file = "snap/observability/reporter.py"
    dropped: list[str] = []

    class Recording(ReportTransport):
        def on_dropped_event(self, reason: str) -> None:
            dropped.append(reason)

    from sentry_sdk.consts import DEFAULT_OPTIONS
    from sentry_sdk.envelope import Envelope

    given = {"dsn": "http://key@127.0.0.1:9/1", "send_client_reports": False}
    transport = Recording(DEFAULT_OPTIONS | given)
    require(transport, {"_pool", "_request"}, "sentry-sdk", file)
    assert transport._pool.pool_classes_by_scheme is POOLS, changed(
        "sentry-sdk", file, "_pool, a PoolManager of urllib3"
    )
    asked: list[str] = []

    def respond(method: str, url: str, **_options: object) -> HTTPResponse:
        asked.append(url)
        return HTTPResponse(status=500)

    monkeypatch.setattr(transport._pool, "request", respond)
    envelope = Envelope()
    envelope.add_event({"message": "an event"})
    transport.capture_envelope(envelope)
    transport.flush(timeout=10)
    transport.kill()
    assert asked == ["http://127.0.0.1:9/api/1/envelope/"], changed(
        "sentry-sdk", file, "_request, which sends each envelope"
    )
    assert dropped == ["status_500"], changed("sentry-sdk", file, "on_dropped_event")


# Django and Django REST Framework ----------------------------------------------------------------


def test_django_caches_the_user_of_a_request(rf: RequestFactory) -> None:
    request = rf.get("/")
    marker = User(pk=7)
    request._cached_user = marker  # type: ignore[attr-defined]
    assert get_user(request) is marker, changed(
        "django", "accounts/sessions.py", "request._cached_user, which get_user returns"
    )


def test_django_refuses_a_csrf_token_in_reject(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise NotImplementedError

    class Reporting(CsrfViewMiddleware):
        def _reject(self, request: Any, reason: str) -> Any:
            return f"refused: {reason}"

    check = Reporting(view)
    request = rf.post("/")
    check.process_request(request)
    result = check.process_view(request, view, (), {})
    assert str(result).startswith("refused: "), changed(
        "django", "promo/api/authentication.py", "CsrfViewMiddleware._reject(request, reason)"
    )


def test_django_knows_whether_an_object_is_stored_and_in_which_database() -> None:
    account = User(phone="+351912345678")
    assert account._state.adding, changed(
        "django", "guests/models/requests.py", "_state.adding, true for an object without a row"
    )
    require(User.objects, {"_db"}, "django", "accounts/models/users.py")
    assert User.objects.db_manager("default")._db == "default", changed(
        "django", "accounts/models/users.py", "the manager's _db, the name of its database"
    )


def test_a_request_of_rest_framework_has_the_request_of_django(rf: RequestFactory) -> None:
    from rest_framework.request import Request

    request = rf.get("/")
    wrapped = Request(request)
    require(wrapped, {"_request"}, "djangorestframework", "promo/api/")
    assert wrapped._request is request, changed(
        "djangorestframework", "promo/api/", "Request._request, the request of Django"
    )
