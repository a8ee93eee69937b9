"""What a viewer of the dashboard gets who has seen an earlier version of its board."""

import asyncio
from typing import Any

from guests.staff.boards import Board
from promo.sockets.staff import LiveBoard, Viewers


def board(**parts: str) -> Board:
    return Board(parts, "As of 21:03:05")


def messages_after(*boards: Board, version: int) -> str:
    """Publish boards, and return the message for a viewer who has seen a version."""

    async def publish() -> str:
        live = LiveBoard()
        for each in boards:
            live.publish(each)
        return live.message_after(version)

    return asyncio.run(publish())


def test_a_viewer_gets_the_parts_that_have_changed() -> None:
    message = messages_after(board(a="1", b="1"), board(a="1", b="2"), version=1)
    assert 'data-part="b"' in message
    assert 'data-part="a"' not in message
    assert "data-full" not in message


def test_a_second_without_changes_has_only_its_time() -> None:
    message = messages_after(board(a="1"), board(a="1"), version=1)
    assert "data-part" not in message
    assert 'data-as-of="As of 21:03:05"' in message


def test_a_viewer_who_has_missed_a_version_gets_all_parts() -> None:
    for version in (0, 1):
        message = messages_after(
            board(a="1", b="1"), board(a="2", b="1"), board(a="2", b="1"), version=version
        )
        assert "data-full" in message
        assert 'data-part="a">2<' in message
        assert 'data-part="b">1<' in message


def test_a_board_with_other_parts_is_sent_as_a_whole() -> None:
    message = messages_after(board(a="1"), board(a="1", b="1"), version=1)
    assert "data-full" in message
    assert 'data-part="a"' in message


def test_publishing_wakes_all_who_wait() -> None:
    async def wait() -> int:
        live = LiveBoard()
        waiting = [
            asyncio.create_task(asyncio.wait_for(asyncio.shield(live.changed), 5)) for _ in range(3)
        ]
        await asyncio.sleep(0)
        live.publish(board(a="1"))
        await asyncio.gather(*waiting)
        return live.version

    assert asyncio.run(wait()) == 1


class Viewer:
    """A viewer whose connection takes the end at once, or never."""

    closing: Any = None

    def __init__(self, *, is_stuck: bool) -> None:
        self.is_stuck = is_stuck
        self.is_finished = False

    async def finish(self, code: int) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        self.is_finished = True


def test_a_viewer_who_takes_nothing_delays_the_end_of_no_other() -> None:
    async def end() -> bool:
        stuck, other = Viewer(is_stuck=True), Viewer(is_stuck=False)
        viewers: Any = Viewers()
        viewers._close([stuck, other])
        await asyncio.sleep(0)
        stuck.closing.cancel()
        return other.is_finished

    assert asyncio.run(end())
