"""Claims on phones in admin, where staff decide them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts.admin import PhoneSearchAdmin
from accounts.exceptions import AccountError
from accounts.models import Claim
from accounts.phones import masked_phone, readable_phone
from guests.admin.base import acting_user, render_history
from guests.claims.services import grant_claim, may_decide, refuse_claim, undo_claim
from guests.models import Guest
from guests.refusals import staff_refusal_text
from snap.admin import LongListAdmin, ReadOnlyAdmin
from snap.admin_output import (
    EMPTY,
    MAX_SHOWN,
    actor_names,
    language_in_words,
    link_to,
    render_lines,
    render_time,
)
from snap.mail_addresses import readable_address


@dataclass(frozen=True)
class ClaimAction:
    """A decision about a claim: its texts, the claim's states that allow it, and the service."""

    label: Promise
    meaning: Promise
    done: Promise
    states: frozenset[str]
    decide: Callable[..., None]


UNDECIDED = frozenset({"open", "objected"})
DECISIONS = {
    "grant": ClaimAction(
        _("Grant: the claimant gets the account"),
        _(
            "The account gets the claimant's names and email. Its places go with it, under new QR"
            " codes: those of the holder stop working. Its sessions and its password end. Both"
            " sides get an email. Other claims on it are refused. It can be undone."
        ),
        _("Claim granted."),
        UNDECIDED,
        grant_claim,
    ),
    "refuse": ClaimAction(
        _("Refuse: nothing changes"),
        _("The account stays as it is. Both sides get an email."),
        _("Claim refused."),
        UNDECIDED,
        refuse_claim,
    ),
    "undo": ClaimAction(
        _("Undo: the holder gets the account back"),
        _(
            "The account gets the names and the email that it had before the claim. Its places go"
            " back with it, and the QR codes of then work again. The claimant's sessions and QR"
            " codes end. Both sides get an email."
        ),
        _("Claim undone."),
        frozenset({"granted"}),
        undo_claim,
    ),
}


@admin.register(Claim)
class ClaimAdmin(LongListAdmin, PhoneSearchAdmin, ReadOnlyAdmin):
    """Shows both sides of a claim. Only a decision changes it, after a page that asks."""

    change_form_template = "admin/accounts/claim/change_form.html"
    list_display = ["phone_masked", "claimant", "holder_now", "state", "event_slug", "created_at"]
    list_select_related = ["account"]
    list_filter = ["state", "is_announced"]
    phone_field = "account__phone"
    search_fields = [
        "first_name",
        "last_name",
        "account__first_name",
        "account__last_name",
        "email__istartswith",
        "account__email__istartswith",
    ]
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": ["phone", "state", "decided_at", "decided", "is_announced"]}),
        (
            _("Holder"),
            {"fields": ["holder_name", "holder_email", "proven_at", "since", "places", "rights"]},
        ),
        (
            _("Claimant"),
            {
                "fields": [
                    "claimant",
                    "claimant_email",
                    "language_shown",
                    "created_at",
                    "event_slug",
                ]
            },
        ),
        (_("Other claims on this account"), {"fields": ["others"]}),
        (_("Before the claim"), {"fields": ["before"]}),
        (_("History"), {"fields": ["history"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Claim | None = None) -> list[str]:
        fields: list[str] = []
        for _title, options in self.fieldsets:
            fields += map(str, options["fields"])
        return fields

    @admin.display(description=_("language"))
    def language_shown(self, claim: Claim) -> str:
        return language_in_words(claim.language)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Claim]:
        claims: QuerySet[Claim] = super().get_queryset(request)
        return claims.select_related("account")

    def get_urls(self) -> list[Any]:
        decide = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(self.decide))
        return [
            path("<int:pk>/decide/<slug:decision>/", decide, name="accounts_claim_decide"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        claim = self.get_object(request, object_id)
        context = {**(extra_context or {}), "decisions": {}}
        if claim and self._may_decide(request, claim):
            context["decisions"] = _decisions_for(claim.state)
        return super().change_view(request, object_id, form_url, context)

    def _may_decide(self, request: HttpRequest, claim: Claim) -> bool:
        may_change = self.has_change_permission(request, claim)
        return may_change and may_decide(claim.account, acting_user(request))

    def decide(self, request: HttpRequest, pk: int, decision: str) -> HttpResponse:
        """Ask for confirmation on GET, since places change hands. Decide on POST.

        The service checks the claim's state again under a lock.
        """
        if decision not in DECISIONS:
            raise Http404("no such decision")
        claim = get_object_or_404(Claim.objects.select_related("account"), pk=pk)
        if not self._may_decide(request, claim):
            raise PermissionDenied
        chosen = DECISIONS[decision]
        if request.method == "GET":
            return self._render_confirmation(request, claim, chosen)
        try:
            chosen.decide(claim, acting_user=acting_user(request))
        except AccountError as error:
            self.message_user(request, staff_refusal_text(error.code), messages.ERROR)
        else:
            self.log_change(request, claim, str(chosen.done))
            self.message_user(request, str(chosen.done), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:accounts_claim_change", args=[pk]))

    def _render_confirmation(
        self, request: HttpRequest, claim: Claim, decision: ClaimAction
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": decision.label,
            "decision": decision,
            "claim": claim,
            "places": self.places(claim),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/accounts/claim/decide.html", context)

    @admin.display(description=_("phone"), ordering="account__phone")
    def phone_masked(self, claim: Claim) -> str:
        if not claim.account.phone:
            return EMPTY
        return masked_phone(claim.account.phone)

    @admin.display(description=_("phone"))
    def phone(self, claim: Claim) -> str:
        if not claim.account.phone:
            return EMPTY
        return readable_phone(claim.account.phone)

    @admin.display(description=_("claimant"))
    def claimant(self, claim: Claim) -> str:
        return claim.name

    @admin.display(description=_("holder"))
    def holder_now(self, claim: Claim) -> str:
        return claim.account.name

    @admin.display(description=_("account"))
    def holder_name(self, claim: Claim) -> SafeString:
        return link_to("accounts_user_change", claim.account, pk=claim.account_id)

    @admin.display(description=_("email"))
    def holder_email(self, claim: Claim) -> str:
        return readable_address(claim.account.email) or EMPTY

    @admin.display(description=_("email"))
    def claimant_email(self, claim: Claim) -> str:
        return readable_address(claim.email)

    @admin.display(description=_("proven at"))
    def proven_at(self, claim: Claim) -> str:
        account = claim.account
        if account.verified_at is None:
            return gettext("not proven")
        return f"{render_time(account.verified_at)} {account.get_proven_by_display()}"

    @admin.display(description=_("since"))
    def since(self, claim: Claim) -> str:
        return render_time(claim.account.created_at)

    @admin.display(description=_("places ahead"))
    def places(self, claim: Claim) -> str:
        upcoming = Guest.objects.upcoming().filter(account=claim.account_id)
        rows = []
        for guest in upcoming.select_related("event"):
            rows.append((guest.event.title, guest.get_state_display(), guest.name))
        return render_lines("{} · {} · {}", rows) or EMPTY

    @admin.display(description=_("rights in admin"), boolean=True)
    def rights(self, claim: Claim) -> bool:
        return claim.account.has_powers

    @admin.display(description=_("claims"))
    def others(self, claim: Claim) -> str:
        others = claim.account.claims.exclude(pk=claim.pk).order_by("-pk")[:MAX_SHOWN]
        rows = []
        for other in others:
            link = link_to("accounts_claim_change", other, pk=other.pk)
            rows.append((link, readable_address(other.email), other.get_state_display()))
        return render_lines("{} · {} · {}", rows) or EMPTY

    @admin.display(description=_("decided by"))
    def decided(self, claim: Claim) -> str:
        actor = claim.decided_by
        if not actor:
            return EMPTY
        return {**actor_names([actor]), **_more_names([actor])}[actor]

    @admin.display(description=_("what the claim has changed"))
    def before(self, claim: Claim) -> str:
        """Return the holder and the places that the account had before the claim was granted."""
        if not claim.taken:
            return EMPTY
        taken = claim.taken
        proven = gettext("not proven")
        if taken["verified_at"]:
            proven = render_time(datetime.fromisoformat(taken["verified_at"]))
        person = f"{taken['first_name']} {taken['last_name']}".strip()
        rows = [[f"{person} · {readable_address(taken['email'])} · {proven}"]]
        for guest in taken["guests"]:
            rows.append([f"#{guest['id']} {guest['name']}"])
        return render_lines("{}", rows)

    @admin.display(description=_("history"))
    def history(self, claim: Claim) -> str:
        changes = list(claim.changes.all())
        names = _more_names(change.actor for change in changes)
        return render_history(changes, Claim.State, more_names=names)


def _decisions_for(state: str) -> dict[str, ClaimAction]:
    """Return the decisions that a claim in this state allows, by name."""
    allowed = {}
    for name, decision in DECISIONS.items():
        if state in decision.states:
            allowed[name] = decision
    return allowed


def _more_names(actors: Iterable[str]) -> dict[str, str]:
    """Return the names of the actors of a claim's history that are not accounts."""
    names = {
        "claimant": gettext("the claimant"),
        "holder": gettext("the holder"),
        "phone": gettext("a code sent to the phone"),
        "time": gettext("nobody answered in time"),
    }
    for actor in actors:
        if actor.startswith("claim:"):
            number = actor.removeprefix("claim:")
            names[actor] = gettext("the decision about claim #%(number)s") % {"number": number}
    return names
