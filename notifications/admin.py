"""Emails in admin: read-only, with an action that sends them again."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from notifications.causes import Subject, describe_causes
from notifications.kinds import kind_label, known_kinds
from notifications.mending import mending_notices
from notifications.models import Email
from notifications.providers import providers
from notifications.resending import Resend, resend_email
from notifications.staff_words import REASON_GROUPS, email_problem, render_reports, warn_if_paused
from notifications.suppression_admin import SuppressionAdmin  # noqa: F401 (registers its pages)
from snap.admin import LongListAdmin, NameOrderList, ReadOnlyAdmin
from snap.admin_output import (
    ACCOUNT_PREFIX,
    EMPTY,
    MAX_SHOWN,
    actor_names,
    language_in_words,
    link_to,
    render_lines,
    render_time,
    run_batches,
    show_results,
    words_filter,
)
from snap.mail_addresses import readable_address


def kinds_in_words() -> dict[str, str]:
    return {kind: kind_label(kind) for kind in sorted(known_kinds(), key=kind_label)}


def providers_in_words() -> dict[str, str]:
    """Return the providers in use by their names on rows."""
    return {provider.name: provider.name for provider in providers()}


class ReasonFilter(admin.SimpleListFilter):
    """Finds the emails that came back for one group of reasons."""

    title = _("why it came back")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, words) for name, (words, _) in REASON_GROUPS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Email]) -> QuerySet[Email]:
        group = REASON_GROUPS.get(self.value() or "")
        if group is None:
            return queryset
        is_of_group = Q()
        for reason in group[1]:
            is_of_group |= Q(error__endswith=f" {reason}")
        return queryset.filter(is_of_group, state=Email.State.BOUNCED)


class EmailList(NameOrderList):
    """A page of emails. One query for each kind of cause tells what they are about."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        emails = list(self.result_list)
        subjects = describe_causes(email.cause for email in emails)
        for email in emails:
            email.subject = subjects.get(email.cause)
        self.result_list = emails


def show_mending(request: HttpRequest) -> None:
    """Tell staff about mail providers that wait for an operator. One round trip to the cache."""
    names = [provider.name for provider in providers()]
    for name, code in mending_notices(names).items():
        text = gettext(
            "%(provider)s refuses our emails (%(code)s): its key, our sender or our domain's"
            " records must be mended. Emails wait, and leave by themselves after that."
        )
        messages.error(request, text % {"provider": name, "code": code})


@admin.register(Email)
class EmailAdmin(LongListAdmin, ReadOnlyAdmin):
    list_display = [
        "kind_in_words",
        "state",
        "about",
        "readable_to",
        "provider",
        "created",
        "times",
        "problem",
    ]
    list_filter = [
        "state",
        words_filter("kind", _("kind"), kinds_in_words),
        words_filter("provider", _("provider"), providers_in_words),
        ReasonFilter,
    ]
    search_fields = ["to__icontains", "cause__istartswith"]
    ordering = ["-pk"]
    actions = ["send_again"]
    change_form_template = "admin/notifications/email/change_form.html"
    fields = [
        "kind_in_words",
        "about",
        "state",
        "readable_to",
        "language_shown",
        "created_at",
        "queued_at",
        "sent_at",
        "attempts",
        "next_attempt_at",
        "leased_until",
        "fast",
        "provider",
        "provider_id",
        "unsure_provider",
        "delivered_at",
        "opened_at",
        "bounced_at",
        "complained_at",
        "problem",
        "resends",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Email | None = None) -> list[str]:
        return [str(field) for field in self.fields]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NameOrderList]:
        return EmailList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        show_mending(request)
        return super().changelist_view(request, extra_context)

    def get_urls(self) -> list[Any]:
        send = self.admin_site.admin_view(require_POST(self.send_one_again))
        return [
            path("<int:pk>/send-again/", send, name="notifications_email_send_again"),
            *super().get_urls(),
        ]

    def send_one_again(self, request: HttpRequest, pk: int) -> HttpResponse:
        email = get_object_or_404(Email, pk=pk)
        if not self.has_change_permission(request, email):
            raise PermissionDenied
        show_resends(
            request, [resend_email(email.kind, email.cause, actor=actor_of(request), to=email.to)]
        )
        return HttpResponseRedirect(reverse("admin:notifications_email_change", args=[pk]))

    @admin.display(description=_("kind"), ordering="kind")
    def kind_in_words(self, email: Email) -> str:
        return kind_label(email.kind)

    @admin.display(description=_("to"), ordering="to")
    def readable_to(self, email: Email) -> str:
        return readable_address(email.to)

    @admin.display(description=_("language"))
    def language_shown(self, email: Email) -> str:
        return language_in_words(email.language)

    @admin.display(description=_("about"))
    def about(self, email: Any) -> str:
        """Return what the email is about, as a link to its row. One query outside of a list."""
        if hasattr(email, "subject"):
            subject: Subject | None = email.subject
        else:
            subject = describe_causes([email.cause]).get(email.cause)
        if subject is None:
            return gettext("no longer there")
        return link_to(subject.url_name, subject.text, pk=subject.pk)

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, email: Email) -> str:
        return render_time(email.created_at)

    @admin.display(description=_("what happened"), ordering="sent_at")
    def times(self, email: Email) -> str:
        return render_reports(email, with_sent=True)

    @admin.display(description=_("problem"))
    def problem(self, email: Email) -> str:
        return email_problem(email) or EMPTY

    @admin.display(description=_("sent again"))
    def resends(self, email: Email) -> str:
        resends = list(email.resends.all()[:MAX_SHOWN])
        names = actor_names(resend.actor for resend in resends)
        states = dict(Email.State.choices)
        rows = []
        for resend in resends:
            before = (
                f"{states.get(resend.from_state, EMPTY)} {readable_address(resend.from_to)}".strip()
            )
            rows.append(
                (render_time(resend.at), names[resend.actor], before, readable_address(resend.to))
            )
        return render_lines("{} · {} · {} → {}", rows) or EMPTY

    @admin.action(description=_("Send again, to the present address"), permissions=["change"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Email]) -> None:
        """Send emails in any state again. Staff see for each one what became of it."""
        chosen = queryset.order_by("pk").values_list("kind", "cause", "to")
        send_all_again(request, chosen)


def send_all_again(request: HttpRequest, chosen: Iterable[tuple[str, str, str]]) -> None:
    """Send emails again, each given as its kind, cause and address. Show what became of them."""
    actor = actor_of(request)
    done: list[Resend] = []

    def send_one(kind: str, cause: str, to: str) -> int:
        done.append(resend_email(kind, cause, actor=actor, to=to))
        return 1

    batches = []
    for kind, cause, to in chosen:
        batches.append(lambda kind=kind, cause=cause, to=to: send_one(kind, cause, to))
    _, is_all = run_batches(batches)
    show_resends(request, done, is_all=is_all)


def show_resends(request: HttpRequest, resends: list[Resend], *, is_all: bool = True) -> None:
    """Show staff which emails were queued to which address, and why others were not."""
    subjects = describe_causes(resend.cause for resend in resends)
    queued: list[str] = []
    refused: list[str] = []
    for resend in resends:
        subject = subjects.get(resend.cause)
        about = gettext("no longer there")
        if subject:
            about = subject.text
        elif resend.to:
            about = readable_address(resend.to)
        text = f"{about} · {kind_label(resend.kind)}"
        if resend.refusal:
            refused.append(f"{text}: {resend.reason}")
        else:
            queued.append(f"{text} → {readable_address(resend.to)}")
    show_results(
        request,
        done=queued,
        done_text=ngettext("%(n)d email queued again.", "%(n)d emails queued again.", len(queued)),
        refused=refused,
        refused_text=ngettext(
            "%(n)d email was not sent again.", "%(n)d emails were not sent again.", len(refused)
        ),
        is_all=is_all,
    )
    warn_if_paused(request, [resend.kind for resend in resends if not resend.refusal])


def actor_of(request: HttpRequest) -> str:
    """Return the signed-in staff member as histories name it."""
    return f"{ACCOUNT_PREFIX}{request.user.pk}"
