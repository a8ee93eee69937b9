"""Turns: a request that gets none in time is told to come again, and takes nobody's place."""

import threading
from io import BytesIO
from typing import Any

from django.test import Client

from snap.bodies import NO_TURN, BodiesFirst


def environ() -> dict[str, Any]:
    return {"CONTENT_LENGTH": "0", "PATH_INFO": "/", "wsgi.input": BytesIO()}


def test_who_gets_no_turn_in_time_goes_on_marked_and_the_next_gets_one() -> None:
    """The protection is the patience: without it the second one would wait for the first."""
    is_in, may_go = threading.Event(), threading.Event()
    seen: list[bool] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(NO_TURN in environ)
        if not is_in.is_set():
            is_in.set()
            may_go.wait(10)
        return []

    server = BodiesFirst(application, turns=1, patience=0.05)
    first = threading.Thread(target=server, args=(environ(), None))
    first.start()
    is_in.wait(10)
    server(environ(), None)
    may_go.set()
    first.join()
    server(environ(), None)
    assert seen == [False, True, False]


def test_without_a_turn_a_page_is_a_503_that_asks_to_come_again(client: Client) -> None:
    english = {"accept-language": "en"}
    answer = client.get("/promo/", headers=english, **{NO_TURN: True})  # type: ignore[arg-type]
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "Try again" in answer.content.decode()


def test_without_a_turn_a_call_is_a_503_in_the_apis_shape(client: Client) -> None:
    url = "/api/client-auth/guests/create-async"
    answer = client.post(url, **{NO_TURN: True})  # type: ignore[arg-type]
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"


def test_nobody_can_say_so_of_others(client: Client) -> None:
    assert client.get("/healthz", headers={NO_TURN: "1"}).status_code == 200
