"""Challenges: how browsers and scripts solve them, and how a form is sent again afterwards."""

import json
import re
from base64 import b64encode
from typing import Any

from altcha import Challenge, Payload, solve_challenge
from django.test import Client

from tests.helpers.visitors import Response, html_of


def solution_of(challenge: dict[str, Any]) -> str:
    """Return the solution that the widget would send."""
    posed = Challenge.from_dict(challenge)
    solved = solve_challenge(posed)
    assert solved is not None
    return b64encode(json.dumps(Payload(posed, solved).to_dict()).encode()).decode()


def challenge_for(browser: Client, purpose: str = "address") -> dict[str, Any]:
    posed: dict[str, Any] = browser.get(f"/challenge/new?for={purpose}").json()
    return posed


def solve(browser: Client, purpose: str = "address", back: str = "/promo/") -> Response:
    """Solve a challenge without its page, and return the redirect to `back`."""
    solution = solution_of(challenge_for(browser, purpose))
    return browser.post("/challenge/", {"altcha": solution, "for": purpose, "next": back})


# Challenges on a page -----------------------------------------------------------------------------


def hidden_in(response: Response, action: str = "/challenge/") -> dict[str, str]:
    """Return the hidden fields of the form with this action."""
    found = re.search(rf'<form [^>]*action="{action}".*?</form>', html_of(response), re.DOTALL)
    assert found, html_of(response)[:2000]
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[0]))


def has_challenge(response: Response) -> bool:
    return 'data-challenge="' in html_of(response)


def solve_shown(browser: Client, refused: Response, **changed: str) -> Response:
    """Solve the challenge on a page and send its form, with some fields changed."""
    form = hidden_in(refused) | changed
    return browser.post(
        "/challenge/", form | {"altcha": solution_of(challenge_for(browser, form["for"]))}
    )


def follow(browser: Client, response: Response, form: dict[str, str]) -> Response:
    """Send a form again to the address of a 307, as browsers do."""
    assert response.status_code == 307, (response.status_code, response.content[:500])
    return browser.post(response["Location"], form)


def solve_and_follow(browser: Client, refused: Response) -> Response:
    """Solve the challenge on a page, and return the response to the form that met the limit."""
    form = hidden_in(refused)
    return follow(browser, solve_shown(browser, refused), form)
