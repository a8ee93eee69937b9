"""The emails of one guest on the guest's page, and sending them again."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from guests.models import NEWS_KINDS, Guest, list_message_causes, news_causes
from guests.requests.waiting_list import email_about
from notifications.admin import send_all_again
from notifications.bounces import OUR_REASONS, bounce_reason
from notifications.kinds import kind_label
from notifications.models import Email
from notifications.staff_words import email_problem, render_reports
from snap.admin import NameOrderList
from snap.admin_output import MAX_SHOWN, actor_names, render_time
from snap.mail_addresses import readable_address


class GuestEmails:
    """The emails about a guest's places and about changes of the event, and the welcome."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def emails(self) -> QuerySet[Email]:
        about_place = Q(cause__startswith=f"guest:{self.guest.pk}/")
        welcome = Q(kind="welcome", cause=f"account:{self.guest.account_id}")
        messages = Q(kind="list_message", cause__in=list_message_causes([self.guest]))
        news = Q(kind__in=NEWS_KINDS, cause__in=news_causes([self.guest]))
        return Email.objects.filter(about_place | welcome | messages | news).order_by("pk")

    def bounced(self) -> list[Email]:
        """Return the emails that the address of the account did not take, if it is the reason."""
        lost = [Email.State.BOUNCED, Email.State.DEAD]
        emails = self.emails().filter(state__in=lost, to=self.guest.account.email)
        return [email for email in emails if bounce_reason(email.error) not in OUR_REASONS]

    def rows(self) -> list[dict[str, Any]]:
        """Return what the page shows of each email, and who sent it again. Three queries."""
        emails = list(self.emails().prefetch_related("resends")[:MAX_SHOWN])
        names = actor_names(resend.actor for email in emails for resend in email.resends.all())
        rows: list[dict[str, Any]] = []
        for email in emails:
            resends = []
            for resend in email.resends.all():
                to = readable_address(resend.to)
                resends.append((render_time(resend.at), names[resend.actor], to))
            row = {"email": email, "kind": kind_label(email.kind), "resends": resends}
            reports = render_reports(email)
            rows.append(row | {"problem": email_problem(email), "reports": reports})
        return rows


class GuestList(NameOrderList):
    """A page of guests. One query tells what became of the email about the place of each."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        guests = list(self.result_list)
        wanted = {}
        for guest in guests:
            email = email_about(guest, guest.account)
            wanted[guest.pk] = (email.kind, email.cause)
        causes = [cause for _, cause in wanted.values()]
        kinds = {kind for kind, _ in wanted.values()}
        emails = Email.objects.filter(kind__in=kinds, cause__in=causes)
        found = {(email.kind, email.cause): email for email in emails}
        for guest in guests:
            guest.email_about_place = found.get(wanted[guest.pk])
        self.result_list = guests


def send_about_guests(request: HttpRequest, guests: Iterable[Guest]) -> None:
    """Send each guest the email about their place again. It is made if it was never queued."""
    chosen = []
    for guest in guests:
        email = email_about(guest, guest.account)
        chosen.append((email.kind, email.cause, email.to))
    send_all_again(request, chosen)


def send_email_of_guest(request: HttpRequest, guest: Guest, email_id: int) -> bool:
    """Send one of a guest's emails again. Return False if it is not one of them."""
    email = GuestEmails(guest).emails().filter(pk=email_id).first()
    if email is None:
        return False
    send_all_again(request, [(email.kind, email.cause, email.to)])
    return True
