"""The people of a storm: their phones, cookies and sessions."""

from dataclasses import dataclass, field

from django.conf import settings
from django.utils.crypto import get_random_string

from accounts.models import User
from tests.factories import make_accounts
from tests.helpers.sessions import session_of


@dataclass
class Person:
    """One phone and its browser. A person without an account registers by the pages."""

    phone: str
    cookies: dict[bytes, bytes] = field(default_factory=dict)
    registers: bool = False

    def headers(self, **more: str) -> dict[str, str]:
        """Return the headers that the person's browser sends."""
        pairs = b"; ".join(name + b"=" + value for name, value in self.cookies.items())
        return {"Cookie": pairs.decode(), "X-CSRFToken": self.csrf_token.decode(), **more}

    @property
    def csrf_token(self) -> bytes:
        return self.cookies[settings.CSRF_COOKIE_NAME.encode()]


def sign_in(account: User) -> Person:
    """Return a person with a session of the account."""
    person = newcomer(account.phone or "")
    person.cookies[settings.SESSION_COOKIE_NAME.encode()] = session_of(account).encode()
    return person


def newcomer(phone: str, *, registers: bool = False) -> Person:
    token = {settings.CSRF_COOKIE_NAME.encode(): get_random_string(32).encode()}
    return Person(phone, token, registers)


def make_people(size: int, *, newcomers: int = 10) -> list[Person]:
    """Return people with an account and a session. One in `newcomers` has to register instead."""
    accounts = iter(make_accounts(size))
    people = []
    for number, account in enumerate(accounts):
        if newcomers and number % newcomers == newcomers - 1:
            phone, account.phone = account.phone or "", None
            account.delete()
            people.append(newcomer(phone, registers=True))
        else:
            people.append(sign_in(account))
    return people
