"""Sign-in codes as owners and strangers ask for them."""

import re
from datetime import timedelta

from django.db.models import F

from accounts.models import LoginCode
from tests.factories import make_event
from tests.helpers.visitors import Response, Visitor, html_of


def strangers_ask(times: int) -> None:
    """Ask for codes for PHONE, each time from a new browser at another address."""
    event = make_event()
    for number in range(times):
        stranger = Visitor(event)
        stranger.browser.defaults["REMOTE_ADDR"] = f"198.51.100.{number + 1}"
        stranger.give_phone()


def sign_out(visitor: Visitor) -> None:
    """Sign out, and keep the id by which the server knows the browser."""
    browser_id = visitor.browser.session["browser"]
    visitor.browser.post("/sign-out/")
    session = visitor.browser.session
    session["browser"] = browser_id
    session.save()
    visitor.browser.cookies["session"] = session.session_key or ""


def seconds_shown(response: Response) -> int:
    """Return the seconds until the next attempt, which the page and the header must agree on."""
    found = re.search(r'data-countdown="(\d+)"', html_of(response))
    assert found
    assert found[1] == response["Retry-After"]
    return int(found[1])


def age_codes(seconds: int) -> None:
    LoginCode.objects.update(created_at=F("created_at") - timedelta(seconds=seconds))
