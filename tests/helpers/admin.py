"""Admin as staff use it."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response
from waffle.models import Switch

from accounts.models import BlockedPhone, Claim, User
from guests.models import Event
from notifications.suppressions import suppress
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_promoter,
    make_request,
    make_team,
)
from tests.helpers.list_messages import make_message
from tests.helpers.stack import Stack

# A list of admin, and a function that adds a row to it.
LISTS: dict[str, Callable[[], object]] = {
    "guests_event": make_event_promoter,
    "guests_guest": make_guest,
    "guests_guestrequest": make_request,
    "guests_team": make_team,
    "guests_promoter": make_promoter,
    "accounts_user": make_account,
    "accounts_blockedphone": lambda: BlockedPhone.objects.create(
        phone=f"+3519{BlockedPhone.objects.count()}", is_prefix=True, reason="tests"
    ),
    "guests_listmessage": lambda: make_message(make_event()),
    "notifications_email": make_guest,
    "snap_switch": lambda: Switch.objects.create(name=f"switch {Switch.objects.count()}"),
    "notifications_suppression": lambda: suppress(make_account().email, "unsubscribed"),
}


def admin_url(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def change_event(admin: Client, event: Event, **changes: Any) -> Any:
    """Send the form of an event as a browser does, with some fields changed."""
    form: dict[str, Any] = {}
    for name, value in model_to_dict(event).items():
        if value not in {None, False} and name != "poster":
            form[name] = value
    for name in ("starts_at", "ends_at", "list_opens_at", "list_closes_at"):
        local = timezone.localtime(form.pop(name))
        form |= {f"{name}_0": f"{local:%Y-%m-%d}", f"{name}_1": f"{local:%H:%M:%S}"}
    inline = {"eventpromoter_set-TOTAL_FORMS": 0, "eventpromoter_set-INITIAL_FORMS": 0}
    return admin.post(admin_url("guests_event_change", event.pk), form | inline | changes)


def watch_admin(page: Page) -> list[str]:
    """Return a list that collects errors of a page: scripts, styles, files that are missing."""
    errors: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    def on_response(response: Response) -> None:
        if response.status >= 400:
            errors.append(response.url)

    page.on("console", on_console)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", on_response)
    return errors


def sign_in(client: Client, phone: str, password: str = "wrong") -> Any:
    """Send the sign-in form of admin."""
    return client.post("/admin/login/", {"username": phone, "password": password})


def staff_with(*permissions: str) -> User:
    """Make staff with some permissions. The password is `a long password`."""
    account = make_account(is_staff=True)
    account.set_password("a long password")
    account.save()
    account.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return account


def admin_client(account: User) -> Client:
    """Return a browser in which an account is signed in to an English admin."""
    client = Client(headers={"accept-language": "en"})
    client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
    return client


def staff_cookie_of(account: User) -> str:
    """Return a Cookie header with which a member of staff is signed in to admin."""
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={admin_client(account).cookies[name].value}"


def sign_in_to_admin(browser: BrowserContext, stack: Stack, account: User) -> None:
    """Give a browser the session cookie of a staff member who signed in with a password."""
    client = admin_client(account)
    name = settings.SESSION_COOKIE_NAME
    browser.add_cookies([{"name": name, "value": client.cookies[name].value, "url": stack.url}])


def decision_url(claim: Claim, decision: str) -> str:
    return f"/admin/accounts/claim/{claim.pk}/decide/{decision}/"
