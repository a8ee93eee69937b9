"""The content of emails about accounts, read from the database when they are sent."""

from typing import Any

from django.conf import settings
from django.utils.http import urlencode

from accounts.email_links import signature_for
from accounts.mailboxes import masked_email
from accounts.models import Claim, EmailChange, LoginCode, User
from accounts.phones import masked_phone
from notifications.kinds import EmailContent, email_kind
from snap.pages import page_url


@email_kind("welcome")
def welcome(cause: str) -> EmailContent | None:
    account = User.objects.filter(pk=cause.removeprefix("account:")).first()
    if account is None:
        return None
    query = urlencode({"proof": signature_for(account, "welcome")})
    return EmailContent(
        {
            "first_name": account.first_name,
            "proof_url": f"{page_url('welcome_link', account.pk)}?{query}",
            "promo_url": page_url("events"),
        },
        only_to=account.email,
    )


@email_kind("email_changed")
def email_changed(cause: str) -> EmailContent | None:
    """Tell the new email of an account, or the proven one from before, that it was changed.

    The cause is `email_change:<id>/<new or old>`. The link proves the new email.
    """
    change_id, side = cause.removeprefix("email_change:").split("/")
    change = EmailChange.objects.filter(pk=change_id).select_related("account").first()
    if change is None:
        return None
    account = change.account
    context: dict[str, Any] = {
        "first_name": account.first_name,
        "phone": masked_phone(account.phone or ""),
        "is_new": side == "new",
        "promo_url": page_url("events"),
    }
    if side == "old":
        context["email"] = masked_email(change.to_email)
        return EmailContent(context)
    if account.email != change.to_email:
        return None
    query = urlencode({"proof": signature_for(account, "welcome")})
    context["proof_url"] = f"{page_url('welcome_link', account.pk)}?{query}"
    return EmailContent(context, only_to=account.email)


@email_kind("login_code")
def login_code(cause: str) -> EmailContent | None:
    codes = LoginCode.objects.usable().select_related("account")
    code = codes.filter(pk=cause.removeprefix("login_code:")).first()
    if code is None:
        return None
    return EmailContent(
        {
            "first_name": code.account.first_name,
            "code": code.digits(),
            "minutes": settings.LOGIN_CODE_AGE // 60,
        }
    )


@email_kind("claim")
def claim(cause: str) -> EmailContent | None:
    """Tell the holder of an account that another person claims its phone."""
    undecided = Claim.objects.undecided().select_related("account")
    made = undecided.filter(pk=cause.removeprefix("claim:")).first()
    if made is None:
        return None
    account = made.account
    query = urlencode({"proof": signature_for(account, f"claim:{made.pk}")})
    return EmailContent(
        {
            "first_name": account.first_name,
            "phone": masked_phone(account.phone or ""),
            "hours": answer_hours(),
            "objection_url": f"{page_url('claim_link', made.pk)}?{query}",
        },
        only_to=account.email,
    )


@email_kind("claim_decided")
def claim_decided(cause: str) -> EmailContent | None:
    """Tell the claimant, or the former holder of the account, how a claim was decided.

    The cause is `claim:<id>/<state>/<claimant or holder>`.
    """
    claim_id, state, side = cause.removeprefix("claim:").split("/")
    made = Claim.objects.filter(pk=claim_id, state=state).select_related("account").first()
    if made is None:
        return None
    context: dict[str, Any] = {
        "first_name": _first_name(made, side),
        "phone": masked_phone(made.account.phone or ""),
        "state": state,
        "is_claimant": side == "claimant",
        "promo_url": page_url("events"),
    }
    return EmailContent(context)


def _first_name(made: Claim, side: str) -> str:
    if side == "claimant":
        return made.first_name
    if made.state == Claim.State.GRANTED and made.taken:
        return str(made.taken["first_name"])
    return made.account.first_name


def answer_hours() -> int:
    """Return the hours in which the holder of an account can answer a claim, at least 1."""
    hours: float = settings.CLAIM_ANSWER_SECONDS / 3600
    return max(1, round(hours))
