"""Send an email again, when staff ask for it: any kind, in any state, to the present address."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from notifications.causes import Recipient, present_recipient, refusal_text
from notifications.kinds import build_content, bulk_kinds, known_kinds
from notifications.models import Email, EmailResend
from notifications.recipients import RECIPIENT_WINDOW, recipient_key
from notifications.services import (
    REQUEUEABLE_STATES,
    UNSENT,
    wake_codes_worker,
    wake_emails_worker,
)
from notifications.suppressions import UNSUBSCRIBED, is_suppressed

log = logging.getLogger(__name__)

# The same email goes to the same address once in this time, so that a double click sends one.
RESEND_PAUSE = timedelta(minutes=1)

# The first key of the advisory locks under which the resends of a recipient are counted.
RECIPIENT_LOCK = 0x534E4152

# Why an email is not sent again, by code. The apps register the reasons that their causes have.
REFUSALS: dict[str, Promise] = {
    "no_email": _("there is no email address"),
    "not_wanted": _("there is nothing to tell any more"),
    "unknown_kind": _("this release of SNAP does not know this kind of email"),
    "unsubscribed": _("this address gets no reminders and no messages to lists"),
    "on_its_way": _("it is on its way to this address already"),
    "just_sent": _("it was sent to this address less than a minute ago"),
    "too_many": _("this address was sent too many emails again in the last hour"),
}


@dataclass(frozen=True)
class Resend:
    """What became of one email that staff sent again. `refusal` is the code of a reason, or ""."""

    kind: str
    cause: str
    to: str = ""
    refusal: str = ""

    @property
    def reason(self) -> str:
        if text := REFUSALS.get(self.refusal):
            return str(text)
        return refusal_text(self.refusal)


def resend_email(kind: str, cause: str, *, actor: str, to: str = "") -> Resend:
    """Queue an email again, for the address that its person has now. Return what became of it.

    An email that was never queued is made. `to` is the address of an email whose cause does not
    name a person. `actor` is `account:<id>` of the staff member. Not for use inside a transaction.
    """
    if kind not in known_kinds():
        # A later release has queued it.
        return Resend(kind, cause, to, "unknown_kind")
    recipient = present_recipient(kind, cause) or Recipient(to=to)
    refusal = recipient.refusal or _content_refusal(kind, cause, recipient.to)
    if not refusal:
        refusal = _queue_again(kind, cause, recipient, actor)
    resend = Resend(kind, cause, recipient.to, refusal)
    log.info("email_resent", extra={"kind": kind, "cause": cause, "code": refusal or "queued"})
    return resend


def _content_refusal(kind: str, cause: str, to: str) -> str:
    """Return why an email would be cancelled instead of sent, "" if it would be sent."""
    if not to:
        return "no_email"
    if kind in bulk_kinds() and is_suppressed(to):
        return UNSUBSCRIBED
    # Storage may be away for a moment: the worker tries to read the image again.
    with suppress(OSError):
        content = build_content(kind, cause)
        if content is None or content.only_to not in {"", to}:
            return "not_wanted"
    return ""


@transaction.atomic
def _queue_again(kind: str, cause: str, recipient: Recipient, actor: str) -> str:
    """Queue the email under its row's lock. Return the code of a refusal, or ""."""
    key = recipient_key(recipient.to)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [RECIPIENT_LOCK, key])
    email, is_new = Email.objects.get_or_create(
        kind=kind,
        cause=cause,
        defaults={"to": recipient.to, "language": recipient.language or settings.LANGUAGE_CODE},
    )
    email = Email.objects.select_for_update().get(pk=email.pk)
    if refusal := _limit_refusal(email, recipient.to, key, is_new=is_new):
        transaction.set_rollback(True)
        return refusal
    EmailResend.objects.create(
        email=email,
        actor=actor,
        to=recipient.to,
        recipient=key,
        from_state="" if is_new else email.state,
        from_to="" if is_new else email.to,
    )
    Email.objects.filter(pk=email.pk).update(
        to=recipient.to,
        language=recipient.language or email.language,
        state=Email.State.QUEUED,
        attempts=0,
        queued_at=Now(),
        next_attempt_at=Now(),
        leased_until=None,
        **UNSENT,
    )
    transaction.on_commit(wake_codes_worker if email.fast else wake_emails_worker, robust=True)
    return ""


def _limit_refusal(email: Email, to: str, key: str, *, is_new: bool) -> str:
    """Return the code of the limit that an email has reached, or "". The row is locked."""
    is_same = not is_new and email.to == to
    # An email whose response was lost may not be on its way: staff say that it is sent again.
    if is_same and email.state == Email.State.QUEUED and not email.unsure_provider:
        return "on_its_way"
    resends = EmailResend.objects.filter(email=email, to=to, at__gt=Now() - RESEND_PAUSE)
    lately = Email.objects.filter(pk=email.pk, queued_at__gt=Now() - RESEND_PAUSE)
    has_left = is_same and email.state not in REQUEUEABLE_STATES
    if resends.exists() or (has_left and lately.exists()):
        return "just_sent"
    last_hour = EmailResend.objects.filter(recipient=key, at__gt=Now() - RECIPIENT_WINDOW)
    if last_hour.count() >= settings.RESENDS_PER_RECIPIENT:
        return "too_many"
    return ""
