"""The content of emails about accounts, read from the database when they are sent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from accounts.email_links import signature_for, signature_for_code
from accounts.mailboxes import masked_email
from accounts.models import Claim, EmailChange, LoginCode, User
from accounts.phones import masked_phone
from notifications.causes import Recipient, Subject, register_causes
from notifications.kinds import EmailContent, email_kind
from snap.pages import page_url

Row = TypeVar("Row", bound=Model)


@email_kind("welcome", _("Welcome"))
def welcome(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Greet new accounts. The link proves the email. One query."""
    context = {"promo_url": page_url("events")}
    contents = {}
    for cause, account in _rows_of(causes, User.objects.all()).items():
        personal = {"first_name": account.first_name, "proof_url": _proof_url(account)}
        contents[cause] = EmailContent(context, personal, only_to=account.email)
    return contents


@email_kind("email_changed", _("The email of the account was changed"))
def email_changed(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Tell the new emails of accounts, or the proven ones from before, that they were changed.

    A cause is `email_change:<id>/<new or old>`. The link proves the new email. One query.
    """
    promo_url = page_url("events")
    new: dict[str, Any] = {"is_new": True, "promo_url": promo_url}
    old: dict[str, Any] = {"is_new": False, "promo_url": promo_url}
    changes = _rows_of(causes, EmailChange.objects.select_related("account"))
    contents = {}
    for cause, change in changes.items():
        account = change.account
        personal = {"first_name": account.first_name, "phone": masked_phone(account.phone or "")}
        if cause.endswith("/old"):
            personal["email"] = masked_email(change.to_email)
            contents[cause] = EmailContent(old, personal)
        elif account.email == change.to_email:
            personal["proof_url"] = _proof_url(account)
            contents[cause] = EmailContent(new, personal, only_to=account.email)
    return contents


def _proof_url(account: User) -> str:
    """Return the link that proves an account's email."""
    query = urlencode({"proof": signature_for(account, "welcome")})
    return f"{page_url('welcome_link', account.pk)}?{query}"


@email_kind(
    "login_code",
    _("Sign-in code"),
    is_code=True,
    when_off=_(
        "Nobody can sign in with a code by email: the page says that we send no codes now. Codes by"
        " SMS still go out."
    ),
)
def login_code(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the codes that can still be used. One query."""
    minutes = settings.LOGIN_CODE_AGE // 60
    contexts = [{"minutes": minutes, "has_link": has_link} for has_link in (False, True)]
    codes = _rows_of(causes, LoginCode.objects.usable().select_related("account"))
    contents = {}
    for cause, code in codes.items():
        personal = {
            "first_name": code.account.first_name,
            "code": code.digits(),
            "link_url": _sign_in_url(code),
        }
        contents[cause] = EmailContent(contexts[bool(code.page)], personal)
    return contents


def _sign_in_url(code: LoginCode) -> str:
    """Return the link that signs in without typing the code, in the browser that asked for it."""
    query = urlencode({"proof": signature_for_code(code)})
    return f"{page_url('sign_in_link', code.pk)}?{query}"


@email_kind("claim", _("Somebody claims the phone"))
def claim(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Tell the holders of accounts that another person claims their phone. One query."""
    context = {"hours": answer_hours()}
    undecided = _rows_of(causes, Claim.objects.undecided().select_related("account"))
    contents = {}
    for cause, made in undecided.items():
        account = made.account
        query = urlencode({"proof": signature_for(account, f"claim:{made.pk}")})
        personal = {
            "first_name": account.first_name,
            "phone": masked_phone(account.phone or ""),
            "objection_url": f"{page_url('claim_link', made.pk)}?{query}",
        }
        contents[cause] = EmailContent(context, personal, only_to=account.email)
    return contents


@email_kind("claim_decided", _("Decision about a claim"))
def claim_decided(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Tell claimants, or the former holders of accounts, how claims were decided. One query.

    A cause is `claim:<id>/<state>/<claimant or holder>`.
    """
    promo_url = page_url("events")
    contents = {}
    for cause, made in _rows_of(causes, Claim.objects.select_related("account")).items():
        _id, _slash, decision = cause.partition("/")
        state, _slash, side = decision.partition("/")
        if made.state != state:
            continue
        context = {"state": state, "is_claimant": side == "claimant", "promo_url": promo_url}
        personal = {
            "first_name": _first_name(made, side),
            "phone": masked_phone(made.account.phone or ""),
        }
        contents[cause] = EmailContent(context, personal)
    return contents


def _first_name(made: Claim, side: str) -> str:
    if side == "claimant":
        return made.first_name
    if made.state == Claim.State.GRANTED and made.taken:
        return str(made.taken["first_name"])
    return made.account.first_name


def _rows_of(causes: Sequence[str], rows: QuerySet[Row]) -> dict[str, Row]:
    """Return the row of each cause, without causes whose row is not there. One query."""
    ids = {cause: _id_in(cause) for cause in causes}
    found = rows.in_bulk(set(ids.values()))
    return {cause: found[number] for cause, number in ids.items() if number in found}


def answer_hours() -> int:
    """Return the hours in which the holder of an account can answer a claim, at least 1."""
    hours: float = settings.CLAIM_ANSWER_SECONDS / 3600
    return max(1, round(hours))


# Causes, for staff --------------------------------------------------------------------------------

RESEND_REFUSALS = {
    "gone": _("what it is about is no longer there"),
    "inactive": _("the account is not active"),
}


def recipient_of(account: User | None) -> Recipient:
    """Return an account as the recipient of an email that staff send again."""
    if account is None:
        return Recipient(refusal="gone")
    if not account.is_active:
        return Recipient(account.email, account.language, "inactive")
    return Recipient(account.email, account.language)


def _welcome_recipient(kind: str, cause: str) -> Recipient:
    return recipient_of(User.objects.filter(pk=_id_in(cause)).first())


def _code_recipient(kind: str, cause: str) -> Recipient:
    return recipient_of(User.objects.filter(login_codes=_id_in(cause)).first())


def _claim_recipient(kind: str, cause: str) -> Recipient | None:
    """The holder gets the news of a claim. A decision goes to the address that it went to."""
    if kind != "claim":
        return None
    return recipient_of(User.objects.filter(claims=_id_in(cause)).first())


def _change_recipient(kind: str, cause: str) -> Recipient | None:
    """The new address gets it as the account has it now. The old one gets it where it went."""
    if not cause.endswith("/new"):
        return None
    return recipient_of(User.objects.filter(email_changes=_id_in(cause)).first())


def _describe_accounts(causes: Iterable[str]) -> Mapping[str, Subject]:
    by_id = {_id_in(cause): cause for cause in causes}
    subjects = {}
    for account in User.objects.filter(pk__in=by_id):
        subjects[by_id[account.pk]] = Subject(str(account), "accounts_user_change", account.pk)
    return subjects


def _describe_codes(causes: Iterable[str]) -> Mapping[str, Subject]:
    by_id = {_id_in(cause): cause for cause in causes}
    subjects = {}
    for code in LoginCode.objects.filter(pk__in=by_id).select_related("account"):
        account = code.account
        subjects[by_id[code.pk]] = Subject(str(account), "accounts_user_change", account.pk)
    return subjects


def _describe_changes(causes: Iterable[str]) -> Mapping[str, Subject]:
    given = list(causes)
    ids = {_id_in(cause) for cause in given}
    changes = EmailChange.objects.select_related("account").in_bulk(ids)
    subjects = {}
    for cause in given:
        if change := changes.get(_id_in(cause)):
            account = change.account
            subjects[cause] = Subject(str(account), "accounts_user_change", account.pk)
    return subjects


def _describe_claims(causes: Iterable[str]) -> Mapping[str, Subject]:
    given = list(causes)
    made = Claim.objects.in_bulk({_id_in(cause) for cause in given})
    subjects = {}
    for cause in given:
        if claim := made.get(_id_in(cause)):
            subjects[cause] = Subject(str(claim), "accounts_claim_change", claim.pk)
    return subjects


def _id_in(cause: str) -> int:
    """Return the id in a cause `<word>:<id>` or `<word>:<id>/…`, 0 if there is none."""
    number = cause.partition(":")[2].partition("/")[0]
    if not number.isdecimal():
        return 0
    return int(number)


for _prefix, _find, _describe in (
    ("account", _welcome_recipient, _describe_accounts),
    ("login_code", _code_recipient, _describe_codes),
    ("claim", _claim_recipient, _describe_claims),
    ("email_change", _change_recipient, _describe_changes),
):
    register_causes(_prefix, find_recipient=_find, describe=_describe, refusals=RESEND_REFUSALS)
