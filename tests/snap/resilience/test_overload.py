"""Slots of a web process: a request without one in time gets a 503 and takes no slot."""

import logging
import threading
from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from snap.resilience.overload import OVERLOADED, BufferedBody, PriorityLimiter
from tests.helpers.stack import wait_for


def environ(**more: Any) -> dict[str, Any]:
    return {"CONTENT_LENGTH": "0", "PATH_INFO": "/", "wsgi.input": BytesIO(), **more}


def test_a_request_without_a_slot_in_time_is_marked_as_overloaded_and_the_next_gets_one() -> None:
    """The protection is the patience. Without it the second request would wait for the first."""
    is_in, may_go = threading.Event(), threading.Event()
    seen: list[bool] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(OVERLOADED in environ)
        if not is_in.is_set():
            is_in.set()
            may_go.wait(10)
        return []

    server = BufferedBody(application, turns=1, patience=0.05)
    first = threading.Thread(target=server, args=(environ(), None))
    first.start()
    is_in.wait(10)
    server(environ(), None)
    may_go.set()
    first.join()
    server(environ(), None)
    assert seen == [False, True, False]


def test_a_visitor_with_a_session_is_served_before_an_earlier_new_visitor() -> None:
    """A single queue would serve the new visitor first."""
    may_go = threading.Event()
    served: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        served.append(environ["PATH_INFO"])
        may_go.wait(10)
        return []

    server = BufferedBody(application, turns=1, patience=10)
    cookies = "csrf=x; session=y"
    environs = [
        environ(PATH_INFO="first"),
        environ(PATH_INFO="new visitor"),
        environ(PATH_INFO="with a session", HTTP_COOKIE=cookies),
    ]
    threads = [threading.Thread(target=server, args=(each, None)) for each in environs]
    for number, thread in enumerate(threads):
        thread.start()
        wait_for(lambda: len(served) == 1)
        wait_for(lambda expected=number: server._limiter.waiting() == expected)  # type: ignore[misc]
    may_go.set()
    for thread in threads:
        thread.join()
    assert served == ["first", "with a session", "new visitor"]


def test_no_slot_is_lost_when_requests_give_up_and_others_get_slots() -> None:
    limiter = PriorityLimiter(2)

    def come(number: int) -> None:
        for _ in range(200):
            if limiter.acquire(has_session=number % 2 == 0, timeout=0.0005):
                limiter.release()

    threads = [threading.Thread(target=come, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (limiter._free, limiter.waiting()) == (2, 0)


def test_without_a_slot_a_page_is_a_503_with_retry_after(client: Client) -> None:
    english = {"accept-language": "en"}
    response = client.get("/promo/", headers=english, **{OVERLOADED: True})  # type: ignore[arg-type]
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert "Try again" in response.content.decode()


def test_without_a_slot_a_call_of_the_api_is_a_503_in_json(client: Client) -> None:
    url = "/api/client-auth/guests/create-async"
    response = client.post(url, **{OVERLOADED: True})  # type: ignore[arg-type]
    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"


def test_a_header_cannot_mark_a_request_as_overloaded(client: Client) -> None:
    assert client.get("/healthz", headers={OVERLOADED: "1"}).status_code == 200


def test_a_body_whose_client_disconnects_is_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    statuses = []
    reached = BufferedBody(lambda *_given: [b"reached"], turns=1, patience=1)
    body = reached(
        environ(CONTENT_LENGTH="10") | {"wsgi.input": BytesIO(b"short")},
        lambda status, _headers: statuses.append(status),
    )
    assert (body, statuses) == ([], ["400 Bad Request"])
    assert caplog.messages == ["request_incomplete"]
