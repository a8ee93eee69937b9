"""What causes each finding about signing in at mail providers, and with what it is absent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage
from django.test import override_settings

from notifications.sign_ins import check_sign_ins
from tests.helpers.mail_providers.choice import PROVIDERS, environment
from tests.helpers.setup_faults import Case, of_states


def find() -> list[CheckMessage]:
    return check_sign_ins(None, databases=["default"])


@contextmanager
def signing_in_at(name: str, *, runs: bool = True, **given: Any) -> Iterator[None]:
    """Have a server play a provider, with other settings than those that it asks for."""
    from django.conf import settings

    server = PROVIDERS[name]()
    values: dict[str, Any] = {**environment(server), **given}
    api = {key: values.pop(key) for key in list(values) if key.startswith(name.upper())}
    values["EMAIL_BACKEND"] = settings.EMAIL_BACKENDS[name]
    values["ANYMAIL"] = {**settings.ANYMAIL, **api}
    if "EMAIL_PORT" in values:
        values["EMAIL_PORT"] = int(values["EMAIL_PORT"])
    with override_settings(EMAIL_FALLBACK_PROVIDER="", **values):
        if runs:
            server.start()
        try:
            yield
        finally:
            if runs:
                server.stop()


def at(name: str, **given: Any) -> Callable[[Path], Any]:
    return lambda _folder: signing_in_at(name, **given)


SIGN_IN_CASES: dict[str, Case] = {
    "notifications.E104": of_states(find, at("smtp", runs=False), at("smtp")),
    "notifications.E105": of_states(find, at("resend", RESEND_API_KEY="old"), at("resend")),
    "notifications.I106": of_states(find, at("mailgun"), at("resend")),
}
