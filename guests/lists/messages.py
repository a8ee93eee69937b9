"""Send a message of staff to the guests of a list: confirm, queue in batches, stop, resume.

Confirming stores one recipient for each guest, in one transaction. The sweeper then queues the
emails in batches. A batch is one transaction that also moves the message's cursor, so a process
that is killed at any instruction loses nothing and queues nothing twice. An email is unique by
message and account as well.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from guests.actor import acting_as
from guests.exceptions import GuestError
from guests.models import Event, Guest, ListMessage, ListMessageRecipient, StaffAction
from notifications.models import Email, Suppression
from notifications.services import EmailToQueue, queue_emails, requeue_emails

log = logging.getLogger(__name__)

KIND = "list_message"
# The error of an email that was cancelled because staff stopped its message.
STOPPED = "stopped"
# A list may grow by this share, and at least by this number of guests, between the moment at which
# staff see the number of recipients and the moment at which they confirm it.
GROWTH_SHARE, GROWTH = 0.1, 10


@dataclass(frozen=True)
class Audience:
    """How many guests a message is for. `unsubscribed` counts those with an address only."""

    guests: int
    without_email: int
    unsubscribed: int

    @property
    def reached(self) -> int:
        return self.guests - self.without_email - self.unsubscribed


# Whom a message is for --------------------------------------------------------------------------


def guests_for(message: ListMessage) -> QuerySet[Guest]:
    """Return the guests for whom a message is at present. Deactivated accounts get none."""
    guests = Guest.objects.filter(event=message.event_id, account__is_active=True)
    guests = guests.exclude(state=Guest.State.CANCELLED)
    if message.place:
        guests = guests.filter(state=message.place)
    if message.arrival == ListMessage.Arrival.ARRIVED:
        guests = guests.filter(checked_in_at__isnull=False)
    elif message.arrival == ListMessage.Arrival.NOT_ARRIVED:
        guests = guests.filter(checked_in_at=None)
    if message.promoter_id:
        guests = guests.filter(promoter=message.promoter_id)
    if message.team_id:
        guests = guests.filter(team=message.team_id)
    if message.origin:
        added = StaffAction.objects.filter(guest=OuterRef("pk"), kind=StaffAction.Kind.ADDED)
        is_by_hand = Exists(added)
        if message.origin == ListMessage.Origin.BY_HAND:
            return guests.filter(is_by_hand)
        return guests.filter(~is_by_hand)
    return guests


def is_still_for(message: ListMessage, guest: Guest) -> bool:
    """Return whether what may have changed since a message was confirmed still fits a guest."""
    if guest.state == Guest.State.CANCELLED:
        return False
    if message.place and guest.state != message.place:
        return False
    has_arrived = guest.checked_in_at is not None
    if message.arrival == ListMessage.Arrival.ARRIVED:
        return has_arrived
    if message.arrival == ListMessage.Arrival.NOT_ARRIVED:
        return not has_arrived
    return True


def audience_of(message: ListMessage) -> Audience:
    """Count the guests for whom a message is at present. One query."""
    stopped = Suppression.objects.active().values("recipient")
    has_no_email = Q(account__email="")
    counts = guests_for(message).aggregate(
        guests=Count("pk"),
        without_email=Count("pk", filter=has_no_email),
        unsubscribed=Count("pk", filter=~has_no_email & Q(account__email_key__in=stopped)),
    )
    return Audience(**counts)


def has_grown(seen: int, present: int) -> bool:
    """Return whether a list has grown so much that staff have to see its number again."""
    return present > seen + max(GROWTH, seen * GROWTH_SHARE)


# What staff do ----------------------------------------------------------------------------------


# One statement, so the recipients are those of one moment.
ADD_RECIPIENTS = """
INSERT INTO guests_listmessagerecipient (message_id, guest_id)
SELECT %s, guest.id FROM ({guests}) AS guest (id)
"""


def confirm_message(message: ListMessage, *, acting_user: User) -> int:
    """Fix the recipients of a draft, and begin to send it. Return how many there are.

    Raises GuestError: `message_sent` for a message that was confirmed before, `message_to_nobody`.
    Not for use inside a transaction.
    """
    with acting_as(acting_user):
        message = ListMessage.objects.select_for_update().get(pk=message.pk)
        if not message.is_draft:
            raise GuestError("message_sent")
        guests, values = guests_for(message).values("pk").query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(ADD_RECIPIENTS.format(guests=guests), [message.pk, *values])
            recipients: int = cursor.rowcount
        if not recipients:
            raise GuestError("message_to_nobody")
        message.state = ListMessage.State.SENDING
        message.author = acting_user
        message.confirmed_at, message.recipients = Now(), recipients
        message.save(update_fields=["state", "author", "confirmed_at", "recipients"])
    log.warning(
        "list_message_confirmed",
        extra={
            "message_id": message.pk,
            "event_id": message.event_id,
            "account_id": acting_user.pk,
            "recipients": recipients,
        },
    )
    return recipients


def stop_message(message: ListMessage, *, acting_user: User) -> bool:
    """Stop a message that is being sent. Emails that no worker has taken up are cancelled.

    Return False for a message in another state. An email whose fate is unknown is left alone.
    """
    if not _move(message, ListMessage.State.SENDING, ListMessage.State.STOPPED, acting_user):
        return False
    # In a transaction of its own. Should it not run, the builder of the emails drops them.
    waiting = emails_of(message).filter(state=Email.State.QUEUED, unsure_provider="")
    waiting.filter(leased_until=None).update(state=Email.State.CANCELLED, error=STOPPED)
    return True


def resume_message(message: ListMessage, *, acting_user: User) -> bool:
    """Go on with a message that was stopped. Return False for one in another state.

    Emails that were cancelled meanwhile are queued again. One that its person no longer wants is
    cancelled again when it is due.
    """
    if not _move(message, ListMessage.State.STOPPED, ListMessage.State.SENDING, acting_user):
        return False
    requeue_emails(emails_of(message).filter(state=Email.State.CANCELLED, error__in=["", STOPPED]))
    return True


def _move(message: ListMessage, from_state: str, to_state: str, acting_user: User) -> bool:
    """Change the state of a message. A batch that is being queued ends before that."""
    with acting_as(acting_user):
        rows = ListMessage.objects.filter(pk=message.pk, state=from_state)
        return bool(rows.update(state=to_state))


def emails_of(message: ListMessage) -> QuerySet[Email]:
    """Return the emails of a message that are queued or were."""
    recipients = ListMessageRecipient.objects.filter(message=message, email__isnull=False)
    return Email.objects.filter(kind=KIND, pk__in=recipients.values("email"))


def counts_of(message: ListMessage) -> dict[str, int]:
    """Return how many emails of a message are in each state. One query."""
    recipients = ListMessageRecipient.objects.filter(message=message, email__isnull=False)
    counted = recipients.order_by().values_list("email__state").annotate(size=Count("pk"))
    return dict(counted)


# Queueing ---------------------------------------------------------------------------------------


def cause_of(message_id: int, account_id: int) -> str:
    return f"{KIND}:{message_id}/{account_id}"


def queue_messages(must_stop: Callable[[], bool]) -> None:
    """Queue the emails of all messages that are being sent, a batch of each in turn.

    No more are queued while LIST_MESSAGE_WAITING of them wait to be sent.
    """
    is_busy = True
    while is_busy:
        is_busy = False
        waiting = Email.objects.filter(kind=KIND, state=Email.State.QUEUED)
        if waiting.count() >= settings.LIST_MESSAGE_WAITING:
            return
        sending = ListMessage.objects.filter(state=ListMessage.State.SENDING).order_by("pk")
        for message_id in sending.values_list("pk", flat=True):
            if must_stop():
                return
            is_busy = bool(queue_batch(message_id)) or is_busy


@transaction.atomic
def queue_batch(message_id: int) -> int:
    """Queue the emails of the next recipients of a message. Return how many recipients these were.

    0 while another process does so, for a message that was stopped, and at its end. A message is
    done when all its emails are queued and none waits to be sent.
    """
    rows = ListMessage.objects.select_for_update(skip_locked=True)
    message = rows.filter(pk=message_id, state=ListMessage.State.SENDING).first()
    if message is None:
        return 0
    following = ListMessageRecipient.objects.filter(
        message=message, guest__gt=message.last_guest
    ).order_by("guest_id")
    batch = list(following.select_related("guest__account")[: settings.LIST_MESSAGE_BATCH])
    if not batch:
        _finish(message)
        return 0
    emails = []
    for recipient in batch:
        account = recipient.guest.account
        if account.email:
            emails.append(_email(message, account))
    queue_emails(emails)
    _link_emails(message, [recipient.pk for recipient in batch])
    message.last_guest = batch[-1].guest_id
    message.queued += len(emails)
    message.without_email += len(batch) - len(emails)
    message.save(update_fields=["last_guest", "queued", "without_email"])
    log.info("list_message_queued", extra={"message_id": message.pk, "emails": len(emails)})
    return len(batch)


def _email(message: ListMessage, account: User) -> EmailToQueue:
    return EmailToQueue(
        kind=KIND,
        cause=cause_of(message.pk, account.pk),
        to=account.email,
        language=message.language_for(account.language),
    )


# Each recipient gets the id of their email, by which the progress of a message is counted.
LINK_EMAILS = """
UPDATE guests_listmessagerecipient AS recipient SET email_id = email.id
FROM guests_guest AS guest, notifications_email AS email
WHERE recipient.id = ANY(%s) AND guest.id = recipient.guest_id
AND email.kind = %s AND email.cause = %s || guest.account_id
"""


def _link_emails(message: ListMessage, recipient_ids: Iterable[int]) -> None:
    prefix = f"{KIND}:{message.pk}/"
    with connection.cursor() as cursor:
        cursor.execute(LINK_EMAILS, [list(recipient_ids), KIND, prefix])


def _finish(message: ListMessage) -> None:
    """Mark a message as done when none of its emails waits to be sent."""
    if emails_of(message).filter(state=Email.State.QUEUED).exists():
        return
    ListMessage.objects.filter(pk=message.pk).update(
        state=ListMessage.State.DONE, finished_at=Now()
    )
    log.info("list_message_done", extra={"message_id": message.pk})


def messages_of(event: Event) -> QuerySet[ListMessage]:
    """Return the messages of an event that were confirmed, the latest first."""
    confirmed = ListMessage.objects.filter(event=event).exclude(state=ListMessage.State.DRAFT)
    return confirmed.select_related("author", "promoter", "team").order_by(F("confirmed_at").desc())
