"""Claims on phones, as staff see and decide them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts.admin import PhoneSearchAdmin
from accounts.exceptions import AccountError
from accounts.models import Claim, ClaimChange, User
from accounts.phones import masked_phone, readable_phone
from guests.claims.services import grant_claim, may_decide, refuse_claim, undo_claim
from guests.models import Guest
from snap.admin import LongListAdmin, ReadOnlyAdmin

NOTHING = "–"
MOST_SHOWN = 50


@dataclass(frozen=True)
class Decision:
    """What staff can do with a claim: its name and meaning, and the states that allow it."""

    label: Promise
    meaning: Promise
    done: Promise
    states: frozenset[str]
    decide: Callable[..., None]


UNDECIDED = frozenset({"open", "objected"})
DECISIONS = {
    "grant": Decision(
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
    "refuse": Decision(
        _("Refuse: nothing changes"),
        _("The account stays as it is. Both sides get an email."),
        _("Claim refused."),
        UNDECIDED,
        refuse_claim,
    ),
    "undo": Decision(
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
PROBLEMS = {
    "email_taken": _(
        "The claimant's email has as many accounts as one may have. Nothing was changed."
    ),
    "claim_decided": _("This claim was decided already, or a later one has to be undone first."),
    "needs_superuser": _("Only a superuser decides about an account that has rights in admin."),
}


@admin.register(Claim)
class ClaimAdmin(LongListAdmin, PhoneSearchAdmin, ReadOnlyAdmin):
    """Shows both sides of a claim. It changes by a decision only, which asks first."""

    change_form_template = "admin/accounts/claim/change_form.html"
    list_display = ["phone_masked", "claimant", "holder_now", "state", "event_slug", "created_at"]
    list_select_related = ["account"]
    list_filter = ["state", "is_announced"]
    search_fields = [
        "account__phone__startswith",
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
            {"fields": ["claimant", "email", "language", "created_at", "event_slug"]},
        ),
        (_("Other claims on this account"), {"fields": ["others"]}),
        (_("Before the claim"), {"fields": ["before"]}),
        (_("History"), {"fields": ["history"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Claim | None = None) -> list[str]:
        return [str(field) for _, options in self.fieldsets for field in options["fields"]]

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
        offered = self._offered(request, claim) if claim else {}
        context = {**(extra_context or {}), "decisions": offered}
        return super().change_view(request, object_id, form_url, context)

    def _offered(self, request: HttpRequest, claim: Claim) -> dict[str, Decision]:
        may_change = self.has_change_permission(request, claim)
        if not may_change or not may_decide(claim.account, _acting_user(request)):
            return {}
        return {name: each for name, each in DECISIONS.items() if claim.state in each.states}

    def decide(self, request: HttpRequest, pk: int, decision: str) -> HttpResponse:
        """Ask first: places change hands. Then decide, as the claim stands at that moment."""
        if decision not in DECISIONS:
            raise Http404("no such decision")
        claim = get_object_or_404(Claim.objects.select_related("account"), pk=pk)
        user, chosen = _acting_user(request), DECISIONS[decision]
        if not self.has_change_permission(request, claim) or not may_decide(claim.account, user):
            raise PermissionDenied
        if request.method == "GET":
            context = {
                **self.admin_site.each_context(request),
                "title": chosen.label,
                "decision": chosen,
                "claim": claim,
                "places": self.places(claim),
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/accounts/claim/decide.html", context)
        try:
            chosen.decide(claim, acting_user=user)
        except AccountError as error:
            self.message_user(request, str(PROBLEMS[error.code]), messages.ERROR)
        else:
            self.log_change(request, claim, str(chosen.done))
            self.message_user(request, str(chosen.done), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:accounts_claim_change", args=[pk]))

    @admin.display(description=_("phone"), ordering="account__phone")
    def phone_masked(self, claim: Claim) -> str:
        return masked_phone(claim.account.phone) if claim.account.phone else NOTHING

    @admin.display(description=_("phone"))
    def phone(self, claim: Claim) -> str:
        return readable_phone(claim.account.phone) if claim.account.phone else NOTHING

    @admin.display(description=_("claimant"))
    def claimant(self, claim: Claim) -> str:
        return claim.name

    @admin.display(description=_("holder"))
    def holder_now(self, claim: Claim) -> str:
        return claim.account.name

    @admin.display(description=_("account"))
    def holder_name(self, claim: Claim) -> SafeString:
        url = reverse("admin:accounts_user_change", args=[claim.account_id])
        return format_html('<a href="{}">{}</a>', url, claim.account)

    @admin.display(description=_("email"))
    def holder_email(self, claim: Claim) -> str:
        return claim.account.email or NOTHING

    @admin.display(description=_("proven at"))
    def proven_at(self, claim: Claim) -> str:
        account = claim.account
        if account.verified_at is None:
            return gettext("not proven")
        return f"{_local(account.verified_at)} {account.get_proven_by_display()}"

    @admin.display(description=_("since"))
    def since(self, claim: Claim) -> str:
        return _local(claim.account.created_at)

    @admin.display(description=_("places ahead"))
    def places(self, claim: Claim) -> str:
        ahead = Guest.objects.upcoming().filter(account=claim.account_id).select_related("event")
        lines = [(guest.event.title, guest.get_state_display(), guest.name) for guest in ahead]
        return format_html_join(SafeString("<br>"), "{} · {} · {}", lines) or NOTHING

    @admin.display(description=_("rights in admin"), boolean=True)
    def rights(self, claim: Claim) -> bool:
        return claim.account.has_powers

    @admin.display(description=_("claims"))
    def others(self, claim: Claim) -> str:
        others = claim.account.claims.exclude(pk=claim.pk).order_by("-pk")[:MOST_SHOWN]
        lines = [
            (
                reverse("admin:accounts_claim_change", args=[other.pk]),
                other,
                other.email,
                other.get_state_display(),
            )
            for other in others
        ]
        return (
            format_html_join(SafeString("<br>"), '<a href="{}">{}</a> · {} · {}', lines) or NOTHING
        )

    @admin.display(description=_("decided by"))
    def decided(self, claim: Claim) -> str:
        return _names({claim.decided_by}).get(claim.decided_by, claim.decided_by) or NOTHING

    @admin.display(description=_("what the claim has changed"))
    def before(self, claim: Claim) -> str:
        """Who held the account before the claim was granted, and the places of then."""
        if not claim.taken:
            return NOTHING
        taken = claim.taken
        proven = taken["verified_at"] or gettext("not proven")
        person = f"{taken['first_name']} {taken['last_name']}"
        lines = [(f"{person} · {taken['email']} · {proven}",)]
        lines += [(f"#{guest['id']} {guest['name']}",) for guest in taken["guests"]]
        return format_html_join(SafeString("<br>"), "{}", lines)

    @admin.display(description=_("history"))
    def history(self, claim: Claim) -> str:
        lines: list[ClaimChange] = list(claim.changes.all())
        names, labels = _names({line.actor for line in lines}), dict(Claim.State.choices)
        return format_html_join(
            SafeString("<br>"),
            "{} · {} → {} · {}",
            [
                (
                    _local(line.at),
                    labels.get(line.from_state, NOTHING),
                    labels.get(line.to_state, line.to_state),
                    names.get(line.actor, line.actor),
                )
                for line in lines
            ],
        )


def _acting_user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _local(at: Any) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")


def _names(actors: set[str]) -> dict[str, str]:
    """Return what an actor of the history is called: a member of staff by name, else in words."""
    keys = [actor.removeprefix("account:") for actor in actors if actor.startswith("account:")]
    staff = {f"account:{user.pk}": user.name for user in User.objects.filter(pk__in=keys)}
    words = {
        "claimant": gettext("the claimant"),
        "holder": gettext("the holder"),
        "phone": gettext("a code sent to the phone"),
        "time": gettext("nobody answered in time"),
    }
    return words | staff
