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
PERSON = {"first_name": "Inês", "last_name": "Exemplo", "email": "ines@example.com"}


class Visitor:
    """Somebody in front of an event's promo link.

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
        return self.browser.get(path, headers=headers)

    def look(self) -> Answer:
        """Open the event's page."""
        return self.get(self.event_url)

    def open(self, step: str) -> Answer:
        return self.get(self.step_url(step))

    def send(self, step: str, **fields: str) -> Answer:
        """Send a step's form and return its answer, redirects not followed."""
        return self.browser.post(self.step_url(step), fields)

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


# Reading answers ---------------------------------------------------------------------------------


def html_of(answer: Answer) -> str:
    return unescape(answer.content.decode())


def location_of(answer: Answer) -> str:
    """Return where an answer redirects to."""
    assert answer.status_code in {302, 303}, (answer.status_code, answer.content[:400])
    return answer["Location"]


def error_beside(field: str, answer: Answer) -> str:
    """Return the sentence next to a field, "" when there is none."""
    found = re.search(
        rf'id="id_{field}_error"[^>]*>(.*?)</(?:ul|div|p)>', html_of(answer), re.DOTALL
    )
    return re.sub(r"<[^>]*>", "", found[1]).strip() if found else ""


def state_in(answer: Answer) -> str:
    """Return the state of the ticket that an answer shows, "" when it shows none."""
    found = re.search(r'data-state="([^"]*)"', html_of(answer))
    return found[1] if found else ""


def is_partial(answer: Answer) -> bool:
    return "<html" not in html_of(answer)


def rows() -> dict[str, int]:
    """Count what a step may make, to see that a wrong one makes nothing."""
    tables: list[Any] = [User, GuestRequest, Guest, Email, LoginCode]
    return {table.__name__: table.objects.count() for table in tables}
