"""The webhooks of mail providers: what is no signed report changes nothing, and gets a 4xx."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from notifications.models import Email
from notifications.webhooks import webhook_paths
from snap.environment.emails import SIGNED_WITH
from snap.environment.errors import SettingError
from tests.helpers.mail_reports import (
    PROVIDERS,
    SECRET,
    SIGNERS,
    Happened,
    Reporter,
    body_of,
    happened,
    reporting,
)
from tests.helpers.outages import open_breaker, start_database, stop_database
from tests.helpers.stack import Stack, http

ID = "<provider-id-1@mail.example>"
FAR_AWAY = 10**30


@pytest.fixture(params=PROVIDERS)
def reporter(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Reporter]:
    with reporting(settings, request.param) as reporter:
        yield reporter


@pytest.fixture
def email(db: None, reporter: Reporter) -> Email:
    return make_email(reporter.provider)


def make_email(provider: str, **fields: Any) -> Email:
    given = {"kind": "welcome", "cause": "account:1", "to": "rita@example.com", "language": "pt"}
    given |= {"state": "sent", "provider": provider, "provider_id": ID}
    return Email.objects.create(**given | fields)


def state_of(email: Email) -> str:
    email.refresh_from_db()
    return email.state


def test_reports_move_an_email_forward_and_replayed_ones_never_back(
    reporter: Reporter, email: Email, settings: Settings
) -> None:
    settings.EMAIL_OPEN_TRACKING = True
    for what, state in [("accepted", "sent"), ("deferred", "sent"), ("delivered", "delivered")]:
        assert reporter.report(happened(what, email)) == 200
        assert state_of(email) == state
    signed = reporter.sign(body_of(reporter.provider, happened("delivered", email)))
    for what in ("opened", "complained"):
        assert reporter.report(happened(what, email)) == 200
        assert state_of(email) == what
    assert reporter.send(*signed) == 200
    assert state_of(email) == "complained"


def test_a_bounce_says_why(reporter: Reporter, email: Email) -> None:
    assert reporter.report(happened("bounced", email)) == 200
    assert state_of(email) == "bounced"
    assert email.error == "bounced 5.1.1 invalid"
    assert email.bounced_at is not None


def test_a_report_finds_the_row_by_its_reference_alone(reporter: Reporter, db: None) -> None:
    lost = make_email(
        "", state="queued", provider_id="", unsure_provider=reporter.provider, attempts=1
    )
    assert reporter.report(happened("accepted", lost, provider_id="<of-this-sending>")) == 200
    assert state_of(lost) == "sent"
    assert (lost.provider, lost.provider_id) == (reporter.provider, "<of-this-sending>")


@pytest.mark.parametrize("secret", ["", "snap:guessed", ":", "snap:", SECRET + " ", SECRET[:-1]])
def test_without_the_secret_nothing_is_read(reporter: Reporter, email: Email, secret: str) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert (
            reporter.post(body_of(reporter.provider, happened("bounced", email)), secret=secret)
            == 400
        )
    assert len(captured) == 0
    assert state_of(email) == "sent"


def test_the_secret_alone_is_not_enough(reporter: Reporter, email: Email) -> None:
    body = body_of(reporter.provider, happened("bounced", email))
    assert reporter.post(body, is_forged=True) == 400
    assert reporter.send(json.dumps(body).encode(), {}) == 400
    assert state_of(email) == "sent"


def test_a_signature_is_of_this_body(reporter: Reporter, email: Email) -> None:
    """Mailgun signs a time and a token only; its key is in no report."""
    raw, headers = reporter.sign(body_of(reporter.provider, happened("delivered", email)))
    changed = raw.replace(b"rita@", b"rita2@")
    status = reporter.send(changed, headers)
    assert status == (200 if reporter.provider == "mailgun" else 400)


@pytest.mark.parametrize("age", [2 * 24 * 60 * 60, -3600, FAR_AWAY])
def test_a_signature_does_not_last(reporter: Reporter, email: Email, age: float) -> None:
    body = body_of(reporter.provider, happened("bounced", email))
    assert reporter.post(body, age=age) == 400
    assert state_of(email) == "sent"


def test_a_report_that_is_repeated_after_an_outage_is_believed(
    reporter: Reporter, email: Email
) -> None:
    """Resend signs each attempt anew."""
    hours = {"resend": 0.05, "mailgun": 8, "sendgrid": 24}[reporter.provider]
    body = body_of(reporter.provider, happened("delivered", email))
    assert reporter.post(body, age=hours * 3600) == 200
    assert state_of(email) == "delivered"


ODD_VALUES: list[Any] = [None, True, 0, -1, 1e400, "", "x", "\0", "\ud800", [], [[]], {}, {"a": []}]
MALFORMED = [
    b"",
    b"{",
    b"null",
    b"\xff\xfe",
    b'"text"',
    b"12",
    b"NaN",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"type": 1, "data": 2, "event-data": 3}',
    b"--boundary\r\nContent-Disposition: form-data\r\n",
]


@pytest.mark.parametrize("raw", MALFORMED, ids=range(len(MALFORMED)))
def test_a_body_that_is_no_report_is_refused(reporter: Reporter, email: Email, raw: bytes) -> None:
    # Django's client sends no content type with an empty body.
    assert reporter.post(raw) == (400 if raw else 415)
    assert state_of(email) == "sent"


def test_no_odd_value_in_a_report_is_an_error(reporter: Reporter, email: Email) -> None:
    """Each value of each field is replaced, one after the other."""
    bounce = body_of(reporter.provider, happened("bounced", email))
    for changed in odd_bodies(bounce):
        assert reporter.post(changed) in {200, 400}
    assert Email.objects.get(pk=email.pk).state in {"sent", "bounced"}


def odd_bodies(body: Any) -> Iterator[Any]:
    """Return the body with an odd value in the place of each of its values in turn."""
    yield from ODD_VALUES
    if isinstance(body, dict):
        for name, value in body.items():
            yield {key: each for key, each in body.items() if key != name}
            for odd in odd_bodies(value):
                yield body | {name: odd}
    elif isinstance(body, list):
        yield body * 2
        for index, value in enumerate(body):
            for odd in odd_bodies(value):
                yield [*body[:index], odd, *body[index + 1 :]]


def test_an_event_that_is_unknown_is_ignored(reporter: Reporter, email: Email) -> None:
    """Providers add kinds of events, and report on emails of other senders of the account."""
    text = json.dumps(body_of(reporter.provider, happened("delivered", email)))
    unknown = json.loads(text.replace("delivered", "renamed"))
    assert reporter.post(unknown) == 200
    for provider_id in ("", "of-nobody", "x" * 10_000, "'; --", "\u0000"):
        assert reporter.report(Happened("bounced", provider_id=provider_id)) == 200
    assert state_of(email) == "sent"


def test_only_json_is_posted(reporter: Reporter, email: Email) -> None:
    raw, headers = reporter.sign(body_of(reporter.provider, happened("bounced", email)))
    forms = ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain")
    for content_type in (*forms, "application/json; charset=latin-1", ""):
        assert reporter.send(raw, headers, content_type=content_type) == 415
    for method in ("get", "put", "patch", "delete"):
        assert getattr(reporter.client, method)(reporter.path).status_code == 405
    assert state_of(email) == "sent"


def test_a_large_report_is_read_and_a_huge_one_is_not(
    settings: Settings, reporter: Reporter, email: Email
) -> None:
    body = body_of(reporter.provider, happened("delivered", email))
    padding = {"padding": "x" * settings.REPORT_MAX_SIZE}
    huge = [*body, padding] if isinstance(body, list) else body | padding
    assert reporter.post(huge) == 413
    assert state_of(email) == "sent"
    padding = {"padding": "x" * 800_000}
    large = [*body, padding] if isinstance(body, list) else body | padding
    assert reporter.post(large) == 200
    assert state_of(email) == "delivered"


def test_thousands_of_events_come_in_one_report(settings: Settings, db: None) -> None:
    number = 2000
    emails = []
    for index in range(number):
        fields = {"cause": f"account:{index}", "provider_id": f"id-{index}"}
        emails.append(
            Email(
                kind="welcome",
                to="rita@example.com",
                state="sent",
                language="pt",
                provider="sendgrid",
                **fields,
            )
        )
    Email.objects.bulk_create(emails)
    events = [Happened("delivered", provider_id=f"id-{index}") for index in range(number)]
    body = [{}, None, *body_of("sendgrid", *events), "no event"]
    with (
        reporting(settings, "sendgrid") as sendgrid,
        CaptureQueriesContext(connection) as captured,
    ):
        assert sendgrid.post(body) == 200
    assert len(captured) < 50
    assert Email.objects.filter(state="delivered").count() == number


def test_the_fallback_reports_too(settings: Settings, db: None) -> None:
    email = make_email("mailgun")
    with reporting(settings, "resend", fallback="mailgun") as resend:
        mailgun = Reporter("mailgun", resend.client)
        assert mailgun.report(happened("delivered", email)) == 200
    assert state_of(email) == "delivered"


def test_a_provider_that_was_replaced_reports_while_it_has_its_key(
    settings: Settings, db: None
) -> None:
    """Its last emails arrive or come back later, and some of its responses were lost."""
    lost = make_email("", state="queued", provider_id="", unsure_provider="mailgun")
    with reporting(settings, "resend") as resend:
        mailgun = Reporter("mailgun", resend.client)
        assert mailgun.report(happened("delivered", lost, provider_id="<late>")) == 200
    assert state_of(lost) == "delivered"
    with reporting(settings, "resend", without="mailgun") as resend:
        assert Reporter("mailgun", resend.client).post({}) == 404


def test_without_a_secret_there_is_no_webhook(settings: Settings) -> None:
    settings.EMAIL_PROVIDER, settings.MAIL_WEBHOOK_SECRET = "resend", ""
    assert webhook_paths() == []


@pytest.mark.parametrize("wrong", ["whsec_", "whsec_?", "a key", "whsec_" + "é" * 30, "AAAA"])
@pytest.mark.parametrize("provider", ["resend", "sendgrid"])
def test_a_key_that_cannot_be_one_stops_the_start(
    settings: Settings, provider: str, wrong: str
) -> None:
    settings.EMAIL_PROVIDER, settings.MAIL_WEBHOOK_SECRET = provider, SECRET
    settings.ANYMAIL = settings.ANYMAIL | {SIGNED_WITH[provider]: wrong}
    with pytest.raises((SettingError, ImproperlyConfigured), match=SIGNED_WITH[provider]):
        webhook_paths()


@pytest.mark.django_db(transaction=True)
def test_a_report_that_finds_no_database_comes_again(settings: Settings) -> None:
    email = make_email("resend")
    with reporting(settings, "resend") as resend:
        stop_database()
        try:
            assert resend.report(happened("delivered", email)) == 503
        finally:
            start_database()
        assert resend.report(happened("delivered", email)) == 200
    assert state_of(email) == "delivered"


def test_an_open_breaker_is_a_503_at_once(reporter: Reporter, email: Email) -> None:
    with open_breaker(), CaptureQueriesContext(connection) as captured:
        assert reporter.report(happened("delivered", email)) == 503
    assert len(captured) == 0


@pytest.mark.processes
def test_the_real_process_takes_a_signed_report(stack: Stack) -> None:
    email = make_email("resend")
    given = {
        "EMAIL_PROVIDER": "resend",
        "RESEND_API_KEY": "key-for-tests",
        "DEFAULT_FROM_EMAIL": "SNAP <no-reply@example.com>",
        "MAIL_WEBHOOK_SECRET": SECRET,
        "RESEND_SIGNING_SECRET": SIGNERS["RESEND_SIGNING_SECRET"],
    }
    with stack.another_web(**given) as web:
        resend = Reporter("resend", None)
        raw, headers = resend.sign(body_of("resend", happened("delivered", email)))
        auth = tuple(SECRET.split(":"))
        headers["Content-Type"] = "application/json"
        url = f"{web}{resend.path}"
        assert (
            http.post(url, content=raw, headers=headers, auth=("snap", "guessed")).status_code
            == 400
        )
        assert state_of(email) == "sent"
        assert (
            http.post(url, content=raw, headers=headers, auth=(auth[0], auth[1])).status_code == 200
        )
    assert state_of(email) == "delivered"
    assert http.post(f"{stack.url}/webhooks/mail/resend/", json={}).status_code == 404
