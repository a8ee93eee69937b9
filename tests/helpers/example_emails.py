"""An example of every kind of email."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import qrcode
from django.core.mail import EmailMultiAlternatives

from guests.event_values import colours_of
from notifications.kinds import EmailContent
from notifications.messages import make_message
from notifications.models import Email
from notifications.services import queue_email

NOW = datetime(2027, 6, 1, tzinfo=UTC)
# The Content-ID of the QR code in an example.
QR_ID = f"qr.email.1.{NOW.timestamp():.0f}@localhost"
GUEST_URL = "https://snap.example/guest/tHiSiSaToKeN-0123456789"

PUBLIC = "https://snap.example"
EVENT: dict[str, Any] = {
    "event_title": "Noite de São João",
    "venue": "Armazém do Cais",
    "address": "Rua do Ouro 12, Porto",
    "starts_at": datetime(2027, 6, 23, 23, 30, tzinfo=ZoneInfo("Atlantic/Azores")),
    "colours": colours_of("sao-joao"),
    "poster_url": f"{PUBLIC}/media/posters/0123456789abcdef_720-360.jpg",
    "event_url": f"{PUBLIC}/promo/sao-joao/",
}
CONTEXTS: dict[str, dict[str, Any]] = {
    "welcome": {
        "first_name": "Inês",
        "promo_url": "https://snap.example/promo/",
        "proof_url": "https://snap.example/from-email/welcome/17/?proof=s1GnAtUrE",
    },
    "email_changed": {
        "first_name": "Inês",
        "phone": "+351 961 … 67",
        "is_new": True,
        "promo_url": "https://snap.example/promo/",
        "proof_url": "https://snap.example/from-email/welcome/17/?proof=s1GnAtUrE",
    },
    "claim": {
        "first_name": "Inês",
        "phone": "+351 961 … 67",
        "hours": 24,
        "objection_url": "https://snap.example/from-email/claim/5/?proof=s1GnAtUrE",
    },
    "claim_decided": {
        "first_name": "Inês",
        "phone": "+351 961 … 67",
        "state": "granted",
        "is_claimant": True,
        "promo_url": "https://snap.example/promo/",
    },
    "login_code": {
        "first_name": "Inês",
        "code": "048213",
        "minutes": 10,
        "has_link": True,
        "link_url": f"{PUBLIC}/from-email/sign-in/9/?proof=s1GnAtUrE",
    },
    "qr_code": EVENT
    | {
        "first_name": "Inês",
        "guest_url": GUEST_URL,
        "qr_url": f"{PUBLIC}/media/qr/tHiSiSaToKeN-0123456789.png",
        "has_code": True,
        "code": "K7QP-2MXD",
        "has_calendar": True,
    },
    "waitlisted": EVENT | {"first_name": "Inês", "position": "7"},
    "event_changed": EVENT
    | {
        "first_name": "Inês",
        "guest_url": GUEST_URL,
        "has_code": True,
        "code": "K7QP-2MXD",
        "has_calendar": True,
        "is_moved": True,
        "old_starts_at": datetime(2027, 6, 22, 22, 0, tzinfo=ZoneInfo("Atlantic/Azores")),
        "old_venue": "Praça da República",
    },
    "place_to_prove": EVENT
    | {
        "first_name": "Inês",
        "from_waiting_list": True,
        "proof_url": f"{PUBLIC}/from-email/welcome/17/?proof=s1GnAtUrE",
    },
    "event_cancelled": EVENT | {"first_name": "Inês", "has_code": True, "has_calendar": True},
    "reminder": EVENT
    | {
        "first_name": "Inês",
        "guest_url": GUEST_URL,
        "has_code": True,
        "code": "K7QP-2MXD",
    },
    "list_message": EVENT
    | {
        "first_name": "Inês",
        "subject": "Portas às 23:00",
        "paragraphs": ["Abrimos mais cedo.", "O programa está em https://snap.example/programa."],
    },
}


# The values of examples that are texts of one person.
PERSONAL_NAMES = {
    "first_name",
    "phone",
    "email",
    "code",
    "position",
    "guest_url",
    "link_url",
    "objection_url",
    "proof_url",
    "qr_url",
    "unsubscribe_url",
}
PERSONAL = {
    kind: {name: value for name, value in values.items() if name in PERSONAL_NAMES}
    for kind, values in CONTEXTS.items()
}


def qr_png() -> bytes:
    buffer = BytesIO()
    qrcode.make(GUEST_URL, border=4).get_image().save(buffer, "PNG")
    return buffer.getvalue()


def example_message(
    kind: str, language: str = "en", *, number: Any = 1, **context: Any
) -> EmailMultiAlternatives:
    """Return the message of a kind, with some values of its example changed.

    `number` is the primary key of its row.
    """
    email = Email(pk=number, kind=kind, to="ines@example.pt", language=language, queued_at=NOW)
    images = {"qr": qr_png()} if kind == "qr_code" else {}
    return make_message(email, EmailContent(CONTEXTS[kind] | context, inline_images=images))


def queue_note(cause: str, to: str = "ana@example.pt", *, fast: bool = False) -> Email:
    """Queue an email of the kind `note`, which only tests/notifications registers."""
    queue_email("note", cause, to=to, language="en", fast=fast)
    return Email.objects.get(kind="note", cause=cause)
