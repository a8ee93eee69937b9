"""The pages on which staff write a message to a list, see it, send it, and follow its sending."""

from collections.abc import Callable
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp, csp_replace
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from guests.actor import acting_as
from guests.admin.base import acting_user
from guests.admin.email_previews import refuse_test
from guests.admin.event_messages import filter_in_words, number_of_guests
from guests.admin.message_forms import ConfirmForm, EventChoice, ListMessageForm
from guests.exceptions import GuestError
from guests.list_message_emails import preview_html, send_tests
from guests.lists.messages import (
    KIND,
    audience_of,
    confirm_message,
    counts_of,
    has_grown,
    resume_message,
    stop_message,
)
from guests.models import Event, ListMessage, ListMessageChange
from guests.refusals import staff_refusal_text
from notifications.models import Email
from notifications.staff_words import warn_if_paused
from snap.admin import LongListAdmin, ReadOnlyAdmin
from snap.admin_output import EMPTY, actor_names, render_lines, render_time
from snap.error_pages import too_many_requests
from snap.limits.counters import acquire
from snap.limits.layers import Layer

# Tests of messages that one account may send to itself in a minute.
TESTS_A_MINUTE = 5
# Seconds between two looks of the page at a message that is being sent.
REFRESH_SECONDS = 2
# The states of emails whose number the page shows, in this order.
SHOWN_STATES = [
    Email.State.QUEUED,
    Email.State.SENT,
    Email.State.DELIVERED,
    Email.State.OPENED,
    Email.State.BOUNCED,
    Email.State.COMPLAINED,
    Email.State.CANCELLED,
    Email.State.DEAD,
]


@admin.register(ListMessage)
class ListMessageAdmin(LongListAdmin, ReadOnlyAdmin):
    list_display = ["subject", "event", "state", "people", "audience", "author", "created_at"]
    list_select_related = ["event", "author", "promoter", "team"]
    list_filter = ["state", "event"]
    search_fields = ["subject_pt__icontains", "subject_en__icontains", "event__title"]
    ordering = ["-pk"]

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("guests.send_list_message")

    def has_view_permission(self, request: HttpRequest, obj: ListMessage | None = None) -> bool:
        return super().has_view_permission(request, obj) or self.has_send_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_send_permission(request)

    def get_urls(self) -> list[Any]:
        urls = [
            path("<int:pk>/html/<str:language>/", self._page(self.html_view), name=_name("html"))
        ]
        actions: dict[str, Callable[..., HttpResponse]] = {
            "test": self.test_view,
            "send": self.send_view,
            "stop": self.stop_view,
            "resume": self.resume_view,
            "discard": self.discard_view,
        }
        for name, view in actions.items():
            urls.append(path(f"<int:pk>/{name}/", self._page(require_POST(view)), name=_name(name)))
        edit = self._page(require_http_methods(["GET", "POST"])(self.edit_view))
        urls.append(path("<int:pk>/edit/", edit, name=_name("edit")))
        return [*urls, *super().get_urls()]

    def _page(self, view: Callable[..., Any]) -> Callable[..., Any]:
        return self.admin_site.admin_view(view)

    # Writing --------------------------------------------------------------------------------------

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Ask for the event first, then for the message, whose filter names its promoters."""
        self._require_sender(request)
        choice = EventChoice(request.GET if "event" in request.GET else None)
        if not choice.is_valid():
            return self._render_form(request, choice, _("Message a list"), event=None)
        event: Event = choice.cleaned_data["event"]
        message = ListMessage(event=event, author=acting_user(request))
        return self._edit(request, message, _("Message the list"))

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._require_sender(request)
        return self._edit(request, self._draft(pk), _("Change the message"))

    def _edit(self, request: HttpRequest, message: ListMessage, title: Any) -> HttpResponse:
        form = ListMessageForm(request.POST or None, instance=message)
        if request.method == "POST" and form.is_valid():
            with acting_as(acting_user(request)):
                form.save()
            return _redirect_to(message)
        return self._render_form(request, form, title, event=message.event)

    def _render_form(
        self, request: HttpRequest, form: forms.Form | ListMessageForm, title: Any, **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "form": form,
            "opts": self.opts,
            **more,
        }
        return TemplateResponse(request, "admin/guests/listmessage/form.html", context)

    # Looking --------------------------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a draft as it will look and whom it is for, or how far a message has got."""
        message = self.get_object(request, object_id)
        if message is None:
            raise Http404("no such message")
        if not self.has_view_permission(request, message):
            raise PermissionDenied
        return self._render_message(request, message)

    def _render_message(
        self, request: HttpRequest, message: ListMessage, form: ConfirmForm | None = None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": str(message),
            "message": message,
            "audience_in_words": filter_in_words(message),
            "languages": message.languages(),
            "may_send": self.has_send_permission(request),
            "history": render_message_history(message),
            "refresh": REFRESH_SECONDS,
            "opts": self.opts,
        }
        if message.is_draft:
            audience = audience_of(message)
            context["audience"] = audience
            context["form"] = form or ConfirmForm(seen=audience.guests)
        else:
            counts = counts_of(message)
            context["counts"] = counts_in_words(message, counts)
            context["ended"] = message.handled - counts.get(Email.State.QUEUED, 0)
        return _with_frames(request, context)

    @staticmethod
    @require_safe
    @never_cache
    @xframe_options_sameorigin
    @csp(  # type: ignore[arg-type]  # its types know no URL arguments
        {
            "default-src": [NONE],
            "style-src": [UNSAFE_INLINE],
            "img-src": [SELF],
            "frame-ancestors": [SELF],
            "sandbox": ["allow-popups", "allow-popups-to-escape-sandbox"],
        }
    )
    def html_view(request: HttpRequest, pk: int, language: str) -> HttpResponse:
        """Show the email alone, as its recipients get it. Its links open in new windows."""
        message = get_object_or_404(ListMessage.objects.select_related("event"), pk=pk)
        user = acting_user(request)
        if not user.has_perm("guests.view_listmessage") and not user.has_perm(
            "guests.send_list_message"
        ):
            raise PermissionDenied
        if language not in message.languages():
            raise Http404("not written in this language")
        return HttpResponse(preview_html(message, user, language))

    # Sending --------------------------------------------------------------------------------------

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the draft to the staff member, in each of its languages."""
        self._require_sender(request)
        message, user = self._draft(pk), acting_user(request)
        if refusal := refuse_test(KIND, user.email or ""):
            self.message_user(request, refusal, messages.ERROR)
            return _redirect_to(message)
        decision = acquire([Layer("message_tests", f"account {user.pk}", TESTS_A_MINUTE)])
        if not decision.allowed:
            return too_many_requests(request, decision.retry_after)
        send_tests(message, user)
        text = gettext("The message is on its way to %(email)s.") % {"email": user.email}
        self.message_user(request, text, messages.SUCCESS)
        return _redirect_to(message)

    def send_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a draft to its guests, once their number is confirmed."""
        self._require_sender(request)
        message = get_object_or_404(ListMessage.objects.select_related("event"), pk=pk)
        if message.is_draft:
            form = ConfirmForm(request.POST)
            if not form.is_valid():
                return self._render_message(request, message, form)
            if has_grown(form.cleaned_data["seen"], audience_of(message).guests):
                text = gettext("The list has grown meanwhile: look at the number again.")
                self.message_user(request, text, messages.WARNING)
                return _redirect_to(message)
        try:
            recipients = confirm_message(message, acting_user=acting_user(request))
        except GuestError as error:
            self.message_user(request, staff_refusal_text(error.code), messages.WARNING)
            return _redirect_to(message)
        self._log(request, message, gettext("Message to the list: %s") % message)
        text = gettext("The message goes out to %(guests)s.")
        text %= {"guests": number_of_guests(recipients)}
        self.message_user(request, text, messages.SUCCESS)
        warn_if_paused(request, [KIND])
        return _redirect_to(message)

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._require_sender(request)
        message = get_object_or_404(ListMessage, pk=pk)
        if stop_message(message, acting_user=acting_user(request)):
            self._log(request, message, gettext("Message stopped: %s") % message)
            self.message_user(request, gettext("The message is stopped."), messages.SUCCESS)
        else:
            text = gettext("The message was not being sent.")
            self.message_user(request, text, messages.WARNING)
        return _redirect_to(message)

    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._require_sender(request)
        message = get_object_or_404(ListMessage, pk=pk)
        if resume_message(message, acting_user=acting_user(request)):
            self._log(request, message, gettext("Message goes on: %s") % message)
            self.message_user(request, gettext("The message goes on."), messages.SUCCESS)
        else:
            self.message_user(request, gettext("The message was not stopped."), messages.WARNING)
        return _redirect_to(message)

    def discard_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._require_sender(request)
        message = self._draft(pk)
        event_id = message.event_id
        # A condition: a colleague may confirm the draft at this moment.
        if ListMessage.objects.filter(pk=pk, state=ListMessage.State.DRAFT).delete()[0]:
            self.message_user(request, gettext("The draft is deleted."), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:guests_event_change", args=[event_id]))

    def _require_sender(self, request: HttpRequest) -> None:
        if not self.has_send_permission(request):
            raise PermissionDenied

    def _draft(self, pk: int) -> ListMessage:
        """Return a draft. Raises Http404 for a message that was confirmed."""
        drafts = ListMessage.objects.filter(state=ListMessage.State.DRAFT)
        return get_object_or_404(drafts.select_related("event"), pk=pk)

    def _log(self, request: HttpRequest, message: ListMessage, text: str) -> None:
        """Add a line to admin's log of the event."""
        self.log_change(request, Event.objects.get(pk=message.event_id), text)

    # Columns --------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[ListMessage]:
        found: QuerySet[ListMessage] = super().get_queryset(request)
        return found.select_related("event", "author", "promoter", "team")

    @admin.display(description=_("subject"), ordering="subject_pt")
    def subject(self, message: ListMessage) -> str:
        return str(message)

    @admin.display(description=_("for"))
    def audience(self, message: ListMessage) -> str:
        return filter_in_words(message)

    @admin.display(description=_("guests"), ordering="recipients")
    def people(self, message: ListMessage) -> str:
        if message.is_draft:
            return EMPTY
        return str(message.recipients)


def _with_frames(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Render the page of a message, which may show our own pages in frames."""

    def respond(request: HttpRequest) -> HttpResponse:
        return TemplateResponse(request, "admin/guests/listmessage/message.html", context)

    framed: HttpResponse = csp_replace({"frame-src": [SELF]})(respond)(request)  # type: ignore[assignment]
    return framed


def _name(page: str) -> str:
    return f"guests_listmessage_{page}"


def _redirect_to(message: ListMessage) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:guests_listmessage_change", args=[message.pk]))


def counts_in_words(message: ListMessage, counts: dict[str, int]) -> list[tuple[str, int]]:
    """Return how many emails of a message are in which state, without empty ones."""
    labels = {state: state.label for state in SHOWN_STATES}
    rows = [(gettext("guests"), message.recipients)]
    if waiting := message.recipients - message.handled:
        rows.append((gettext("not queued yet"), waiting))
    if message.without_email:
        rows.append((gettext("without an email address"), message.without_email))
    for state in SHOWN_STATES:
        if number := counts.get(state.value, 0):
            rows.append((str(labels[state]), number))
    return rows


def render_message_history(message: ListMessage) -> SafeString | str:
    """Return who wrote, confirmed, stopped and resumed a message, as lines. Two queries."""
    changes = list(ListMessageChange.objects.filter(message=message))
    names = actor_names(change.actor for change in changes)
    states = dict(ListMessage.State.choices)
    rows = []
    for change in changes:
        state = states.get(change.to_state, change.to_state)
        rows.append((render_time(change.at), state, names[change.actor]))
    return render_lines("{} · {} · {}", rows) or EMPTY
