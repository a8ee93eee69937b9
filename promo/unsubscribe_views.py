"""The page with which a person stops reminders and messages to lists, and allows them again."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.mailboxes import masked_email
from notifications.models import Suppression
from notifications.suppressions import allow_bulk_emails, is_suppressed, suppress
from notifications.unsubscribing import Subscriber, find_subscriber
from snap.limits.policy import unlimited
from snap.resilience.database import guarded_database

# The form field of the page's buttons. Mail programs send `List-Unsubscribe=One-Click` instead.
ANSWER, STOP, ALLOW = "answer", "stop", "allow"


@unlimited(
    "Mailbox providers send the requests of all their people from few addresses. A guessed link"
    " costs the check of a signature and no query."
)
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@guarded_database()
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Show whether a mailbox gets bulk emails. A POST stops them, or allows them with `allow`.

    The link is the proof: no session and no CSRF token is needed. A GET changes nothing, because
    scanners of mailboxes open links. A POST without an answer is that of a mail program (RFC 8058).
    """
    subscriber = find_subscriber(token)
    if subscriber is None:
        return render(request, "promo/unsubscribe.html", {"is_wrong_link": True}, status=400)
    if request.method == "POST":
        answer = request.POST.get(ANSWER, "")
        _change(subscriber, answer)
        if answer:
            return HttpResponseRedirect(request.path, status=303)
    context = {
        "email": masked_email(subscriber.address),
        "is_suppressed": is_suppressed(subscriber.address),
    }
    with translation.override(_language(request, subscriber)):
        return render(request, "promo/unsubscribe.html", context)


def _change(subscriber: Subscriber, answer: str) -> None:
    if answer == ALLOW:
        allow_bulk_emails(subscriber.address, subscriber.email)
    else:
        suppress(subscriber.address, Suppression.Reason.UNSUBSCRIBED, subscriber.email)


def _language(request: HttpRequest, subscriber: Subscriber) -> str:
    """Return the language of the email, unless the person has chosen one on our pages."""
    if settings.LANGUAGE_COOKIE_NAME in request.COOKIES:
        return translation.get_language()
    return subscriber.email.language
