"""What staff read about an email: what went wrong with it, and when its provider reported what."""

from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from notifications.bounces import DEFERRED, BounceReason, bounce_reason, code_in
from notifications.kinds import is_late, is_paused, kind_label
from notifications.models import Email
from notifications.services import TOO_MANY_FOR_RECIPIENT
from notifications.suppressions import UNSUBSCRIBED
from snap.admin_output import EMPTY, error_in_words, link_to, render_lines, render_time

# Why an email did not arrive.
BOUNCES = {
    BounceReason.INVALID: _("The address does not exist."),
    BounceReason.FULL: _("The mailbox is full."),
    BounceReason.BLOCKED: _("The mail server of the address blocks our emails."),
    BounceReason.SPAM: _("The mail server of the address takes it for spam."),
    BounceReason.TIMED_OUT: _("The mail server of the address did not respond."),
    BounceReason.UNSUBSCRIBED: _("This person does not want our emails."),
    BounceReason.AUTHENTICATION: _(
        "The mail server does not believe that it is from us (SPF, DKIM, DMARC). The address is"
        " right: this is ours to mend, and then the email can be sent again."
    ),
    BounceReason.OURS: _(
        "The mail provider did not send it for us. The address is right: look into the account at"
        " the provider."
    ),
    BounceReason.OTHER: _("The mail server refused it."),
}
# Where the reason lies, for a filter.
REASON_GROUPS = {
    "address": (_("the address"), (BounceReason.INVALID, BounceReason.FULL)),
    "server": (
        _("its mail server"),
        (BounceReason.BLOCKED, BounceReason.SPAM, BounceReason.TIMED_OUT, BounceReason.OTHER),
    ),
    "person": (_("its person"), (BounceReason.UNSUBSCRIBED,)),
    "ours": (_("ours to mend"), (BounceReason.AUTHENTICATION, BounceReason.OURS)),
}
# The emails on the page of an account.
LAST_EMAILS = 10
PAUSED = gettext_noop("This kind of email is turned off by a switch: it waits.")
# What a report tells, by the column with its time.
REPORTED = {
    "delivered_at": _("delivered"),
    "opened_at": _("opened"),
    "bounced_at": _("bounced"),
    "complained_at": _("marked as spam"),
}


def warn_if_paused(request: HttpRequest, kinds: Iterable[str]) -> None:
    """Tell staff that what they send waits, if it is of a kind that is turned off."""
    if any(map(is_paused, kinds)):
        messages.warning(request, gettext(PAUSED))


def email_problem(email: Email) -> str:
    """Return what went wrong with an email, in words, "" when nothing did."""
    if email.state == Email.State.QUEUED and is_paused(email.kind):
        return gettext(PAUSED)
    if email.state == Email.State.QUEUED and not email.error and is_late(email.kind):
        return gettext("Emergency mode postpones it.")
    if not email.error:
        return ""
    if email.error == UNSUBSCRIBED and email.state == Email.State.CANCELLED:
        return gettext("This address gets no reminders and no messages to lists.")
    if email.error == TOO_MANY_FOR_RECIPIENT:
        return gettext("Too many emails to this address in an hour.")
    if email.state == Email.State.BOUNCED:
        text = str(BOUNCES[bounce_reason(email.error)])
        return f"{text} {code_in(email.error)}".strip()
    if email.error.startswith(DEFERRED):
        text = gettext("The mail server of the address makes the provider wait.")
        return f"{text} {code_in(email.error)}".strip()
    return error_in_words(email.error)


def render_reports(email: Email, *, with_sent: bool = False) -> SafeString | str:
    """Return what the provider has reported of an email, with the times, one in each line.

    `with_sent` puts the time of sending before that.
    """
    words = {"sent_at": _("sent"), **REPORTED} if with_sent else REPORTED
    rows = []
    for column, word in words.items():
        if at := getattr(email, column):
            rows.append((word, render_time(at)))
    return render_lines("{} {}", rows) or EMPTY


def render_delivery(email: Email | None) -> SafeString | str:
    """Return an email's state and the time of it, and its problem, for the row of a guest."""
    if email is None:
        return EMPTY
    at = getattr(email, f"{email.state}_at", None)
    text = str(email.get_state_display())
    if at:
        time = date_format(timezone.localtime(at), "j M, H:i")
        text = f"{text} {time}"
    problem = email_problem(email)
    if not problem:
        return text
    return format_html('{}<br><span class="staff-problem">{}</span>', text, problem)


def render_last_emails(address: str) -> SafeString | str:
    """Return the last emails to an address as links to their pages. One query."""
    if not address:
        return EMPTY
    rows = []
    for email in Email.objects.filter(to=address).order_by("-pk")[:LAST_EMAILS]:
        link = link_to("notifications_email_change", kind_label(email.kind), pk=email.pk)
        rows.append((link, render_delivery(email)))
    return render_lines("{} · {}", rows) or EMPTY
