"""The emails of messages to lists: their contents, whom they reach at present, and their tests.

A cause is `list_message:<message>/<account>`. A test, which a staff member sends to themselves, has
the cause `list_message:<message>/<account>/test-<random>`.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone, translation
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from accounts.emails import recipient_of
from accounts.models import User
from accounts.services import is_blocked
from guests.event_values import event_values
from guests.lists.messages import KIND, cause_of, is_still_for
from guests.models import Guest, ListMessage
from notifications.causes import Recipient, Subject, register_causes
from notifications.kinds import EmailContent, email_kind
from notifications.messages import make_message
from notifications.models import Email
from notifications.services import queue_email

# The recipient of an email that is only looked at.
PREVIEW_ADDRESS = "preview@example.com"
RESEND_REFUSALS = {
    "message_stopped": _("the message was stopped"),
    "message_not_for": _("the message is no longer for this guest"),
    "message_blocked": _("the phone is blocked"),
}


@dataclass(frozen=True)
class MessageCause:
    message_id: int
    account_id: int
    is_test: bool

    @classmethod
    def parse(cls, cause: str) -> "MessageCause":
        """Return the parts of a cause. 0 for what is no number."""
        parts = [*cause.partition(":")[2].split("/"), "", ""]
        numbers = [int(part) if part.isdecimal() else 0 for part in parts[:2]]
        return cls(numbers[0], numbers[1], parts[2].startswith("test-"))


@email_kind(KIND, _("Message to a list"), is_bulk=True)
def list_message(causes: Sequence[str]) -> Mapping[str, EmailContent]:
    """Return the texts of messages, for the guests for whom they still are. Three queries."""
    parsed = {cause: MessageCause.parse(cause) for cause in causes}
    messages = _messages(parsed.values())
    accounts = User.objects.in_bulk({each.account_id for each in parsed.values()})
    guests = _guests(messages.values(), accounts)
    contexts: dict[tuple[int, bool], dict[str, Any]] = {}
    contents = {}
    for cause, each in parsed.items():
        message, account = messages.get(each.message_id), accounts.get(each.account_id)
        if message is None or account is None or not account.is_active:
            continue
        guest = guests.get((message.event_id, account.pk))
        if not each.is_test and not _is_wanted(message, guest):
            continue
        key = (message.pk, each.is_test)
        if key not in contexts:
            contexts[key] = message_context(message, is_test=each.is_test)
        contents[cause] = EmailContent(contexts[key], {"first_name": account.first_name})
    return contents


def _messages(parsed: Iterable[MessageCause]) -> dict[int, ListMessage]:
    ids = {each.message_id for each in parsed}
    return ListMessage.objects.select_related("event").in_bulk(ids)


def _guests(
    messages: Iterable[ListMessage], accounts: Iterable[int]
) -> dict[tuple[int, int], Guest]:
    """Return the guests of some accounts at the events of messages, by event and account."""
    events = {message.event_id for message in messages}
    guests = Guest.objects.filter(event__in=events, account__in=list(accounts))
    return {(guest.event_id, guest.account_id): guest for guest in guests}


def _is_wanted(message: ListMessage, guest: Guest | None) -> bool:
    if guest is None or message.state in {ListMessage.State.DRAFT, ListMessage.State.STOPPED}:
        return False
    return is_still_for(message, guest)


def message_context(message: ListMessage, *, is_test: bool) -> dict[str, Any]:
    """Return the context of a message's emails, in the active language."""
    subject, text = message.texts_in(get_language() or "")
    if is_test:
        subject = gettext("Test: %(subject)s") % {"subject": subject}
    return {
        **event_values(message.event),
        "subject": subject,
        "paragraphs": tuple(text.split("\n\n")),
    }


def preview_html(message: ListMessage, staff: User, language: str) -> str:
    """Return the HTML of a message's email in a language, with the first name of a staff member."""
    email = Email(pk=0, kind=KIND, to=PREVIEW_ADDRESS, language=language, queued_at=timezone.now())
    with translation.override(language):
        context = message_context(message, is_test=False)
        content = EmailContent(context, {"first_name": staff.first_name})
        html = make_message(email, content).alternatives[0][0]
    return str(html).replace("<head>", '<head><base target="_blank">', 1)


def send_tests(message: ListMessage, staff: User) -> int:
    """Queue a message as an email to a staff member, in each of its languages. Return how many."""
    languages = message.languages()
    for language in languages:
        cause = f"{cause_of(message.pk, staff.pk)}/test-{secrets.token_hex(4)}"
        queue_email(KIND, cause, to=staff.email, language=language)
    return len(languages)


# Causes, for staff --------------------------------------------------------------------------------


def _find_recipient(kind: str, cause: str) -> Recipient:
    """Return the account, and why staff cannot send it this message again, if so."""
    each = MessageCause.parse(cause)
    account = User.objects.filter(pk=each.account_id).first()
    recipient = recipient_of(account)
    if recipient.refusal or account is None or each.is_test:
        return recipient
    message = _messages([each]).get(each.message_id)
    if message is None:
        return recipient_of(None)
    refusal = _refusal(message, account)
    return Recipient(recipient.to, message.language_for(recipient.language), refusal)


def _refusal(message: ListMessage, account: User) -> str:
    if account.phone and is_blocked(account.phone):
        return "message_blocked"
    if message.state == ListMessage.State.STOPPED:
        return "message_stopped"
    guest = Guest.objects.filter(event=message.event_id, account=account).first()
    if not _is_wanted(message, guest):
        return "message_not_for"
    return ""


def _describe(causes: Iterable[str]) -> Mapping[str, Subject]:
    """Describe each by its guest. A test is about the message."""
    parsed = {cause: MessageCause.parse(cause) for cause in causes}
    messages = _messages(parsed.values())
    guests = _guests(messages.values(), {each.account_id for each in parsed.values()})
    subjects = {}
    for cause, each in parsed.items():
        message = messages.get(each.message_id)
        if message is None:
            continue
        guest = guests.get((message.event_id, each.account_id))
        if each.is_test or guest is None:
            subjects[cause] = Subject(str(message), "guests_listmessage_change", message.pk)
        else:
            text = f"{guest.name} · {message.event.title}"
            subjects[cause] = Subject(text, "guests_guest_change", guest.pk)
    return subjects


register_causes(
    "list_message",
    find_recipient=_find_recipient,
    describe=_describe,
    refusals=RESEND_REFUSALS,
)
