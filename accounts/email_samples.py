"""Examples of the emails about accounts, for staff. Their person is invented."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.emails import answer_hours
from notifications.kinds import EmailContent
from notifications.previews import Sample, email_samples
from snap.pages import page_url

FIRST_NAME = "Inês"
PHONE = "+351 961 … 67"
EMAIL = "i…@example.com"
USUAL = ("usual", _("Usual"))


@email_samples("welcome")
def welcome_samples(about: Any) -> Sequence[Sample]:
    personal = {"first_name": FIRST_NAME, "proof_url": page_url("events")}
    context = {"promo_url": page_url("events")}
    return [Sample(*USUAL, EmailContent(context, personal))]


@email_samples("email_changed")
def email_changed_samples(about: Any) -> Sequence[Sample]:
    promo = page_url("events")
    personal = {"first_name": FIRST_NAME, "phone": PHONE}
    to_new = EmailContent({"is_new": True, "promo_url": promo}, {**personal, "proof_url": promo})
    to_old = EmailContent({"is_new": False, "promo_url": promo}, {**personal, "email": EMAIL})
    return [
        Sample("new", _("To the new address"), to_new),
        Sample("old", _("To the address before"), to_old),
    ]


@email_samples("login_code")
def login_code_samples(about: Any) -> Sequence[Sample]:
    minutes = settings.LOGIN_CODE_AGE // 60
    personal = {"first_name": FIRST_NAME, "code": "123456", "link_url": page_url("events")}
    with_link = EmailContent({"minutes": minutes, "has_link": True}, personal)
    without_link = EmailContent({"minutes": minutes, "has_link": False}, personal)
    return [
        Sample("usual", _("To sign in"), with_link),
        Sample("proof", _("To confirm something else"), without_link),
    ]


@email_samples("claim")
def claim_samples(about: Any) -> Sequence[Sample]:
    personal = {"first_name": FIRST_NAME, "phone": PHONE, "objection_url": page_url("events")}
    return [Sample(*USUAL, EmailContent({"hours": answer_hours()}, personal))]


@email_samples("claim_decided")
def claim_decided_samples(about: Any) -> Sequence[Sample]:
    labels = {
        ("granted", True): _("To the claimant: granted"),
        ("refused", True): _("To the claimant: refused"),
        ("undone", True): _("To the claimant: undone"),
        ("granted", False): _("To the holder: granted"),
        ("refused", False): _("To the holder: refused"),
        ("undone", False): _("To the holder: undone"),
    }
    personal = {"first_name": FIRST_NAME, "phone": PHONE}
    samples = []
    for (state, is_claimant), label in labels.items():
        side = "claimant" if is_claimant else "holder"
        context = {"state": state, "is_claimant": is_claimant, "promo_url": page_url("events")}
        samples.append(Sample(f"{side}-{state}", label, EmailContent(context, personal)))
    return samples
