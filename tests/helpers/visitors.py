"""Visitors who go from a promo link to a QR code with links and forms, without a real browser."""

import re
from collections.abc import Mapping
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from accounts.models import LoginCode, User
from guests.models import Event, Guest, GuestRequest
from notifications.models import Email
from tests.helpers.sessions import sign_in

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

    Response = _MonkeyPatchedWSGIResponse
else:
    Response = Any

# A Portuguese mobile number that no factory uses: as a visitor types it, and as it is stored.
TYPED_PHONE = "961 234 567"
PHONE = "+351961234567"
FORM = re.compile(r'<form [^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
LINK = re.compile(r'<a [^>]*href="([^"]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="(step)" value="([^"]*)"')
PHONE_STEPS = {"code", "register", "claim", "prove", "email"}
PERSON = {"first_name": "Inês", "last_name": "Exemplo", "email": "ines@example.com"}


with_and_without_htmx = pytest.mark.parametrize("htmx", [False, True], ids=["plain", "htmx"])


class Visitor:
    """A visitor of one event, with a browser of their own.

    They send the hidden fields of the form that they saw last for a step, as a browser does.
    Pages are in English, so that tests can search for texts of the templates.
    """

    def __init__(
        self,
        event: Event,
        promoter: str = "",
        *,
        htmx: bool = False,
        language: str = "en",
        checks_csrf: bool = False,
    ) -> None:
        headers = {"accept-language": language} | ({"hx-request": "true"} if htmx else {})
        self.browser = Client(enforce_csrf_checks=checks_csrf, headers=headers)
        self.event = event
        self.promoter = promoter
        # For each step: the address that the last responses led to, and its hidden fields.
        self.led_to: dict[str, str] = {}
        self.hidden: dict[str, dict[str, str]] = {}
        self.latest = ""

    def signed_in(self, account: User) -> "Visitor":
        """Sign an account in, without its code, and return the visitor."""
        sign_in(self.browser, account)
        return self

    # Addresses ------------------------------------------------------------------------------------

    @property
    def event_url(self) -> str:
        return f"/promo/{self.event.slug}/" + (f"{self.promoter}/" if self.promoter else "")

    def step_url(self, step: str) -> str:
        return f"/promo/{self.event.slug}/{self.promoter or '-'}/{step}/"

    # Requests -------------------------------------------------------------------------------------

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Response:
        return self.remember(self.browser.get(path, headers=headers))

    def look(self) -> Response:
        """Open the event's page."""
        return self.get(self.event_url)

    def open(self, step: str) -> Response:
        """Open the page of a step, by the last address that led there."""
        return self.get(self.led_to.get(step, self.step_url(step)))

    def send(self, step: str, **fields: str) -> Response:
        """Send the form of a step, and return the response without following redirects."""
        return self.remember(
            self.browser.post(self.step_url(step), self.hidden_fields(step) | fields)
        )

    def hidden_fields(self, step: str) -> dict[str, str]:
        """Return the hidden fields of a step's form, or of the last form if it was not shown.

        A page that a response or a link led to is opened first, as a browser does.
        """
        if self.latest not in self.hidden and self.latest in self.led_to:
            self.open(self.latest)
        if step not in self.hidden and step in self.led_to:
            self.open(step)
        return self.hidden.get(step, self.hidden.get(self.latest, {}))

    def remember(self, response: Response) -> Response:
        """Remember the forms on a page, or the step that a redirect leads to."""
        if step := _step_in(response.get("Location", "")):
            self.latest, self.led_to[step] = step, response["Location"]
            self.hidden.pop(step, None)
        html = "" if response.streaming else html_of(response)
        for address in LINK.findall(html):
            if step := _step_in(address):
                self.led_to[step] = address
        for action, form in FORM.findall(html):
            if step := _step_in(action):
                self.latest, self.led_to[step] = step, action
                self.hidden[step] = dict(HIDDEN.findall(form))
        return response

    def give_phone(self, typed: str = TYPED_PHONE, country: str = "PT") -> Response:
        return self.send("phone", country=country, phone=typed)

    def register(self, **fields: str) -> Response:
        return self.send("register", **PERSON | fields)

    def type_code(self, account: User) -> Response:
        """Send the last code of an account."""
        return self.send("code", code=last_code(account).digits())


def registered(event: Event, promoter: str = "") -> tuple[Visitor, str]:
    """Register a new visitor with PHONE and PERSON; return them and the path of their ticket."""
    visitor = Visitor(event, promoter)
    visitor.give_phone()
    return visitor, location_of(visitor.register())


def copy_of(visitor: Visitor) -> Visitor:
    """Return another browser with a copy of the visitor's session cookie, as a thief has it."""
    copy = Visitor(visitor.event)
    copy.browser.cookies["session"] = visitor.browser.cookies["session"].value
    return copy


def last_code(account: User) -> LoginCode:
    """Return the last code of an account, whose email must be queued."""
    code = LoginCode.objects.filter(account=account).latest("pk")
    assert Email.objects.filter(kind="login_code", cause=f"login_code:{code.pk}").exists()
    return code


def _step_in(address: str) -> str:
    """Return the step that an address leads to if it is about a phone, "" otherwise."""
    name = address.partition("?")[0].rstrip("/").rpartition("/")[2]
    return name if name in PHONE_STEPS else ""


# Reading responses --------------------------------------------------------------------------------


def html_of(response: Response) -> str:
    return unescape(response.content.decode())


def location_of(response: Response) -> str:
    """Return where a response redirects to, without the key of a step's phone."""
    assert response.status_code in {302, 303}, (response.status_code, response.content[:400])
    return address_of_step(response["Location"])


def address_of_step(address: str) -> str:
    """Return an address without the key of a step's phone."""
    return re.sub(r"\?(s=[\w-]{8}|again=1)$", "", address)


def signed_step(response: Response) -> dict[str, str]:
    """Return the hidden field with which the form on a page carries its phone."""
    found = re.search(r'name="step" value="([^"]+)"', html_of(response))
    assert found, html_of(response)[:400]
    return {"step": found[1]}


def error_beside(field: str, response: Response) -> str:
    """Return the error beside a field, "" when there is none."""
    found = re.search(
        rf'id="id_{field}_error"[^>]*>(.*?)</(?:ul|div|p)>', html_of(response), re.DOTALL
    )
    return re.sub(r"<[^>]*>", "", found[1]).strip() if found else ""


def state_in(response: Response) -> str:
    """Return the state of the ticket on a page, "" when the page shows none."""
    found = re.search(r'data-state="([^"]*)"', html_of(response))
    return found[1] if found else ""


def file_of(response: Any) -> bytes:
    """Return the content of a streamed file. Reading it to its end closes it."""
    body: bytes = response.getvalue()
    return body


def is_partial(response: Response) -> bool:
    return "<html" not in html_of(response)


def rows() -> dict[str, int]:
    """Count the rows that a step can create, to check that a refused one creates none."""
    tables: list[Any] = [User, GuestRequest, Guest, Email, LoginCode]
    return {table.__name__: table.objects.count() for table in tables}
