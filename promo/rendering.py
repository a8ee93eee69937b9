"""Responses of the pages: a whole page, or for HTMX the partial inside it."""

from collections.abc import Iterable, Mapping
from functools import partial
from math import ceil
from typing import Any, cast

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import escape
from django.utils.translation import get_language
from django_htmx.middleware import HtmxDetails

from accounts.forms import PhoneForm
from accounts.phones import readable_phone
from guests.calendars import build_calendar
from guests.models import Event
from guests.place_status import PlaceStatus
from guests.refusals import refusal_of
from guests.requests.tickets import Ticket
from notifications.delivery_lines import NO_DELIVERY, Delivery
from promo.links import PromoLink
from promo.steps import FORM_STEPS, PHONE_STEPS, remember_phone, sign_phone
from snap.local_cache import LocalCache
from snap.observability.steps import EVENT, QR_SHOWN, count_step
from snap.pages import websocket_url

# Statuses of a step without a refusal: INVALID when its form was filled in wrongly.
OK, INVALID = 200, 422
# Query parameter of the phone step, for visitors whose step was no longer valid.
RESTARTED = "again"

# Placeholders in a shared page. Each visitor's own values replace them.
CSRF_PLACEHOLDER, PATH_PLACEHOLDER = "csrf-of-each-visitor", "address-of-each-visitor"

# Rendered pages for visitors without a session, by cached link, language, list state, phase and
# seconds until the list opens.
shared_pages: LocalCache[tuple[str, str, float, str, str, str, int], str] = LocalCache(
    size=1000, seconds=lambda: settings.LINK_SECONDS
)

# The order of events on the page of all events.
EVENT_ORDER = list(Event.ListState)


class HtmxRequest(HttpRequest):
    """A request after HtmxMiddleware, for type checks only."""

    htmx: HtmxDetails


def render_events(
    request: HttpRequest, events: Iterable[Event], places: Mapping[int, PlaceStatus]
) -> HttpResponse:
    """Show events: those at which the visitor has a place first, then by the state of their list.

    `places` are the visitor's own, as `places_of` returns them. Events that rank the same keep
    their order.
    """

    def rank(event: Event) -> int:
        if event.pk in places:
            return -1
        return EVENT_ORDER.index(event.list_state())

    events_with_places = [(event, places.get(event.pk)) for event in sorted(events, key=rank)]
    return render(request, "promo/events.html", {"events": events_with_places})


def render_event(request: HttpRequest, link: PromoLink, ticket: dict[str, Any]) -> HttpResponse:
    """Show an event and the visitor's ticket, as `ticket_context` returns it; {} without a ticket.

    The page includes the phone form, so that the first tap needs no request.
    """
    count_step(EVENT)
    list_state = link.event.list_state()
    opens_in = seconds_until_opening(link.event)
    if ticket or request.user.is_authenticated:
        context = _event_context(link, list_state, opens_in)
        return render(request, "promo/event.html", context | ticket)
    page = _shared_page(link, list_state, opens_in)
    page = page.replace(CSRF_PLACEHOLDER, get_token(request))
    return HttpResponse(page.replace(PATH_PLACEHOLDER, escape(request.get_full_path())))


def _shared_page(link: PromoLink, list_state: Event.ListState, opens_in: int) -> str:
    """Return the page of an event for all visitors without a session, with placeholders.

    It is rendered once for each cached link, language and state.
    """
    if link.loaded_at is None:
        return _render_shared_page(link, list_state, opens_in)
    # A link that is loaded again has another time, so its pages expire with it.
    link_key = (link.event.slug, link.code, link.loaded_at)
    key = (*link_key, get_language() or "", list_state, link.event.phase(), opens_in)
    page = shared_pages.get(key)
    if page is None:
        page = _render_shared_page(link, list_state, opens_in)
        shared_pages.set(key, page)
    return page


def _render_shared_page(link: PromoLink, list_state: Event.ListState, opens_in: int) -> str:
    """Render without a request: the page contains nothing of the visitor who comes first."""
    placeholders = {"csrf_token": CSRF_PLACEHOLDER, "here": PATH_PLACEHOLDER}
    context = _event_context(link, list_state, opens_in) | placeholders
    return render_to_string("promo/event.html", context)


def _event_context(link: PromoLink, list_state: Event.ListState, opens_in: int) -> dict[str, Any]:
    form = PhoneForm()
    focus_first_field(form)
    return {
        "link": link,
        "event": link.event,
        "list_state": list_state,
        "phase": link.event.phase(),
        "opens_in": opens_in,
        "form": form,
    }


def render_step(
    request: HttpRequest,
    link: PromoLink,
    step: str,
    context: dict[str, Any],
    *,
    phone: str = "",
    status: int | None = None,
) -> HttpResponse:
    """Show a step: a partial of `promo/steps.html`, alone for HTMX, otherwise in a page.

    `step` names the partial. `phone` (E.164) is the phone that the step is about; its form carries
    it. `status` is by default that of the context's refusal or form.
    """
    if status is None:
        status = _step_status(context)
    template = f"promo/steps.html#{step}"
    context = {"link": link, "event": link.event, "partial": template, **context}
    if "form" in context:
        focus_first_field(context["form"])
    if "refusal" in context:
        context["refusal"] = refusal_of(context["refusal"])
    if phone:
        context |= _phone_context(request, link, step, phone)
    if not is_htmx(request):
        return render(request, "promo/step_page.html", context, status=status)
    response = render(request, template, context, status=status)
    if step in FORM_STEPS:
        set_browser_url(request, response, link.step_url(step) + context.get("query", ""))
    return response


def _phone_context(request: HttpRequest, link: PromoLink, step: str, phone: str) -> dict[str, Any]:
    context: dict[str, Any] = {"phone": readable_phone(phone)}
    if step in PHONE_STEPS:
        context["query"] = remember_phone(request, link.event.slug, phone)
        context["signed_step"] = sign_phone(request, link.event.slug, phone)
    return context


def _step_status(context: dict[str, Any]) -> int:
    if "refusal" in context:
        return refusal_of(context["refusal"]).status
    form = context.get("form")
    if form is not None and form.is_bound and not form.is_valid():
        return INVALID
    return OK


def next_step(
    request: HttpRequest, link: PromoLink, step: str, context: dict[str, Any], *, phone: str = ""
) -> HttpResponse:
    """Go on to another step: show its partial for HTMX, otherwise redirect to its page."""
    if is_htmx(request):
        return render_step(request, link, step, context, phone=phone)
    query = ""
    if phone:
        query = remember_phone(request, link.event.slug, phone)
    return HttpResponseRedirect(link.step_url(step) + query, status=303)


def restart_steps(request: HttpRequest, link: PromoLink) -> HttpResponse:
    """Go back to the phone step from a step without a valid phone, with a notice."""
    if is_htmx(request):
        return render_step(request, link, "phone", {"form": PhoneForm(), "is_restarted": True})
    return HttpResponseRedirect(link.step_url("phone") + f"?{RESTARTED}=1", status=303)


def render_calendar(request: HttpRequest, link: PromoLink) -> HttpResponse:
    body = build_calendar(link.event, request.build_absolute_uri(link.url))
    response = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{link.event.slug}.ics"'
    return response


def seconds_until_opening(event: Event) -> int:
    """Return the seconds until an event's list opens, rounded up, 0 when it has opened."""
    return max(0, ceil((event.list_opens_at - event.database_now).total_seconds()))


def set_browser_url(request: HttpRequest, response: HttpResponse, url: str) -> None:
    """Have HTMX set the browser's URL.

    The URL of a step replaces that of the step before, so that Back leads from each to the event.
    """
    path = request.headers.get("HX-Current-URL", "").partition("?")[0]
    last_segment = path.rstrip("/").rpartition("/")[2]
    if last_segment in FORM_STEPS:
        response["HX-Replace-Url"] = url
    else:
        response["HX-Push-Url"] = url


def focus_first_field(form: Form) -> None:
    """Set autofocus on the first wrong field, otherwise on the first field."""
    form.fields[_field_to_focus(form)].widget.attrs["autofocus"] = True


def _field_to_focus(form: Form) -> str:
    if form.is_bound:
        for name in form.fields:
            if name in form.errors:
                return name
    # The country has a default.
    without_country = [name for name in form.fields if name != "country"]
    return without_country[0]


def render_ticket(
    request: HttpRequest,
    ticket: Ticket,
    *,
    wait: int,
    status: int = OK,
    delivery: Delivery = NO_DELIVERY,
) -> HttpResponse:
    """Show the state of a ticket. A form sent without HTMX is redirected to the ticket's page.

    `wait` is the estimated number of seconds until the request ends.
    """
    url = ticket_url(ticket)
    if request.method == "POST" and not is_htmx(request):
        return HttpResponseRedirect(url, status=303)
    template = "promo/ticket.html"
    if is_htmx(request):
        template = "promo/ticket.html#ticket"
    host = request.get_host()
    context = ticket_context(ticket, wait=wait, host=host, delivery=delivery)
    response = render(request, template, context, status=status)
    if request.method == "POST":
        set_browser_url(request, response, url)
    return response


def ticket_context(
    ticket: Ticket, *, wait: int, host: str, delivery: Delivery = NO_DELIVERY
) -> dict[str, Any]:
    """Return the context of the ticket partial; `wait` in seconds, `host` as in the Host header.

    `delivery` is what became of the email about the place, if that is known.
    """
    if ticket.qr_code_url:
        count_step(QR_SHOWN)
    return {
        "ticket": ticket,
        # The name under which templates of `guests` know it.
        "card": ticket,
        "refusal": refusal_of(ticket.refusal_code),
        "wait": wait,
        "delivery": delivery,
        # Functions, because most tickets use few of them. Templates call them.
        "ticket_url": partial(ticket_url, ticket),
        "event_url": partial(reverse, "promo:event", args=[ticket.event_slug]),
        "phone_url": partial(reverse, "promo:phone", args=[ticket.event_slug, ""]),
        "prove_url": partial(reverse, "promo:prove", args=[ticket.event_slug, ""]),
        "email_url": partial(_email_url, ticket),
        "place_url": partial(reverse, "promo:place", args=[ticket.event_slug, ticket.ticket_id]),
        "calendar_url": partial(reverse, "promo:calendar", args=[ticket.event_slug]),
        "websocket_url": websocket_url("promo", ticket.ticket_id, host),
    }


def _email_url(ticket: Ticket) -> str:
    """Return the page that corrects the email, "" while the database is away."""
    if ticket.as_of:
        return ""
    return reverse("promo:email", args=[ticket.event_slug, ""])


def ticket_url(ticket: Ticket) -> str:
    return reverse("promo:ticket", args=[ticket.event_slug, ticket.ticket_id])


def is_htmx(request: HttpRequest) -> bool:
    return bool(cast("HtmxRequest", request).htmx)
