"""The emails of an event as its guests get them: each kind, in both languages, and tests of them.

Guests and codes in them are invented. Staff send a test to their own address only.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, cast

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp, csp_replace
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from guests.admin.base import acting_user
from guests.models import Event
from notifications.kinds import bulk_kinds, is_paused, kind_label
from notifications.messages import RelatedMessage
from notifications.models import Email
from notifications.previews import (
    Sample,
    build_preview,
    cause_of_test,
    kinds_with_samples,
    make_samples,
)
from notifications.services import queue_email
from notifications.suppressions import is_suppressed
from snap.admin_output import language_in_words
from snap.mail_addresses import readable_address

CONTENT_ID = re.compile(r"cid:([A-Za-z0-9@._-]+)")
# How wide the frame is, by the word in the address. The first is shown at first.
WIDTHS = {"phone": _("Phone"), "desktop": _("Desktop")}
SCHEMES = {"light": _("Light"), "dark": _("Dark")}

# The rules for dark mode are always in force, or never, as staff choose.
DARK_MODE = "@media (prefers-color-scheme: dark)"
MEDIA_OF_SCHEME = {"light": "@media not all", "dark": "@media all"}

FRAME_POLICY: dict[str, Any] = {
    "default-src": [NONE],
    "style-src": [UNSAFE_INLINE],
    "img-src": [SELF, "data:", settings.PUBLIC_URL],
    "frame-ancestors": [SELF],
    "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox"],
}


@dataclass(frozen=True)
class Preview:
    """An email in one language, as the page shows it."""

    language: str
    subject: str
    sender: str
    text: str

    @property
    def language_name(self) -> str:
        return language_in_words(self.language)


class EventEmails(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds the pages with the emails to the admin of events."""

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        email = "<int:pk>/emails/<slug:kind>/<slug:sample>/"
        return [
            path("<int:pk>/emails/", wrap(self.emails_view), name="guests_event_emails"),
            path(email, wrap(self.email_view), name="guests_event_email"),
            path(f"{email}send/", wrap(self.send_test_view), name="guests_event_email_test"),
            path(
                f"{email}<slug:language>/", wrap(self.frame_view), name="guests_event_email_frame"
            ),
            *super().get_urls(),
        ]

    @method_decorator(require_safe)
    def emails_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """List all kinds of email with their subjects."""
        event = self._viewed_event(request, pk)
        return self._render(request, event, "emails", _("Emails"), {"groups": _groups(event)})

    @method_decorator(require_safe)
    @method_decorator(csp_replace({"frame-src": [SELF]}))
    def email_view(self, request: HttpRequest, pk: int, kind: str, sample: str) -> HttpResponse:
        """Show an email in both languages, as HTML in frames and as text."""
        event = self._viewed_event(request, pk)
        context = {
            "kind": kind,
            "samples": _samples_of(event, kind),
            "sample": sample,
            "previews": [_preview(event, kind, sample, code) for code, _name in settings.LANGUAGES],
            "widths": WIDTHS,
            "width": _chosen(request, "width", WIDTHS),
            "schemes": SCHEMES,
            "scheme": _chosen(request, "scheme", SCHEMES),
            "own_address": readable_address(acting_user(request).email or ""),
        }
        return self._render(request, event, "email", capfirst(kind_label(kind)), context)

    @method_decorator(require_safe)
    @method_decorator(xframe_options_sameorigin)
    @method_decorator(csp(FRAME_POLICY))
    def frame_view(
        self, request: HttpRequest, pk: int, kind: str, sample: str, language: str
    ) -> HttpResponse:
        """Serve the HTML of an email alone. Its links open in new windows."""
        event = self._viewed_event(request, pk)
        if language not in dict(settings.LANGUAGES):
            raise Http404
        html = _html_of(_message(event, kind, sample, language))
        scheme = _chosen(request, "scheme", SCHEMES)
        html = html.replace(DARK_MODE, MEDIA_OF_SCHEME[scheme])
        return HttpResponse(html.replace("<head>", '<head><base target="_blank">', 1))

    @method_decorator(require_POST)
    def send_test_view(self, request: HttpRequest, pk: int, kind: str, sample: str) -> HttpResponse:
        """Queue an email for the address of the signed-in staff member."""
        event = self._viewed_event(request, pk)
        language = request.POST.get("language", "")
        if language not in dict(settings.LANGUAGES):
            raise Http404
        _message(event, kind, sample, language)
        level, text = _send_test(event, kind, sample, language, acting_user(request).email or "")
        self.message_user(request, text, level)
        return HttpResponseRedirect(reverse("admin:guests_event_email", args=[pk, kind, sample]))

    def _viewed_event(self, request: HttpRequest, pk: int) -> Event:
        event: Event = get_object_or_404(Event, pk=pk)
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        return event

    def _render(
        self, request: HttpRequest, event: Event, page: str, title: Any, context: dict[str, Any]
    ) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "title": title,
            "event": event,
            "opts": self.opts,
        }
        return TemplateResponse(request, f"admin/guests/event/{page}.html", {**shared, **context})


def _groups(event: Event) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the kinds of email that are about the event, and the others, by a title."""
    about_event = []
    about_accounts = []
    for kind in sorted(kinds_with_samples(), key=kind_label):
        samples = _samples_of(event, kind)
        described = _described(event, kind, samples)
        if "event_title" in samples[0].content.context:
            about_event.append(described)
        else:
            about_accounts.append(described)
    return [(gettext("About the event"), about_event), (gettext("About accounts"), about_accounts)]


def _described(event: Event, kind: str, samples: list[Sample]) -> dict[str, Any]:
    """Return a kind of email with its examples and their subjects."""
    rows = []
    for sample in samples:
        previews = [_preview(event, kind, sample.name, code) for code, _name in settings.LANGUAGES]
        rows.append({"sample": sample, "previews": previews})
    return {
        "kind": kind,
        "label": capfirst(kind_label(kind)),
        "rows": rows,
        "is_bulk": kind in bulk_kinds(),
    }


def _samples_of(event: Event, kind: str) -> list[Sample]:
    try:
        return list(make_samples(kind, event))
    except KeyError as error:
        raise Http404 from error


def _preview(event: Event, kind: str, sample: str, language: str) -> Preview:
    message = _message(event, kind, sample, language)
    return Preview(language, str(message.subject), message.from_email, str(message.body))


def _message(event: Event, kind: str, sample: str, language: str) -> RelatedMessage:
    """Return an example. Raises Http404 if there is none of this kind and name."""
    message = None
    if kind in kinds_with_samples():
        message = build_preview(kind, event.pk, sample, language)
    if message is None:
        raise Http404
    return message


def _html_of(message: RelatedMessage) -> str:
    """Return the HTML of an email with its inline images in it."""
    images = {}
    for part in message.message().walk():
        if content_id := part["Content-ID"]:
            content = cast("bytes", part.get_payload(decode=True))
            uri = f"data:{part.get_content_type()};base64,{b64encode(content).decode()}"
            images[content_id.strip("<>")] = uri
    html = str(message.alternatives[0][0])
    return CONTENT_ID.sub(lambda match: images.get(match[1], ""), html)


def _send_test(event: Event, kind: str, sample: str, language: str, to: str) -> tuple[int, str]:
    """Queue an example. Return what staff read of it, and the level of that message."""
    if refusal := refuse_test(kind, to):
        return messages.ERROR, refusal
    cause = cause_of_test(event.pk, sample)
    # An address gets a limited number of emails that somebody else could have asked for.
    queue_email(kind, cause, to=to, language=language, by_stranger=True, solved=True)
    if Email.objects.filter(cause=cause, state=Email.State.CANCELLED).exists():
        return messages.ERROR, gettext("Too many emails to this address in an hour.")
    return messages.SUCCESS, gettext("A test is on its way to %(address)s.") % {
        "address": readable_address(to)
    }


def refuse_test(kind: str, to: str) -> str:
    """Return why staff cannot get a test of a kind at their own address, "" if they can."""
    if not to:
        return gettext("Your account has no email address.")
    if is_paused(kind):
        return gettext("This kind of email is turned off by a switch.")
    if kind in bulk_kinds() and is_suppressed(to):
        return gettext(
            "Your own address gets no reminders and messages to lists: allow them again in the list"
            " of addresses without bulk emails."
        )
    return ""


def _chosen(request: HttpRequest, name: str, choices: dict[str, Any]) -> str:
    chosen = request.GET.get(name, "")
    if chosen in choices:
        return chosen
    return next(iter(choices))
