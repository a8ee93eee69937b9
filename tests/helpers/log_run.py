"""A journey through the real processes that meets all kinds of errors, and its secrets."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
from django.conf import settings
from django.db import connection

from accounts.models import BlockedPhone, User
from guests.models import Event, GuestRequest
from notifications.models import Email
from tests.factories import make_staff
from tests.helpers.sockets import open_socket
from tests.helpers.stack import Stack, wait_for

PHONE, REFUSED, BROKEN, LATE = "+351961234561", "+351961234562", "+351961234563", "+351961234564"
NAMES = ("Filomena", "Quitéria-Zarco")
EMAIL = "filomena.zarco@correio.example"
STRANGE_EMAIL = "филомена@пример.example"
PASSWORD = "palavra-passe-secreta-42"
REQUEST_ID, LATE_REQUEST_ID = "0123456789abcdef-proxy", "0123456789abcdef-late"
HEADERS = {"Referer": f"http://x.example/?email={EMAIL}", "User-Agent": f"{EMAIL} {PHONE}"}
REGISTRATION = {"firstName": NAMES[0], "lastName": NAMES[1], "email": EMAIL}


class LoggedRun:
    """One browser that does all of it. `secrets` are what no line of any log may have."""

    def __init__(self, stack: Stack, event: Event) -> None:
        self.stack, self.event = stack, event
        self.browser = httpx.Client(base_url=stack.url, headers=HEADERS, timeout=30)
        self.secrets = [PHONE, REFUSED, BROKEN, LATE, *NAMES, EMAIL, STRANGE_EMAIL, PASSWORD]
        self.secrets += [settings.SECRET_KEY, "filomena.zarco"]
        self.ticket_id = self.request_id = self.late_ticket_id = ""

    def close(self) -> None:
        self.browser.close()

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        token = self.browser.cookies.get(settings.CSRF_COOKIE_NAME) or ""
        headers["X-CSRFToken"] = token
        return self.browser.post(path, json=body, headers=headers)

    def register(self, phone: str, **changes: str) -> httpx.Response:
        return self.post("/api/client-auth/register", REGISTRATION | {"phone": phone} | changes)

    def request_place(self, **headers: str) -> httpx.Response:
        body = {"event_id": self.event.pk, "phone": PHONE, "email": EMAIL, "name": " ".join(NAMES)}
        return self.post("/api/client-auth/guests/create-async", body, **headers)

    # The visitor ----------------------------------------------------------------------------------

    def visit(self) -> None:
        """Get a place on the list, and the email with its QR code."""
        self.browser.get(f"/promo/{self.event.slug}/").raise_for_status()
        self.post("/api/client-auth-v2/check-phone", {"phone": PHONE}).raise_for_status()
        assert self.register(PHONE).status_code == 201
        asked = self.request_place(**{"X-Request-ID": REQUEST_ID})
        assert asked.status_code == 202, asked.text
        self.ticket_id, self.request_id = asked.json()["ticketId"], asked.headers["X-Request-ID"]
        cookie = f"session={self.browser.cookies['session']}"
        with open_socket(self.stack, self.ticket_id, cookie=cookie):
            wait_for(self._has_qr_email, 30)
        token = GuestRequest.objects.get(ticket_id=self.ticket_id).guest.qr_token  # type: ignore[union-attr]
        for path in (f"/guest/{token}/", f"/media/qr/{token}.png", f"/promo/?t={token}"):
            self.browser.get(path)
        self.secrets += [str(token), self.browser.cookies["session"]]

    def _has_qr_email(self) -> bool:
        sent = Email.objects.filter(kind="qr_code", ticket_id=self.ticket_id, state="sent")
        return sent.exists()

    def sign_in_wrongly(self) -> None:
        """Ask for a code, and type another one."""
        self.post("/api/client-auth/login", {"phone": PHONE})
        wait_for(lambda: Email.objects.filter(kind="login_code", state="sent").exists(), 30)
        self.post("/api/client-auth/login", {"phone": PHONE, "code": "000000"})
        for path in self.stack.emails_dir.glob("*.eml"):
            self.secrets += re.findall(r"\b\d{6}\b", path.read_text(errors="replace"))[:1]
        self.secrets = [each for each in self.secrets if each != "000000"]

    def ask_oddly(self) -> None:
        """Send requests that are refused or unknown, with personal data in all their parts."""
        BlockedPhone.objects.create(phone=REFUSED, reason="tests")
        self.register(REFUSED, email="outra@correio.example")
        self.secrets.append("outra@correio.example")
        self.post("/api/client-auth/login", f"{PHONE} {EMAIL}")
        self.post(
            "/webhooks/mail/sendgrid/", [{"email": EMAIL, "event": "bounce", "reason": PHONE}]
        )
        self.browser.post("/webhooks/mail/mailgun/", content=f'{{"recipient": "{EMAIL}'.encode())
        for path in (
            f"/nothing/{EMAIL}/{PHONE}/?phone={PHONE}&email={EMAIL}",
            f"/promo/{PHONE}/",
            f"/promo/?next=%2Fguest%2F%3Femail%3D{EMAIL.replace('@', '%40')}",
            f"/promo/{STRANGE_EMAIL}/961 234 561/%0d%0aX:{NAMES[0]}@x",
            "/%ff%fe/",
        ):
            self.browser.get(path)
        with suppress(httpx.TransportError):
            self.browser.request(f"X{PHONE[1:]}", "/promo/")

    def work_in_admin(self) -> None:
        """Sign in to admin, wrongly and rightly, and search for a guest."""
        staff = make_staff()
        staff.set_password(PASSWORD)
        staff.save()
        login = "/admin/login/"
        for username, password in (
            (EMAIL, "wrong-palavra"),
            (staff.phone, "wrong-palavra"),
            (staff.phone, PASSWORD),
        ):
            self.browser.get(login)
            token = self.browser.cookies[settings.CSRF_COOKIE_NAME]
            form = {"username": username, "password": password, "csrfmiddlewaretoken": token}
            self.browser.post(login, data=form, headers={"Referer": f"{self.stack.url}{login}"})
        self.browser.get("/admin/accounts/user/", params={"q": f"{NAMES[0]} {EMAIL} {PHONE}"})
        self.secrets.append("wrong-palavra")

    def meet_errors(self) -> None:
        """Have the database refuse rows of web and worker, and quote them in its errors."""
        self.browser.cookies.delete("session")
        with broken_table(User):
            failed = self.register(BROKEN, email=f"y{EMAIL}")
            assert failed.status_code == 500, failed.text
        with broken_table(Email):
            self.register(BROKEN, email=f"x{EMAIL}")
            self.request_place()


@contextmanager
def broken_table(model: type[User | Email]) -> Iterator[None]:
    """Have PostgreSQL refuse each new row of a table. Its error has the whole row."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM to_jsonb(NEW)::text::integer; RETURN NEW; END $$;"
            f"CREATE TRIGGER broken BEFORE INSERT ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION broken()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER broken ON {table}; DROP FUNCTION broken()")
