"""Mailboxes that get no bulk emails, because their person has unsubscribed or has complained.

Other emails, such as tickets and codes, still go to them.
"""

import logging
from collections.abc import Iterable

from django.db import transaction

from notifications.kinds import bulk_kinds
from notifications.models import Email, Suppression, SuppressionChange
from notifications.recipients import recipient_key

log = logging.getLogger(__name__)

# The error of an email that was cancelled because its mailbox gets no bulk emails.
UNSUBSCRIBED = "unsubscribed"

What = SuppressionChange.What


class UnsubscribedError(Exception):
    """A bulk email is not sent, because its mailbox gets none."""


def suppress(
    recipient: str, reason: str, email: Email | None = None, *, actor: str = "", note: str = ""
) -> bool:
    """Stop bulk emails to the mailbox of an address. Return whether that changed something.

    `reason` is a value of Suppression.Reason. `email` is the email that the person answered so.
    `actor` is `account:<id>` when staff do it. A complaint stays the reason when an unsubscription
    follows, and a complaint about one email counts once.
    """
    key = recipient_key(recipient)
    if not key:
        return False
    with transaction.atomic():
        suppression, is_new = Suppression.objects.select_for_update().get_or_create(
            recipient=key, defaults={"reason": reason, "email": email}
        )
        if not is_new and not _is_news(suppression, reason, email):
            return False
        suppression.reason, suppression.email, suppression.lifted_at = reason, email, None
        suppression.save(update_fields=["reason", "email", "lifted_at"])
        suppression.changes.create(what=reason, email=email, actor=actor, note=note)
    log.info("bulk_emails_stopped", extra={"reason": reason, "email_id": _id_of(email)})
    return True


def _is_news(suppression: Suppression, reason: str, email: Email | None) -> bool:
    is_complaint = reason == Suppression.Reason.COMPLAINED
    if is_complaint and email is not None:
        # A provider may report a complaint again, after the person has taken it back.
        return not suppression.changes.filter(what=reason, email=email).exists()
    if suppression.lifted_at is not None:
        return True
    return is_complaint and suppression.reason != reason


def allow_bulk_emails(
    recipient: str, email: Email | None = None, *, actor: str = "", note: str = ""
) -> bool:
    """Let bulk emails go to a mailbox again. Return whether that changed something."""
    with transaction.atomic():
        suppression = (
            Suppression.objects.active()
            .select_for_update()
            .filter(recipient=recipient_key(recipient))
            .first()
        )
        if suppression is None:
            return False
        suppression.lift()
        suppression.changes.create(what=What.LIFTED, email=email, actor=actor, note=note)
    log.info("bulk_emails_allowed", extra={"email_id": _id_of(email)})
    return True


def is_suppressed(recipient: str) -> bool:
    """Return whether the mailbox of an address gets no bulk emails. One query."""
    return bool(suppressed_keys([recipient_key(recipient)]))


def suppressed_keys(keys: Iterable[str]) -> set[str]:
    """Return those of some mailboxes' keys (`recipient_key`) that get no bulk emails."""
    active = Suppression.objects.active().filter(recipient__in=set(keys))
    return set(active.values_list("recipient", flat=True))


def suppressed_emails(emails: Iterable[Email]) -> set[int]:
    """Return the ids of the bulk emails in a batch whose mailbox gets none.

    One query for the batch, none when no email of it is of a bulk kind.
    """
    kinds = set(bulk_kinds())
    keys = {email.pk: recipient_key(email.to) for email in emails if email.kind in kinds}
    if not keys:
        return set()
    suppressed = suppressed_keys(keys.values())
    return {pk for pk, key in keys.items() if key in suppressed}


def _id_of(email: Email | None) -> int | None:
    if email is None:
        return None
    return email.pk
