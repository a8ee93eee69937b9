"""A line for each request, its id, and how that id gets into rows and emails."""

import io
import logging
from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from guests.emergency.entries import Entry
from guests.emergency.importing import import_entry
from guests.models import Guest, GuestRequest
from guests.requests.accepting import request_place
from guests.requests.creating import create_due_guests
from notifications.models import Email
from snap.observability.context import LogContext, begin, context_of, current, following
from snap.observability.ecs import EcsFormatter
from snap.observability.logs import ContextFilter, LineHandler
from snap.observability.request_log import log_line, safe_path
from tests.factories import make_account, make_event, make_request
from tests.helpers.log_lines import read_ecs
from tests.helpers.visitors import PHONE, registered

pytestmark = pytest.mark.django_db

Lines = io.StringIO
CLIENT = LogContext("client-0123456789", "", f"00-{'b' * 32}-{'c' * 16}-01")


@pytest.fixture
def written() -> Iterator[Lines]:
    """What our loggers write in LOG_FORMAT=ecs."""
    stream = Lines()
    handler = LineHandler(stream)
    handler.setFormatter(EcsFormatter())
    handler.addFilter(ContextFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)
    begin()


def lines_of(written: Lines, event: str) -> list[dict[str, object]]:
    lines = [read_ecs(line) for line in written.getvalue().splitlines()]
    return [line for line in lines if line.get("event.action") == event]


def test_a_request_is_one_line_with_its_id(client: Client, written: Lines) -> None:
    event = make_event()
    response = client.get(f"/promo/{event.slug}/?email=ana@example.pt")
    (line,) = lines_of(written, "request")
    assert line["message"] == f"GET /promo/{event.slug}/ 200"
    assert line["http.request.method"] == "GET"
    assert line["http.response.status_code"] == 200
    assert line["url.path"] == f"/promo/{event.slug}/"
    assert line["http.request.id"] == response["X-Request-ID"]
    assert line["snap.route"] == "promo:event"
    duration = line["event.duration"]
    assert isinstance(duration, int)
    assert duration > 0
    assert current() == LogContext()


def test_requests_of_monitoring_and_files_are_not_logged(client: Client, written: Lines) -> None:
    for path in ("/healthz", "/static/css/nothing.css", "/favicon.ico"):
        client.get(path)
    assert lines_of(written, "request") == []


def test_a_refused_request_is_one_line_too(client: Client, written: Lines) -> None:
    client.get("/nothing/")
    assert len(written.getvalue().splitlines()) == 1
    assert lines_of(written, "request")[0]["http.response.status_code"] == 404


def test_paths_have_no_personal_data(client: Client, written: Lines) -> None:
    client.get(f"/nothing/{PHONE}/ana@example.pt/961 234 567/")
    client.get("/guest/c1li-pY3-Uidc97lwpZZWfN3/")
    assert PHONE[4:] not in written.getvalue()
    assert "example.pt" not in written.getvalue()
    assert "c1li" not in written.getvalue()


@pytest.mark.parametrize("given", ["4bf92f3577b34da6a3ce929d0e0e4736", "7F000001:8296_790E-0003"])
def test_a_proxy_names_the_request(client: Client, settings: Settings, given: str) -> None:
    settings.TRUSTED_PROXIES = 1
    assert client.get("/promo/", headers={"x-request-id": given})["X-Request-ID"] == given


WRONG_IDS = (
    "short",
    "x" * 65,
    "with space 0123",
    "a\tb3456789",
    "ana@example.pt",
    "912345678",
    "912-345-678",
    "00351912345678",
    "912:345:678",
    "tel.912345678",
    "a,b0123456",
    "c1li-pY3-Uidc97lwpZZWfN3",
    '"quoted-id"',
    "\xe9" * 9,
)


@pytest.mark.parametrize("given", WRONG_IDS)
def test_ids_that_are_none_are_replaced(client: Client, settings: Settings, given: str) -> None:
    settings.TRUSTED_PROXIES = 1
    response = client.get("/promo/", headers={"x-request-id": given})
    assert response["X-Request-ID"] != given
    assert len(response["X-Request-ID"]) == 32


def test_a_client_without_a_proxy_names_no_request(client: Client) -> None:
    given = "4bf92f3577b34da6a3ce929d0e0e4736"
    assert client.get("/promo/", headers={"x-request-id": given})["X-Request-ID"] != given


def test_requests_have_different_ids(client: Client) -> None:
    assert client.get("/promo/")["X-Request-ID"] != client.get("/promo/")["X-Request-ID"]


def test_all_lines_of_a_registration_have_its_id_and_ticket(written: Lines) -> None:
    registered(make_event())
    stored = GuestRequest.objects.get()
    (registration,) = lines_of(written, "account_registered")
    (accepted,) = lines_of(written, "guest_request_accepted")
    assert registration["http.request.id"] == accepted["http.request.id"] == stored.request_id
    assert accepted["snap.ticket_id"] == str(stored.ticket_id)
    requests = lines_of(written, "request")
    of_registration = [each for each in requests if each["http.request.id"] == stored.request_id]
    assert [each["snap.ticket_id"] for each in of_registration] == [str(stored.ticket_id)]
    assert Email.objects.get(kind="welcome").request_id == stored.request_id


@pytest.mark.django_db(transaction=True)
def test_a_batch_has_the_ids_of_each_request(written: Lines) -> None:
    event = make_event(capacity=1)
    for number in range(3):
        with following(LogContext(f"request-{number}", "", CLIENT.traceparent)):
            request_place(event, make_account())
    create_due_guests()
    lines = lines_of(written, "guest_request_ended")
    stored = list(GuestRequest.objects.order_by("pk"))
    assert [line["http.request.id"] for line in lines] == [each.request_id for each in stored]
    assert [line["snap.ticket_id"] for line in lines] == [str(each.ticket_id) for each in stored]
    assert {line["trace.id"] for line in lines} == {"b" * 32}
    for request in stored:
        guest = Guest.objects.get(account=request.account)
        (email,) = Email.objects.filter(cause__startswith=f"guest:{guest.pk}/")
        assert context_of(email) == context_of(request)


def test_a_journal_entry_keeps_the_id_of_its_request() -> None:
    account = make_account()
    entry = Entry(make_event().pk, "festa", account.phone or "", request_id="r" * 32)
    read = Entry.from_json(entry.to_json())
    with following(context_of(read)):
        import_entry(read)
    stored = GuestRequest.objects.get()
    assert stored.request_id == "r" * 32
    assert str(stored.ticket_id) == entry.ticket_id


def test_an_entry_of_the_previous_release_has_no_id() -> None:
    body = '{"event_id": 1, "event_slug": "festa", "phone": "+351961234567", "ticket_id": "x"}'
    assert context_of(Entry.from_json(body)) == LogContext("", "x", "")


def test_a_row_of_the_previous_release_has_no_id() -> None:
    with following(CLIENT):
        request = make_request()
    assert request.request_id == CLIENT.request_id
    GuestRequest.objects.filter(pk=request.pk).update(request_id="", traceparent="")
    with following(CLIENT):
        assert GuestRequest.objects.get().request_id == ""


def test_a_long_path_is_cut_after_it_was_searched(written: Lines) -> None:
    for size in range(170, 201):
        path = f"/{'x' * size}/ana.silva@example.pt/" + "y" * 60_000
        log_line(logging.WARNING, "GET", path, "unknown", 404, 0.0, "")
    for line in lines_of(written, "request"):
        assert "ana" not in str(line["url.path"])
        assert len(str(line["url.path"])) <= 200


def test_long_paths_are_not_kept_in_memory() -> None:
    safe_path.cache_clear()
    for number in range(3):
        log_line(logging.WARNING, "GET", "/" + "x" * 60_000 + str(number), "", 404, 0.0, "")
    assert safe_path.cache_info().currsize == 1
