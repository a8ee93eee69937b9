"""Private parts of packages that the code relies on.

They can change in any release. Each test fails with a sentence that names the package and our file.
pyproject.toml has an upper bound for each of these packages. The last tests find private names in
the code that no test here covers.
"""

import ast
import asyncio
import importlib
import importlib.metadata
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.middleware import get_user
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory
from kombu import Connection
from psycopg import errors
from psycopg_pool import ConnectionPool

from accounts.models import User
from snap.local.processes import BASE_DIR

# Private names in the code, by the package that they belong to. A test below covers each package.
PRIVATE_NAMES = {
    "psycopg": {"_WaitTimeout"},
    "psycopg-pool": {"_pool"},
    "channels-redis": {
        "_ensure_receiver",
        "_ensure_redis",
        "_get_group_channel_name",
        "_get_layer",
        "_layers",
        "_lock",
        "_pubsub",
        "_shards",
        "_subscribed_to",
    },
    "kombu": {"_do_close_transport", "_transport"},
    "granian": {"_granian"},
    "django": {"_cached_user", "_db", "_reject", "_state"},
    "djangorestframework": {"_request"},
}
# Private parts without an underscore: modules and attributes that no documentation names.
UNDOCUMENTED = {
    "qrcode": "guests/qr",
    "uvicorn": "snap/asgi.py",
    "prometheus-client": "snap/observability/metrics.py",
}
# Names with an underscore that their documentation has.
DOCUMENTED_NAMES = {"_exit", "_meta"}
# Attributes that our code sets on objects of other packages.
OUR_NAMES = {"_checked_account", "_step_phone", "_url"}

APPS = ["snap", "promo", "guests", "accounts", "notifications"]


def changed(package: str, file: str, reliance: str) -> str:
    version = importlib.metadata.version(package)
    return f"{package} has changed (this is {version}): {file} relies on {reliance}"


def require(owner: object, names: set[str], package: str, file: str) -> None:
    place = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    for name in sorted(names):
        assert hasattr(owner, name), changed(package, file, f"{place}.{name}")


# psycopg -----------------------------------------------------------------------------------------

CONNECTIONS = "snap/resilience/connections.py"


class ShortWaits(psycopg.Connection[Any]):
    """Ends each wait after 0.2 s, and records what `wait` and `execute` are called with."""

    limit: float | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = 0
        self.queries: list[Any] = []

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        self.waits += 1
        return super().wait(gen, interval, self.limit or timeout)

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        self.queries.append(query)
        return super().execute(query, *args, **options)


def connect() -> ShortWaits:
    parameters = connection.get_connection_params()
    return ShortWaits.connect(**parameters, autocommit=True)


def test_psycopg_waits_for_each_answer_in_wait_and_raises_wait_timeout() -> None:
    require(errors, {"_WaitTimeout"}, "psycopg", CONNECTIONS)
    own = connect()
    before = own.waits
    own.limit = 0.2
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError) as raised:
        own.execute("SELECT pg_sleep(3)")
    took = time.monotonic() - began
    own.close()
    assert own.waits > before, changed(
        "psycopg", CONNECTIONS, "Connection.wait, which waits for each answer"
    )
    assert isinstance(raised.value, errors._WaitTimeout), changed(
        "psycopg", CONNECTIONS, "errors._WaitTimeout, which Connection.wait raises at its timeout"
    )
    assert took < 2, changed("psycopg", CONNECTIONS, "the third argument of Connection.wait")


def test_a_wait_of_psycopg_can_be_resumed_with_a_second_one() -> None:
    from psycopg.waiting import READY_NONE

    from snap.resilience.connections import resume

    class Resuming(psycopg.Connection[Any]):
        timeouts = 0

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, 0.2)
            except errors._WaitTimeout:
                self.timeouts += 1
                return super().wait(resume(gen), interval, 5)

    sentence = changed(
        "psycopg", CONNECTIONS, "the generators of Connection.wait, which accept READY_NONE"
    )
    assert READY_NONE == 0, sentence
    parameters = connection.get_connection_params()
    with Resuming.connect(**parameters, autocommit=True) as own:
        # The statement is longer than a socket's buffer, so that sending it is also resumed.
        text = "x" * 3_000_000
        row = own.execute("SELECT pg_sleep(0.5), length(%s)", [text]).fetchone()
    assert row is not None, sentence
    assert row[1] == len(text), sentence
    assert own.timeouts, sentence


def test_a_connection_of_psycopg_knows_its_pool_and_is_checked_with_an_empty_query() -> None:
    parameters = connection.get_connection_params()
    pool = ConnectionPool(
        kwargs={**parameters, "autocommit": True},
        connection_class=ShortWaits,
        min_size=0,
        max_size=1,
        open=True,
        check=ConnectionPool.check_connection,
    )
    with pool, pool.connection() as own:
        require(own, {"_pool"}, "psycopg-pool", CONNECTIONS)
        assert own._pool is pool, changed(
            "psycopg-pool", CONNECTIONS, "Connection._pool, the pool of a connection"
        )
        assert "" in own.queries, changed(
            "psycopg-pool", CONNECTIONS, 'the health check of a pool, which executes ""'
        )


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


# Logs and metrics --------------------------------------------------------------------------------


def test_granian_logs_with_the_logger_that_the_settings_name() -> None:
    from granian.log import LOGGING_CONFIG, logger

    sentence = changed("granian", "snap/settings.py", 'the logger "_granian"')
    loggers: Any = LOGGING_CONFIG["loggers"]
    ours: Any = settings.LOGGING["loggers"]
    assert "_granian" in ours
    assert "_granian" in loggers, sentence
    assert logger.name == "_granian", sentence


def test_prometheus_client_names_the_files_of_gauges_by_mode_and_process(tmp_path: Path) -> None:
    from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

    file = UNDOCUMENTED["prometheus-client"]
    program = (
        "import os; from prometheus_client import Gauge;"
        "Gauge('level', 'A level', ['name'], multiprocess_mode='livemax').labels('a').set(2);"
        "print(os.getpid())"
    )
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    pid = int(done.stdout)
    gauge = tmp_path / f"gauge_livemax_{pid}.db"
    assert list(tmp_path.iterdir()) == [gauge], changed(
        "prometheus-client", file, "gauge_<mode>_<pid>.db, the files of gauges"
    )
    values = {}
    for metric in MultiProcessCollector.merge([str(gauge)]):  # type: ignore[no-untyped-call]
        for sample in metric.samples:
            values[metric.name, sample.labels["name"]] = sample.value
    assert values == {("level", "a"): 2}, changed(
        "prometheus-client", file, "MultiProcessCollector.merge, which reads such files"
    )
    mark_process_dead(pid, str(tmp_path))  # type: ignore[no-untyped-call]
    assert not gauge.exists(), changed(
        "prometheus-client", file, "mark_process_dead, which removes the files of a process"
    )


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


# The list is complete ----------------------------------------------------------------------------


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.strip("_").isidentifier()


def private_names_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and name of each private name that the module itself does not define."""
    own = set(names_defined_in(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for name in (*module.split("."), *(alias.name for alias in node.names)):
                if is_private(name):
                    yield node.lineno, name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                for name in alias.name.split("."):
                    if is_private(name):
                        yield node.lineno, name
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # As in getattr(request, "_cached_user") or the name of a logger.
            is_foreign = is_private(node.value) and node.value not in own
            if is_foreign:
                yield node.lineno, node.value


def names_defined_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names of functions, classes and variables, and attributes that classes set on self.

    Classes with a base class of another package define none: an attribute with an underscore may be
    the base's own.
    """
    foreign = set(foreign_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.ClassDef) and not bases_of(node) & foreign:
            yield node.name
            yield from attributes_set_in(node)


def attributes_set_in(node: ast.ClassDef) -> Iterator[str]:
    for part in ast.walk(node):
        is_set = isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
        if is_set and isinstance(part.value, ast.Name) and part.value.id == "self":  # type: ignore[attr-defined]
            yield part.attr  # type: ignore[attr-defined]


def bases_of(node: ast.ClassDef) -> set[str]:
    """Return the first part of each base's name: `psycopg` for `psycopg.Connection[Any]`."""
    return {ast.unparse(base).partition(".")[0].partition("[")[0] for base in node.bases}


def foreign_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module imports from other packages than the standard library."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        for alias in node.names:
            module = node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
            package = module.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in APPS:
                yield (alias.asname or alias.name).partition(".")[0]


def overridden_private_methods(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield private methods of a module's classes that another package's base class has, too."""
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        found = getattr(module, node.name, None)
        if not isinstance(found, type):
            continue
        for part in node.body:
            if not isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if is_private(part.name) and is_inherited(found, part.name):
                yield part.name


def is_inherited(owner: type, name: str) -> bool:
    """Return whether a class of another package, from which this one inherits, has the name."""
    for base in owner.__mro__[1:]:
        is_ours = base.__module__.partition(".")[0] in APPS
        if name in vars(base) and not is_ours:
            return True
    return False


def sources() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for path in sorted((BASE_DIR / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path.relative_to(BASE_DIR).as_posix(), ast.parse(path.read_text())


def names_by_place() -> dict[str, str]:
    """Return each private name of another package in the code, with the first place of its use."""
    found: dict[str, str] = {}
    for path, tree in sources():
        for line, name in private_names_in(tree):
            found.setdefault(name, f"{path}:{line}")
        if not path.endswith(("wsgi.py", "asgi.py")):
            for name in overridden_private_methods(path, tree):
                found.setdefault(name, path)
    return found


def test_every_private_name_in_the_code_has_a_test_here() -> None:
    listed = set[str]().union(*PRIVATE_NAMES.values())
    unknown = {}
    for name, place in names_by_place().items():
        if name not in listed | DOCUMENTED_NAMES | OUR_NAMES:
            unknown[name] = place
    assert not unknown, (
        f"private names of other packages without a test: {unknown}. Use a documented way, or list "
        "them in PRIVATE_NAMES and test what the code relies on."
    )


def test_every_name_that_is_listed_here_is_in_the_code() -> None:
    listed = set[str]().union(*PRIVATE_NAMES.values())
    unused = listed - names_by_place().keys()
    assert not unused, f"no longer in the code, so remove them here: {unused}"


def test_every_package_with_private_parts_in_use_has_an_upper_bound() -> None:
    import tomllib

    project = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]
    unbounded = []
    for package in [*PRIVATE_NAMES, *UNDOCUMENTED]:
        requirements = [
            line
            for line in project["dependencies"]
            if line.startswith((f"{package}>", f"{package}["))
        ]
        if not any("<" in requirement for requirement in requirements):
            unbounded.append(package)
    assert not unbounded, f"pyproject.toml needs an upper bound for {unbounded}"
