"""The attackers of the bench go the real steps, and the table has what they measured."""

import asyncio
from typing import Any

import pytest

from guests.models import Event, Guest
from tests.bench import attacks
from tests.bench.attack_table import END, ROWS, START, with_table
from tests.bench.attacks import CARRIER
from tests.bench.callers import Caller, forms_of
from tests.factories import make_account, make_event
from tests.helpers.stack import Stack, wait_for


def test_forms_are_read_with_all_their_hidden_fields() -> None:
    page = b"""
    <form action="/promo/x/-/register/?s=k"><input type="hidden" name="step" value="a&amp;b">
    <input name="email"></form><input type="hidden" name="outside" value="1">
    <form method="post" action="/challenge/" data-challenge="/challenge/new?for=phone"></form>
    """
    register, challenge = forms_of(page)
    assert (register.step, register.hidden) == ("register", {"step": "a&b"})
    assert challenge.challenge == "/challenge/new?for=phone"


def test_the_table_between_its_marks_is_replaced() -> None:
    run: dict[str, Any] = {"commit": "abc", "figures": {"pump/emails": 475.2}}
    kept = {"before": run, "now": run | {"figures": {"pump/emails": 60.0}}}
    text = f"before\n{START}\nold\n{END}\nafter\n"
    written = with_table(text, kept)
    assert "| Emails to one victim, caused by registrations | 475 | 60 |" in written
    assert "\nold\n" not in written
    assert written.count("\n| ") == len(ROWS) + 1
    assert with_table(written, kept) == written
    with pytest.raises(ValueError, match="no place"):
        with_table("nothing", kept)


@pytest.mark.slow
@pytest.mark.processes
def test_callers_go_all_steps_and_solve_challenges(stack: Stack) -> None:
    event, known = make_event(), make_account()
    given = {"LIMIT_IP": "2", "LIMIT_PHONE": "5", "LIMIT_BLOCK": "60", "CHALLENGE_COST": "50"}
    given |= {"TRUSTED_PROXIES": "1", "METRICS_TOKEN": "needed behind a proxy"}
    with stack.another_web(**given) as url:
        is_learned = asyncio.run(_learns(url, event, known.phone or ""))
        caller = asyncio.run(_registers(url, event))
    assert is_learned
    assert caller.solved >= 1
    wait_for(Guest.objects.filter(phone="+351961234567").exists, 30)


async def _learns(url: str, event: Event, phone: str) -> bool:
    caller = Caller(url, event, "192.0.2.1")
    try:
        return await attacks._learns_account(caller, phone)
    finally:
        caller.close()


async def _registers(url: str, event: Event) -> Caller:
    caller = Caller(url, event, CARRIER)
    person = {"first_name": "Ana", "last_name": "Exemplo", "email": "ana@example.com"}
    try:
        assert await attacks._register(caller, "961234567", person) is not None
    finally:
        caller.close()
    return caller
