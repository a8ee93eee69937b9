"""A browser that walks through the screens of tests/helpers/screens.py, and what they show."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import BrowserContext, Page

from accounts.models import User
from guests.models import Event, GuestRequest
from tests.factories import make_account, make_event, make_guest
from tests.helpers import servers
from tests.helpers.browser import sign_in
from tests.helpers.stack import Stack


@dataclass(frozen=True)
class Texts:
    """What people have written: the texts of the events, promoters and guests on the screens."""

    title: str = "Noite de São João"
    venue: str = "Sala Exemplo"
    address: str = "Rua do Exemplo 12, Lisboa"
    description: str = "Portas às 23 h.\nTraz o teu documento.\n\nMapa: https://example.com/mapa"
    promoter: str = "Marta Exemplo"
    first_name: str = "Inês"
    last_name: str = "Exemplo"
    email: str = "ines@example.com"

    @property
    def of_event(self) -> dict[str, str]:
        return {
            "title": self.title,
            "venue": self.venue,
            "address": self.address,
            "description": self.description,
        }

    @property
    def of_account(self) -> dict[str, str]:
        return {"first_name": self.first_name, "last_name": self.last_name, "email": self.email}


# One word that fills each text.
UNBROKEN = Texts(
    title="Festa" + "T" * 115,
    venue="Sala" + "V" * 116,
    address="Rua" + "A" * 197,
    description="D" * 200 + "\nhttps://example.com/" + "d" * 200 + "?q=" + "1" * 200,
    promoter="P" * 80,
    first_name="F" * 60,
    last_name="L" * 60,
    email="e" * 64 + "@" + "d" * 60 + "." + "d" * 60 + "." + "d" * 50 + ".example",
)


@dataclass
class Walk:
    """A browser on the stack, and the texts that people have written."""

    stack: Stack
    phone: BrowserContext
    page: Page
    texts: Texts

    def event(self, **fields: Any) -> Event:
        return make_event(**self.texts.of_event | fields)

    def account(self, **fields: Any) -> User:
        return make_account(**self.texts.of_account | fields)

    def guest_request(self, **event_fields: Any) -> GuestRequest:
        """Make a guest of a new event, and return its request."""
        guest = make_guest(self.event(**event_fields), self.account())
        return GuestRequest.objects.select_related("event", "account").get(guest=guest)

    def open(self, path: str) -> None:
        self.page.goto(path)

    def open_event(self, event: Event, rest: str = "") -> None:
        self.open(f"/promo/{event.slug}/{rest}")

    def sign_in(self, account: User) -> None:
        sign_in(self.phone, self.stack, account)

    def forget(self) -> None:
        """Become another visitor: without cookies, and without requests that count."""
        language = [each for each in self.phone.cookies() if each["name"] == "language"]
        self.phone.clear_cookies()
        self.phone.add_cookies(language)  # type: ignore[arg-type]
        servers.freshen()
