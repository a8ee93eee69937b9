"""Addresses of servers: each way to write one leads to that server, also through Celery."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from kombu import Connection
from psycopg import sql
from redis import Redis

from snap.environment.postgresql import database_settings
from snap.environment.redis import redis_address
from snap.local.embedded import free_port
from snap.local.wheels import valkey_binary
from tests.helpers.own_servers import own_postgresql
from tests.helpers.settings_run import read_settings
from tests.helpers.stack import wait_for

PASSWORD = "p@s/s:w#r?d %$x;&=+\"'ü"


# Redis --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "first", "broker"),
    [
        ("redis://h", "redis://h:6379/0", "redis://h:6379/3"),
        ("redis://h/", "redis://h:6379/0", "redis://h:6379/3"),
        ("redis://h/0", "redis://h:6379/0", "redis://h:6379/3"),
        ("redis://h:7/4/", "redis://h:7/4", "redis://h:7/7"),
        ("redis://h?db=2", "redis://h:6379/2", "redis://h:6379/5"),
        ("redis://:p%40@h", "redis://:p%40@h:6379/0", "redis://:p%40@h:6379/3"),
        ("redis://u:p@[::1]:7", "redis://u:p@[::1]:7/0", "redis://u:p@[::1]:7/3"),
        ("unix:///s.sock", "unix:///s.sock?db=0", "redis+socket:///s.sock?virtual_host=3"),
        (
            "unix://u:p@/s.sock?db=1",
            "unix://u:p@/s.sock?db=1",
            "redis+socket://u:p@/s.sock?virtual_host=4",
        ),
        ("rediss://h", "rediss://h:6379/0", "rediss://h:6379/3?ssl_cert_reqs=CERT_REQUIRED"),
        (
            "rediss://h/1?ssl_cert_reqs=CERT_NONE",
            "rediss://h:6379/1?ssl_cert_reqs=none",
            "rediss://h:6379/4?ssl_cert_reqs=CERT_NONE",
        ),
    ],
)
def test_the_four_databases_follow_the_number(given: str, first: str, broker: str) -> None:
    settings = read_settings(REDIS_URL=given)
    assert settings["CACHE_URL"] == first
    assert settings["CELERY_BROKER_URL"] == broker


def test_each_role_can_have_a_server_of_its_own() -> None:
    settings = read_settings(REDIS_URL="redis://h/2", BROKER_URL="redis://b", CACHE_URL="unix:///c")
    assert settings["BROKER_URL"] == settings["CELERY_BROKER_URL"] == "redis://b:6379/0"
    assert settings["CACHE_URL"] == "unix:///c?db=0"
    assert settings["LIMITS_URL"] == "redis://h:6379/3"


@pytest.fixture(scope="module")
def valkey() -> Iterator[dict[str, str]]:
    """Addresses of a real Valkey with a password that has all signs."""
    secret = quote(PASSWORD, safe="")
    with tempfile.TemporaryDirectory(prefix="snap ") as folder:
        socket, port = Path(folder) / "v.sock", free_port()
        options = ["--unixsocket", str(socket), "--requirepass", PASSWORD, "--save", ""]
        server = subprocess.Popen(
            [str(valkey_binary()), "--port", str(port), "--dir", folder, *options],
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(socket.exists)
            yield {
                "redis": f"redis://:{secret}@127.0.0.1:{port}/2",
                "user": f"redis://default:{secret}@localhost:{port}",
                "unix": f"unix://:{secret}@{quote(str(socket))}",
            }
        finally:
            server.kill()
            server.wait()


@pytest.mark.parametrize("kind", ["redis", "user", "unix"])
def test_a_password_with_all_signs_reaches_the_server(valkey: dict[str, str], kind: str) -> None:
    address = redis_address("REDIS_URL", valkey[kind])
    number = address.after(3).database
    with Redis.from_url(address.after(3).url, socket_connect_timeout=2) as redis:
        redis.set("kind", kind)
        assert f"db{number}" in redis.info("keyspace")
    with Connection(address.after(3).celery_url) as broker:
        channel: Any = broker.default_channel
        assert channel.client.get("kind") == kind.encode()


# PostgreSQL ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://h/n", {"HOST": "h", "NAME": "n", "USER": "", "PASSWORD": "", "PORT": ""}),
        ("POSTGRESQL://u:p@h:7/n/", {"HOST": "h", "NAME": "n", "USER": "u", "PORT": "7"}),
        ("postgres://u:%24x%23%2F@h/n", {"PASSWORD": "$x#/"}),
        ("postgres://u:$a@b:c@h/n", {"PASSWORD": "$a@b:c", "HOST": "h"}),
        ("postgres://u:100%@h/n", {"PASSWORD": "100%"}),
        ("postgres://[::1]:7/n", {"HOST": "::1", "PORT": "7"}),
        ("postgres://a:1,b:2/n", {"HOST": "a,b", "PORT": "1,2"}),
        ("postgres://a,b/n", {"HOST": "a,b", "PORT": ""}),
        ("postgres:///n?host=/run/pg", {"HOST": "/run/pg", "NAME": "n", "OPTIONS": {}}),
        ("postgres://%2Frun%2Fpg/n", {"HOST": "/run/pg", "NAME": "n"}),
        ("postgres:////run/pg/n", {"HOST": "/run/pg", "NAME": "n"}),
        ("postgres://h?dbname=n&user=u", {"NAME": "n", "USER": "u", "HOST": "h"}),
        ("postgres:///?service=s", {"NAME": "", "OPTIONS": {"service": "s"}}),
        ("postgres://h/n?sslmode=require", {"OPTIONS": {"sslmode": "require"}}),
        ("postgres://h/a%20b", {"NAME": "a b"}),
    ],
)
def test_the_parts_of_an_address_of_postgresql(url: str, expected: dict[str, object]) -> None:
    settings = database_settings("DATABASE_URL", url)
    assert {part: settings[part] for part in expected} == expected


def test_options_of_the_address_reach_the_connection() -> None:
    url = "postgres://h/n?sslmode=verify-full&options=-c%20search_path%3Dx"
    options = read_settings(DATABASE_URL=url)["DATABASES"]["default"]["OPTIONS"]
    assert options["sslmode"] == "verify-full"
    assert options["options"].startswith("-c statement_timeout=5000 ")
    assert options["options"].endswith(" -c search_path=x")


def test_a_role_with_all_signs_signs_in() -> None:
    server = own_postgresql()
    with psycopg.connect(server.url, autocommit=True) as admin:
        role = sql.Identifier(PASSWORD)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, PASSWORD))
        try:
            signs = quote(PASSWORD, safe="")
            parts = database_settings(
                "DATABASE_URL", f"postgres://{signs}:{signs}@127.0.0.1:{server.port}/snap"
            )
            with psycopg.connect(
                host=parts["HOST"],
                port=parts["PORT"],
                user=parts["USER"],
                password=parts["PASSWORD"],
                dbname=parts["NAME"],
            ) as own:
                assert own.info.user == PASSWORD
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(role))
