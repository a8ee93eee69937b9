"""Wake-ups: few messages for many rows, from all processes together."""

import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import transaction
from redis import Redis

from snap.resilience.wakeup import WakeUp
from tests.helpers.own_servers import own_valkey, valkey_without_writes
from tests.helpers.stack import wait_for

INTERVAL = 0.2
# No worker has this task, so its messages stay in the default queue.
TASK = "tests.unknown_task"


@pytest.fixture
def broker() -> Iterator[Redis]:
    with Redis.from_url(settings.BROKER_URL) as broker:
        yield broker


def messages(broker: Redis) -> int:
    return int(broker.llen(settings.CELERY_TASK_DEFAULT_QUEUE))


def test_the_first_call_sends_a_message_at_once(broker: Redis) -> None:
    began = time.monotonic()
    WakeUp(TASK, interval=30)()
    wait_for(lambda: messages(broker) == 1)
    assert time.monotonic() - began < 5


def test_two_processes_that_call_continuously_share_their_messages(broker: Redis) -> None:
    both = [WakeUp(TASK, interval=INTERVAL) for _ in range(2)]
    began, calls = time.monotonic(), 0
    while time.monotonic() < began + 2:
        both[calls % 2]()
        calls += 1
        time.sleep(0.01)
    assert calls > 20
    sent = messages(broker)
    assert 2 <= sent <= (time.monotonic() - began) / INTERVAL + 2


def test_each_process_sends_a_message_after_its_own_call(broker: Redis) -> None:
    first, second = (WakeUp(TASK, interval=INTERVAL) for _ in range(2))
    first()
    wait_for(lambda: messages(broker) == 1)
    second()
    wait_for(lambda: messages(broker) == 2)


def test_after_a_failure_of_the_broker_the_next_call_sends_at_once(broker: Redis) -> None:
    valkey = own_valkey()
    failed = WakeUp(TASK, interval=INTERVAL)
    valkey.stop("immediate")
    failed()
    wait_for(failed.is_failing)
    valkey.start()
    WakeUp(TASK, interval=30)()
    wait_for(lambda: messages(broker) >= 1)
    failed()
    wait_for(lambda: not failed.is_failing())


def test_a_broker_that_takes_no_writes_ends_no_thread(broker: Redis) -> None:
    failed = WakeUp(TASK, interval=INTERVAL)
    with valkey_without_writes():
        failed()
        wait_for(failed.is_failing)
    wait_for(lambda: not failed.is_failing())
    wait_for(lambda: messages(broker) >= 1)


def test_the_wake_up_is_sent_without_another_call_when_the_broker_is_back(broker: Redis) -> None:
    valkey = own_valkey()
    failed = WakeUp(TASK, interval=INTERVAL)
    valkey.stop("immediate")
    failed()
    wait_for(failed.is_failing)
    valkey.start()
    wait_for(lambda: not failed.is_failing())
    wait_for(lambda: messages(broker) >= 1)


class FailingWakeUp(WakeUp):
    def __call__(self) -> None:
        raise RuntimeError("no thread can start")


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_that_fails_after_a_commit_skips_no_later_hook() -> None:
    ran = []
    with transaction.atomic():
        transaction.on_commit(FailingWakeUp(TASK, interval=30), robust=True)
        transaction.on_commit(lambda: ran.append("later"), robust=True)
    assert ran == ["later"]
