"""How a step or a ticket is shown: the whole page, or for HTMX the partial in it."""

from collections.abc import Iterable, Mapping
from functools import partial
from math import ceil
from typing import Any

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import escape
from django.utils.translation import get_language

from accounts.forms import PhoneForm
from accounts.phones import readable_phone
from guests.models import Event
from guests.requests.tickets import Ticket
from promo.calendars import calendar_of
from promo.links import PromoLink
from promo.refusals import refusal_of, refusal_text
from promo.steps import FORM_STEPS, PHONE_STEPS, remember_phone, sign_phone

# Statuses of a step's form when it was filled in wrongly and nothing else was said.
OK, INVALID = 200, 422
# In the phone form's address: a step was not good any more, and led here.
RESTARTED = "again"

# Stand in a page that is drawn once for many, where each visitor has something of their own.
CSRF_PLACEHOLDER, PATH_PLACEHOLDER = "csrf-of-each-visitor", "address-of-each-visitor"


def render_events(
    request: HttpRequest, events: Iterable[Event], places: Mapping[int, str]
) -> HttpResponse:
    """Show events: first where one has a place, then those whose list one can join.

    `places` are one's own, as `places_of` gives them. Otherwise the events keep their order.
    """
    best_first = ["open", "full", "not_open_yet", "closed", "cancelled"]

    def rank(event: Event) -> int:
        return -1 if event.pk in places else best_first.index(event.list_state())

    shown = [(event, places.get(event.pk, "")) for event in sorted(events, key=rank)]
    return render(request, "promo/events.html", {"events": shown})


def render_event(request: HttpRequest, link: PromoLink, ticket: dict[str, Any]) -> HttpResponse:
    """Show an event, and what `ticket_context` says of a ticket for it, if there is one.

    The phone form comes with it: whoever taps the button waits for nothing.
    """
    state = link.event.list_state(), seconds_until_opening(link.event)
    if not ticket and not request.user.is_authenticated:
        page = _page_for_strangers(link, *state)
        page = page.replace(CSRF_PLACEHOLDER, get_token(request))
        return HttpResponse(page.replace(PATH_PLACEHOLDER, escape(request.get_full_path())))
    return render(request, "promo/event.html", _about_event(link, *state) | ticket)


def _page_for_strangers(link: PromoLink, list_state: str, opens_in: int) -> str:
    """Return the page for every visitor without a session, with placeholders.

    It is rendered once for each link, language and state, without any request: nothing of the
    visitor who happens to come first can be in it.
    """
    key = (get_language() or "", list_state, opens_in)
    page = link.pages.get(key)
    if page is None:
        placeholders = {"csrf_token": CSRF_PLACEHOLDER, "here": PATH_PLACEHOLDER}
        context = _about_event(link, list_state, opens_in) | placeholders
        page = link.pages[key] = render_to_string("promo/event.html", context)
    return page


def _about_event(link: PromoLink, list_state: str, opens_in: int) -> dict[str, Any]:
    form = PhoneForm()
    focus_first_field(form)
    return {
        "link": link,
        "event": link.event,
        "list_state": list_state,
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
    """Show a step of the guest's way: a partial of `promo/steps.html`, alone or in its page.

    `phone` (E.164) is what the step is about, and what its form carries.
    """
    form = context.get("form")
    if form is not None:
        focus_first_field(form)
    if refusal := context.get("refusal"):
        known = refusal_of(refusal)
        context = {**context, "refusal_text": known.text}
        status = known.status
    if status is None:
        status = INVALID if form is not None and form.is_bound and not form.is_valid() else OK
    query = ""
    if phone:
        context = {**context, "phone": readable_phone(phone)}
    if phone and step in PHONE_STEPS:
        query = remember_phone(request, link.event.slug, phone)
        signed = sign_phone(request, link.event.slug, phone)
        context = {**context, "signed_step": signed, "query": query}
    template = f"promo/steps.html#{step}"
    context = {"link": link, "event": link.event, "partial": template, **context}
    if not is_htmx(request):
        return render(request, "promo/step_page.html", context, status=status)
    response = render(request, template, context, status=status)
    if step in FORM_STEPS:
        set_browser_url(request, response, link.step_url(step) + query)
    return response


def next_step(
    request: HttpRequest, link: PromoLink, step: str, context: dict[str, Any], *, phone: str = ""
) -> HttpResponse:
    """Lead on to another step: its partial for HTMX, a redirect for everybody else."""
    if is_htmx(request):
        return render_step(request, link, step, context, phone=phone)
    query = remember_phone(request, link.event.slug, phone) if phone else ""
    return HttpResponseRedirect(link.step_url(step) + query, status=303)


def restart_steps(request: HttpRequest, link: PromoLink) -> HttpResponse:
    """Lead back to the phone form from a step whose phone is not known, and say why."""
    if is_htmx(request):
        return render_step(request, link, "phone", {"form": PhoneForm(), "begins_again": True})
    return HttpResponseRedirect(link.step_url("phone") + f"?{RESTARTED}=1", status=303)


def render_calendar(request: HttpRequest, link: PromoLink) -> HttpResponse:
    body = calendar_of(link.event, request.build_absolute_uri(link.url))
    response = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{link.event.slug}.ics"'
    return response


def seconds_until_opening(event: Event) -> int:
    """Return the whole seconds until an event's list opens, by the database's clock if known."""
    return max(0, ceil((event.list_opens_at - event.database_now).total_seconds()))


def set_browser_url(request: HttpRequest, response: HttpResponse, url: str) -> None:
    """Have the page take the address of what it shows now, and Back lead from every step to the
    event: one form replaces the other in the browser's history."""
    path = request.headers.get("HX-Current-URL", "").partition("?")[0]
    is_form = path.rstrip("/").rpartition("/")[2] in FORM_STEPS
    response["HX-Replace-Url" if is_form else "HX-Push-Url"] = url


def focus_first_field(form: Form) -> None:
    """Have the first wrong field focused, or the field that one writes in first."""
    wrong = [name for name in form.fields if form.is_bound and name in form.errors]
    first = next((name for name in form.fields if name != "country"), "")
    form.fields[wrong[0] if wrong else first].widget.attrs["autofocus"] = True


def render_ticket(
    request: HttpRequest, ticket: Ticket, *, wait: int, status: int = OK
) -> HttpResponse:
    """Show a ticket's state. A form sent without HTMX is first redirected to the ticket's page."""
    url = ticket_url(ticket)
    if request.method == "POST" and not is_htmx(request):
        return HttpResponseRedirect(url, status=303)
    template = "promo/ticket.html#ticket" if is_htmx(request) else "promo/ticket.html"
    context = ticket_context(ticket, wait=wait, host=request.get_host())
    response = render(request, template, context, status=status)
    if request.method == "POST":
        set_browser_url(request, response, url)
    return response


def ticket_context(ticket: Ticket, *, wait: int, host: str) -> dict[str, Any]:
    """Return what the ticket partial shows; `wait` in seconds, `host` as in the Host header."""
    return {
        "ticket": ticket,
        "refusal_text": refusal_text(ticket.refusal or ticket.state),
        "wait": wait,
        "ticket_url": ticket_url(ticket),
        "event_url": reverse("promo:event", args=[ticket.event_slug]),
        # Templates call these, and most tickets need none of them.
        "phone_url": partial(reverse, "promo:phone", args=[ticket.event_slug, ""]),
        "prove_url": partial(reverse, "promo:prove", args=[ticket.event_slug, ""]),
        "calendar_url": partial(reverse, "promo:calendar", args=[ticket.event_slug]),
        "websocket_url": websocket_url("promo", ticket.ticket_id, host),
    }


def ticket_url(ticket: Ticket) -> str:
    return reverse("promo:ticket", args=[ticket.event_slug, ticket.ticket_id])


def websocket_url(kind: str, ticket_id: str, host: str) -> str:
    """Return where a page opens its socket: behind a proxy a path, else the ws process itself."""
    path = f"/ws/{kind}/{ticket_id}/"
    if not settings.WEBSOCKET_PORT:
        return path
    return f"ws://{host.rsplit(':', 1)[0]}:{settings.WEBSOCKET_PORT}{path}"


def is_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))
