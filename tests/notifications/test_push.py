"""Pushes from synchronous code, with a real Valkey that stops, hangs and restarts."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from pytest_django import Settings
from redis import Redis

from notifications.push import push, push_many
from snap.local.embedded import Valkey, free_port
from tests.helpers.stack import wait_for


@pytest.fixture
def valkey(tmp_path: Path, settings: Settings) -> Iterator[Valkey]:
    """A server of the test's own, which it may stop. Pushes go through it."""
    server = Valkey(tmp_path / "valkey")
    server.start()
    push_through(settings, server.url)
    yield server
    server.stop()


@contextmanager
def hanging(server: Valkey) -> Iterator[None]:
    """Stop a server with SIGSTOP: its connections stay open, and no response comes."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def push_through(settings: Settings, url: str) -> None:
    layer = settings.CHANNEL_LAYERS["default"]
    settings.CHANNEL_LAYERS = {"default": {**layer, "CONFIG": {"hosts": [url], "prefix": "snap"}}}


def subscribe(
    url: str, group: str, work: Callable[[], None], expected: int
) -> list[dict[str, Any]]:
    """Do the work while a subscriber to the group listens, and return what it received."""

    async def listen() -> list[dict[str, Any]]:
        layer = RedisPubSubChannelLayer(hosts=[url], prefix="snap")
        channel = await layer.new_channel()
        await layer.group_add(group, channel)
        await asyncio.to_thread(work)
        received = [await asyncio.wait_for(layer.receive(channel), 3) for _ in range(expected)]
        await layer.flush()
        return received

    return asyncio.run(listen())


def test_a_subscriber_receives_a_push(valkey: Valkey) -> None:
    message = {"type": "ticket.changed", "data": {"id": "é"}}
    assert subscribe(valkey.url, "ticket.1", lambda: push("ticket.1", message), 1) == [message]


def test_many_pushes_arrive_in_order_at_their_groups_only(valkey: Valkey) -> None:
    pushes = [(f"ticket.{n % 2}", {"type": "ticket.changed", "n": n}) for n in range(100)]
    received = subscribe(valkey.url, "ticket.1", lambda: push_many(pushes), 50)
    assert [message["n"] for message in received] == list(range(1, 100, 2))


def test_a_push_without_waiting_arrives_too(valkey: Valkey) -> None:
    received = subscribe(
        valkey.url, "ticket.1", lambda: push("ticket.1", {"type": "x"}, wait=False), 1
    )
    assert received == [{"type": "x"}]


def test_threads_push_through_one_loop(valkey: Valkey) -> None:
    def work() -> None:
        threads = [
            threading.Thread(target=push, args=("ticket.1", {"type": "x", "n": n}))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(thread.name == "push" for thread in threading.enumerate()) == 1

    received = subscribe(valkey.url, "ticket.1", work, 20)
    assert sorted(message["n"] for message in received) == list(range(20))


def test_a_process_that_only_pushes_subscribes_to_nothing(valkey: Valkey) -> None:
    push("ticket.1", {"type": "x"})
    with Redis.from_url(valkey.url) as redis:
        assert redis.pubsub_channels() == []
        assert all(client["sub"] == "0" for client in redis.client_list())


def test_with_redis_away_a_push_returns_quickly_and_does_not_raise(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    push_through(settings, f"redis://127.0.0.1:{free_port()}")
    started = time.monotonic()
    push("ticket.1", {"type": "x"})
    push_many([("ticket.1", {"type": "x"})] * 50)
    assert time.monotonic() - started < 1.2
    assert caplog.messages == ["push_failed", "push_failed"]


@pytest.mark.slow
def test_with_redis_hanging_a_push_returns_within_its_time_limit(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    push("ticket.1", {"type": "warm"})
    with hanging(valkey):
        started = time.monotonic()
        push("ticket.1", {"type": "x"})
        assert time.monotonic() - started < 0.9
        started = time.monotonic()
        push("ticket.1", {"type": "x"}, wait=False)
        assert time.monotonic() - started < 0.1
        wait_for(lambda: caplog.messages == ["push_failed"] * 2)
    received = subscribe(valkey.url, "ticket.2", lambda: push("ticket.2", {"type": "after"}), 1)
    assert received == [{"type": "after"}]


def test_pushes_that_leave_late_arrive(valkey: Valkey) -> None:
    """The batch goes on after its caller has stopped waiting."""
    pushes = [("ticket.1", {"type": "x", "n": n}) for n in range(50)]

    def push_late() -> None:
        with hanging(valkey):
            push_many(pushes)

    push("ticket.1", {"type": "warm"})
    received = subscribe(valkey.url, "ticket.1", push_late, 50)
    assert [message["n"] for message in received] == list(range(50))


def test_pushes_arrive_again_after_redis_restarted(valkey: Valkey) -> None:
    push("ticket.1", {"type": "before"})
    valkey.stop()
    push("ticket.1", {"type": "lost"})
    valkey.start()
    received = subscribe(valkey.url, "ticket.1", lambda: push("ticket.1", {"type": "after"}), 1)
    assert received == [{"type": "after"}]


def test_a_message_that_cannot_be_packed_does_not_raise(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    push("ticket.1", {"type": object()})
    assert caplog.messages == ["push_failed"]


def test_a_forked_process_pushes_through_a_loop_of_its_own(valkey: Valkey) -> None:
    push("ticket.1", {"type": "parent"})

    def work() -> None:
        child = os.fork()
        if child == 0:
            push("ticket.1", {"type": "child"})
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    assert subscribe(valkey.url, "ticket.1", work, 1) == [{"type": "child"}]
    assert subscribe(valkey.url, "ticket.1", lambda: push("ticket.1", {"type": "parent"}), 1) == [
        {"type": "parent"}
    ]


def test_a_subscriber_receives_pushes_again_after_redis_restarted(valkey: Valkey) -> None:
    async def listen() -> dict[str, Any]:
        layer = RedisPubSubChannelLayer(hosts=[valkey.url], prefix="snap")
        channel = await layer.new_channel()
        await layer.group_add("ticket.1", channel)
        await asyncio.to_thread(valkey.stop)
        await asyncio.to_thread(valkey.start)
        receiving = asyncio.ensure_future(layer.receive(channel))
        for _ in range(50):
            await asyncio.to_thread(push, "ticket.1", {"type": "after"})
            if (await asyncio.wait([receiving], timeout=0.1))[0]:
                break
        received: dict[str, Any] = await asyncio.wait_for(receiving, 1)
        await layer.flush()
        return received

    assert asyncio.run(listen()) == {"type": "after"}
