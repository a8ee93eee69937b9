"""Personal data of a guest are in no log, address, metric or message of the broker."""

import re
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest
from redis import Redis

from accounts.models import User
from guests.models import Guest
from notifications.models import Email
from tests.factories import make_event
from tests.helpers import servers
from tests.helpers.stack import Stack, wait_for

pytestmark = pytest.mark.processes

PHONE, NAME, SURNAME, EMAIL = (
    "+351961987654",
    "Hermengarda",
    "Exemplificada",
    "hermengarda@example.com",
)
PROCESSES = ["web", "ws", "worker", "emails", "sweeper"]
LAST_WORD = "no-more-to-be-heard"
HIDDEN = re.compile(r'name="(csrfmiddlewaretoken|step)" value="([^"]+)"')
BODY = re.compile(r'body\\*": \\*"([\w+/=]+)')


def forms_of(text: str) -> set[str]:
    return {text, quote(text), quote(text, safe=""), text.lower()}


FORBIDDEN = {
    form
    for text in (PHONE, PHONE[4:], "961 987 654", NAME, SURNAME, EMAIL)
    for form in forms_of(text)
}


def found_in(text: str) -> list[str]:
    return [secret for secret in FORBIDDEN if secret in text]


class Browser:
    """A browser that records every address it opens or is redirected to."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.addresses: list[str] = []

    def get(self, path: str) -> httpx.Response:
        return self._kept(self.client.get(path))

    def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the hidden fields of the step that a response led to last."""
        steps = [each for each in self.addresses if "?s=" in each]
        pages = [self.get(each).text for each in ("/promo/", *steps[-1:])]
        hidden = dict(HIDDEN.findall("".join(pages)))
        return self._kept(self.client.post(path, data=hidden | fields))

    def _kept(self, response: httpx.Response) -> httpx.Response:
        self.addresses += [str(response.url), response.headers.get("location", "")]
        return response


@contextmanager
def messages_of_celery() -> Iterator[list[str]]:
    """Collect all commands that the broker receives."""
    assert servers.valkey is not None
    commands: list[str] = []
    with Redis.from_url(f"{servers.valkey.url}/3") as client, client.monitor() as monitor:

        def listen() -> None:
            for entry in monitor.listen():
                if LAST_WORD in entry["command"]:
                    return
                if entry["db"] == 3:
                    commands.append(entry["command"])

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield commands
        finally:
            with Redis.from_url(servers.valkey.url) as another:
                another.echo(LAST_WORD)
            listener.join(30)


@pytest.fixture
def browser_of_guest(stack: Stack) -> Iterator[Browser]:
    with httpx.Client(base_url=stack.url, headers={"accept-language": "en"}) as client:
        yield Browser(client)


def test_nothing_that_names_a_guest_leaves_the_database(
    stack: Stack, browser_of_guest: Browser
) -> None:
    event = make_event()
    begun = {name: len(stack.log(name)) for name in PROCESSES}
    browser = browser_of_guest
    steps = f"/promo/{event.slug}/-"
    person = {"first_name": NAME, "last_name": SURNAME, "email": EMAIL}
    with messages_of_celery() as messages:
        browser.post(f"{steps}/phone/", country="PT", phone="961 987 654")
        registered = browser.post(f"{steps}/register/", **person)
        assert registered.status_code == 303, registered.text[:500]
        wait_for(lambda: Guest.objects.filter(phone=PHONE).exists(), 30)
        guest = Guest.objects.get(phone=PHONE)
        assert guest.name == f"{NAME} {SURNAME}"
        wait_for(lambda: Email.objects.filter(to=EMAIL, state="sent").count() == 2, 30)
    queued = " ".join(messages)
    bodies = [b64decode(body).decode() for body in BODY.findall(queued)]
    assert len(bodies) > 2
    queued += " ".join(bodies)
    browser.get(registered.headers["location"])
    browser.get(f"/guest/{guest.qr_token}")
    browser.post("/sign-out/")
    # The phone has an account now; the codes and the other forms are wrong.
    browser.post(f"{steps}/phone/", country="PT", phone="961 987 654")
    for wrong in ("000000", "111111"):
        browser.post(f"{steps}/code/", code=wrong)
    browser.post(f"{steps}/register/", **person | {"email": f"{EMAIL}@"})
    browser.post("/admin/login/", username=PHONE, password="wrong")
    metrics = browser.client.get("/metrics").text
    assert "http" in metrics
    assert "LPUSH guests" in queued
    assert "LPUSH emails" in queued
    assert found_in(queued) == []
    assert found_in(metrics) == []
    assert found_in(" ".join(browser.addresses)) == []
    for name in PROCESSES:
        log = stack.log(name)[begun[name] :]
        assert found_in(log) == [], name
    # The search finds the data where they belong.
    account = User.objects.get(phone=PHONE)
    assert found_in(f"{account.phone} {account.first_name} {account.email}")
