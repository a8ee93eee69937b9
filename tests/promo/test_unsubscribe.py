"""The link that stops reminders and messages to lists, for people and for mail programs."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from notifications.models import Email, EmailResend, Suppression
from notifications.suppressions import is_suppressed, suppress
from notifications.unsubscribing import unsubscribe_url
from snap.observability.redaction import hide_secrets
from tests.helpers.pages import LANGUAGES, check_page, in_both_languages
from tests.helpers.visitors import html_of

pytestmark = pytest.mark.django_db

ADDRESS = "ines@example.com"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def email() -> Email:
    return Email.objects.create(kind="reminder", cause="guest:1/1", to=ADDRESS, language="pt-pt")


@pytest.fixture
def phone() -> Client:
    """A browser without cookies that demands a CSRF token as real ones do."""
    return Client(enforce_csrf_checks=True)


def path_of(email: Email) -> str:
    return unsubscribe_url(email).removeprefix(django_settings.PUBLIC_URL)


def history() -> list[str]:
    return list(Suppression.objects.get().changes.order_by("pk").values_list("what", flat=True))


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=BoUnDaRyStRiNg"],
)
def test_a_mail_program_stops_them_with_one_click(
    email: Email, phone: Client, content_type: str
) -> None:
    body = "List-Unsubscribe=One-Click"
    if content_type.startswith("multipart"):
        body = (
            "--BoUnDaRyStRiNg\r\n"
            'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
            "One-Click\r\n--BoUnDaRyStRiNg--\r\n"
        )
    for _ in range(2):
        response = phone.post(path_of(email), body.encode(), content_type=content_type)
        assert response.status_code == 200
        assert is_suppressed(ADDRESS)
    assert history() == ["unsubscribed"]


def test_opening_the_link_changes_nothing(email: Email, phone: Client) -> None:
    for open_link in (phone.get, phone.head, phone.get):
        response = open_link(path_of(email))
        assert response.status_code == 200
    assert not Suppression.objects.exists()


def test_the_page_has_one_button_that_stops_them_and_one_that_undoes_that(
    email: Email, phone: Client
) -> None:
    page = html_of(phone.get(path_of(email)))
    assert re.findall(r'name="answer" value="(\w+)"', page) == ["stop"]
    response = phone.post(path_of(email), {"answer": "stop"})
    assert (response.status_code, response["Location"]) == (303, path_of(email))
    page = html_of(phone.get(path_of(email)))
    assert "i•••@example.com" in page
    assert ADDRESS not in page
    assert re.findall(r'name="answer" value="(\w+)"', page) == ["allow"]
    phone.post(path_of(email), {"answer": "allow"})
    assert not is_suppressed(ADDRESS)
    phone.post(path_of(email), ONE_CLICK)
    assert is_suppressed(ADDRESS)
    assert history() == ["unsubscribed", "lifted", "unsubscribed"]


def test_a_person_who_complained_can_have_them_again(email: Email, phone: Client) -> None:
    suppress(ADDRESS, "complained", email)
    phone.post(path_of(email), {"answer": "allow"})
    assert not is_suppressed(ADDRESS)


@in_both_languages
def test_the_page_is_in_the_language_of_the_email(language: str, phone: Client) -> None:
    email = Email.objects.create(
        kind="reminder", cause="guest:2/1", to=ADDRESS, language=LANGUAGES[language]
    )
    other = {"pt": "en", "en": "pt"}[language]
    for _ in range(2):
        response = phone.get(path_of(email), headers={"accept-language": other})
        check_page(response, language)
        phone.post(path_of(email), ONE_CLICK)


def test_a_person_can_choose_another_language_on_the_page(email: Email, phone: Client) -> None:
    phone.cookies[django_settings.LANGUAGE_COOKIE_NAME] = "en"
    check_page(phone.get(path_of(email)), "en")


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: "9" + token,
        lambda token: token.replace(".", ".0", 1),
        lambda token: token.partition("~")[0],
        lambda token: token.swapcase(),
        lambda token: "~" + token,
        lambda token: "x.y~z",
        lambda token: "é" * 400,
        lambda token: "1" * 400,
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_forged_link_is_refused_without_a_query(
    change: Callable[[str], str],
    method: str,
    email: Email,
    phone: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    token = path_of(email).split("/")[-2]
    path = path_of(email).replace(token, change(token))
    with django_assert_num_queries(0):
        response = getattr(phone, method)(path)
    assert response.status_code == 400
    assert "<h1>" in html_of(response)
    assert not Suppression.objects.exists()


def test_links_of_many_people_come_from_one_address(settings: Settings, phone: Client) -> None:
    settings.LIMIT_IP = settings.LIMIT_PROMO_PAGES = 3
    statuses = set()
    for number in range(12):
        email = Email.objects.create(
            kind="reminder",
            cause=f"guest:{number}/1",
            to=f"p{number}@example.com",
            language="pt-pt",
        )
        phone.post("/from-email/unsubscribe/wrong/", ONE_CLICK)
        statuses.add(phone.post(path_of(email), ONE_CLICK).status_code)
    assert statuses == {200}
    assert Suppression.objects.count() == 12


def test_a_link_stands_for_the_mailbox_that_received_it(email: Email, phone: Client) -> None:
    """Staff have sent the email again, to the address that its person has now."""
    old_path = path_of(email)
    EmailResend.objects.create(
        email=email, actor="account:1", to="new@example.com", recipient="", from_to=ADDRESS
    )
    Email.objects.update(to="new@example.com")
    email.refresh_from_db()
    phone.post(old_path, ONE_CLICK)
    assert (is_suppressed(ADDRESS), is_suppressed("new@example.com")) == (True, False)
    phone.post(path_of(email), ONE_CLICK)
    assert is_suppressed("new@example.com")


def test_links_stay_valid_when_the_secret_key_changes(
    email: Email, phone: Client, settings: Settings
) -> None:
    path = path_of(email)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret key for tests"
    assert path_of(email) != path
    assert phone.post(path, ONE_CLICK).status_code == 200
    assert is_suppressed(ADDRESS)
    settings.SECRET_KEY_FALLBACKS = []
    assert phone.get(path).status_code == 400


def test_an_email_that_is_no_longer_there_has_no_page(email: Email, phone: Client) -> None:
    path = path_of(email)
    email.delete()
    assert phone.post(path, ONE_CLICK).status_code == 400


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options"])
def test_other_methods_are_refused(email: Email, phone: Client, method: str) -> None:
    assert getattr(phone, method)(path_of(email)).status_code == 405
    assert not Suppression.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", [ONE_CLICK, {"answer": "stop"}])
def test_an_outage_of_the_database_asks_to_come_back(
    email: Email, phone: Client, body: dict[str, str]
) -> None:
    """A mail program reads Retry-After; the page keeps the form and sends it again."""
    path = path_of(email)

    def fail(*_arguments: object) -> None:
        raise OperationalError

    with connection.execute_wrapper(fail):
        response = phone.post(path, body)
    assert response.status_code == 503
    assert response["Retry-After"]
    (name, value), *_ = body.items()
    assert f'name="{name}" value="{value}"' in html_of(response)
    assert phone.post(path, body).status_code in {200, 303}
    assert is_suppressed(ADDRESS)


def test_no_log_has_the_link(email: Email) -> None:
    token = path_of(email).split("/")[-2]
    for line in (f"POST {path_of(email)} 200", f"?next={path_of(email).replace('/', '%2F')}"):
        hidden = hide_secrets(line)
        assert token not in hidden
