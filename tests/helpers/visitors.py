"""People who go the guest's way, each with a browser of their own: with links and forms only."""

import re
from collections.abc import Mapping
from html import unescape
from typing import TYPE_CHECKING, Any

from django.test import Client

from accounts.models import LoginCode, User
from accounts.sessions import BACKEND
from guests.models import Event, Guest, GuestRequest
from notifications.models import Email

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

    Answer = _MonkeyPatchedWSGIResponse
else:
    Answer = Any

# A Portuguese mobile number that factories give nobody, as typed and as kept.
TYPED_PHONE = "961 234 567"
PHONE = "+351961234567"
FORM = re.compile(r'<form [^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
LINK = re.compile(r'<a [^>]*href="([^"]+)"')
HIDDEN = re.compile(r'<input type="hidden" name="(step)" value="([^"]*)"')
PHONE_STEPS = {"code", "register", "claim", "prove"}
PERSON = {"first_name": "Inês", "last_name": "Exemplo", "email": "ines@example.com"}


class Visitor:
    """Somebody in front of an event's promo link.

    Sends what a browser sends: the hidden fields of the form that it was last shown for a step.
    Reads English, so that tests can name what they look for by its text in the templates.
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
        # By step: where the last answers led, and the hidden fields of the form shown there.
        self.led_to: dict[str, str] = {}
        self.hidden: dict[str, dict[str, str]] = {}
        self.latest = ""

    def signed_in(self, account: User) -> "Visitor":
        self.browser.force_login(account, backend=BACKEND)
        return self

    # Addresses ---------------------------------------------------------------------------------

    @property
    def event_url(self) -> str:
        return f"/promo/{self.event.slug}/" + (f"{self.promoter}/" if self.promoter else "")

    def step_url(self, step: str) -> str:
        return f"/promo/{self.event.slug}/{self.promoter or '-'}/{step}/"

    # Doing -------------------------------------------------------------------------------------

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        return self._see(self.browser.get(path, headers=headers))

    def look(self) -> Answer:
        """Open the event's page."""
        return self.get(self.event_url)

    def open(self, step: str) -> Answer:
        """Open a step's page, by the address that last led there."""
        return self.get(self.led_to.get(step, self.step_url(step)))

    def send(self, step: str, **fields: str) -> Answer:
        """Send a step's form and return its answer, redirects not followed."""
        return self._see(self.browser.post(self.step_url(step), self.hidden_fields(step) | fields))

    def hidden_fields(self, step: str) -> dict[str, str]:
        """Return what the step's form carries; of a step not shown, what the last form carried.

        A page that an answer or a link led to is opened first, as a browser does.
        """
        if self.latest not in self.hidden and self.latest in self.led_to:
            self.open(self.latest)
        if step not in self.hidden and step in self.led_to:
            self.open(step)
        return self.hidden.get(step, self.hidden.get(self.latest, {}))

    def _see(self, response: Answer) -> Answer:
        """Remember the forms that an answer shows, or the step that it leads to."""
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

    def give_phone(self, typed: str = TYPED_PHONE, country: str = "PT") -> Answer:
        return self.send("phone", country=country, phone=typed)

    def register(self, **fields: str) -> Answer:
        return self.send("register", **PERSON | fields)

    def type_code(self, account: User) -> Answer:
        """Type the code that was sent last."""
        return self.send("code", code=last_code(account).digits())


def last_code(account: User) -> LoginCode:
    """Return the code sent to an account last; its digits are what the email says."""
    code = LoginCode.objects.filter(account=account).latest("pk")
    assert Email.objects.filter(kind="login_code", cause=f"login_code:{code.pk}").exists()
    return code


def _step_in(address: str) -> str:
    """Return the step about a phone that an address of a form names, "" for every other."""
    name = address.partition("?")[0].rstrip("/").rpartition("/")[2]
    return name if name in PHONE_STEPS else ""


# Reading answers ---------------------------------------------------------------------------------


def html_of(response: Answer) -> str:
    return unescape(response.content.decode())


def location_of(response: Answer) -> str:
    """Return where an answer redirects to, of a step without the key that names the phone."""
    assert response.status_code in {302, 303}, (response.status_code, response.content[:400])
    return address_of_step(response["Location"])


def address_of_step(address: str) -> str:
    """Return an address without the key by which a step knows its phone."""
    return re.sub(r"\?(s=[\w-]{8}|again=1)$", "", address)


def signed_step(response: Answer) -> dict[str, str]:
    """Return the field by which the form in an answer carries its phone."""
    found = re.search(r'name="step" value="([^"]+)"', html_of(response))
    assert found, html_of(response)[:400]
    return {"step": found[1]}


def error_beside(field: str, response: Answer) -> str:
    """Return the sentence next to a field, "" when there is none."""
    found = re.search(
        rf'id="id_{field}_error"[^>]*>(.*?)</(?:ul|div|p)>', html_of(response), re.DOTALL
    )
    return re.sub(r"<[^>]*>", "", found[1]).strip() if found else ""


def state_in(response: Answer) -> str:
    """Return the state of the ticket that an answer shows, "" when it shows none."""
    found = re.search(r'data-state="([^"]*)"', html_of(response))
    return found[1] if found else ""


def is_partial(response: Answer) -> bool:
    return "<html" not in html_of(response)


def rows() -> dict[str, int]:
    """Count what a step may make, to see that a wrong one makes nothing."""
    tables: list[Any] = [User, GuestRequest, Guest, Email, LoginCode]
    return {table.__name__: table.objects.count() for table in tables}
