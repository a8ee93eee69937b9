"""A guest's pass, and images: QR codes and posters for sites without a CDN, and link previews."""

import mimetypes
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.files.storage import default_storage
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.http import urlencode
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.email_links import is_link_opened
from accounts.mailboxes import masked_email
from accounts.sessions import account_of, remembered_account
from guests.emergency.mirror import get_mirror
from guests.emergency.sessions import known_account
from guests.models import Event, Guest
from guests.passes.holders import (
    PASSES_KEY,
    SIGNATURE_FIELD,
    has_link,
    is_holder,
    open_link,
    signature_in,
)
from guests.passes.image import draw_pass, text_of
from guests.place_status import PlaceStatus, status_of
from guests.previews import preview_name, store_preview, stored_name
from guests.qr.codes import image_name, image_url, store_image
from guests.requests.deliveries import delivery_of_place
from guests.requests.giving_back import give_place_back, keep_place
from notifications.delivery_lines import NO_DELIVERY, Delivery
from snap.crawlers import indexable, secret_address
from snap.limits.policy import PAGES, Policy, account_key, limited, unlimited
from snap.pages import page_path, websocket_url
from snap.resilience.database import DatabaseUnavailableError, guarded_database
from snap.resilience.slots import Slots

LANGUAGE_CODES = "|".join(code for code, _ in settings.LANGUAGES)
PREVIEW_NAME = re.compile(
    rf"(?P<event>[0-9]{{1,9}})-(?P<language>{LANGUAGE_CODES})-[0-9a-f]{{16}}[.]jpg"
)
ONE_YEAR = 31_536_000  # seconds
IMAGES_ARE_CHEAP = (
    "A browser cannot solve a challenge for an image, and a crowd behind one address loads many."
    " A CDN or browser loads each image once, and serving it costs less than checking a limit."
)

# An image takes 50 to 200 ms of CPU.
image_slots = Slots("pass", 1, waiters=2, timeout=2.0)


@dataclass(frozen=True)
class FoundPass:
    """A pass, as one visitor may see it.

    `as_of` is set while the database is away: the time at which the place was last known.
    """

    guest: Guest
    status: PlaceStatus
    is_held: bool
    delivery: Delivery = NO_DELIVERY
    as_of: datetime | None = None

    @property
    def shows_code(self) -> bool:
        return self.is_held and self.status.shows_code and self.guest.qr_token is not None


def _pass_owner(request: HttpRequest) -> str:
    """Return the key of the client that loads its pass again, "" for any other client.

    It is the account, or the last pass whose link was opened in this browser: each link has one
    budget, in however many browsers it is opened.
    """
    if account := account_key(request):
        return account
    if entries := request.session.get(PASSES_KEY):
        return f"pass {signature_in(entries[-1])}"
    return ""


@limited(read=Policy(owner=_pass_owner))
@secret_address
@never_cache
@require_safe
def guest_pass(request: HttpRequest, token: str) -> HttpResponse:
    """Show a pass to its holder. Others see whether it opens the door, and a link to sign in."""
    found = _find_pass(request, token)
    if not found.is_held:
        return _render_for_stranger(request, found.guest.event, found.status)
    return _render_for_holder(request, found, token)


@limited(read=PAGES)
@never_cache
@require_safe
def pass_image(request: HttpRequest, token: str) -> HttpResponse:
    """Return the image of a pass for its holder to save. Nobody else gets it."""
    found = _find_pass(request, token)
    if not found.shows_code:
        raise Http404("no such pass")
    with image_slots.hold_one():
        png = draw_pass(text_of(found.guest), token)
    response = HttpResponse(png, content_type="image/png")
    response["Content-Disposition"] = f'attachment; filename="{found.guest.event.slug}.png"'
    return response


@limited(write=PAGES)
@never_cache
@require_POST
@guarded_database()
def pass_place(request: HttpRequest, token: str) -> HttpResponse:
    """Give the place of a pass back, or undo that with `answer=keep`. Only for its holder."""
    found = _find_stored_pass(request, token)
    if not found.is_held:
        raise Http404("no such pass")
    if request.POST.get("answer") == "keep":
        keep_place(found.guest)
    else:
        give_place_back(found.guest)
    path = reverse("guests:pass", args=[token]) + _signature_query(request)
    return HttpResponseRedirect(path, status=303)


def _find_pass(request: HttpRequest, token: str) -> FoundPass:
    """Return a pass; from this host's mirror while the database is away. Raises Http404."""
    try:
        with guarded_database():
            return _find_stored_pass(request, token)
    except DatabaseUnavailableError:
        if found := _find_mirrored_pass(request, token):
            return found
        raise


def _find_stored_pass(request: HttpRequest, token: str) -> FoundPass:
    guest = Guest.objects.with_place_details().with_token(token)
    if guest is None:
        raise Http404("no such pass")
    # First, since opening the link from the email can be the proof that a withheld pass needs.
    is_held = _is_held(request, guest, token)
    status = status_of(guest, token=token)
    delivery = NO_DELIVERY
    if is_held and status.shows_code:
        delivery = delivery_of_place(guest, guest.account, guest.event)
    return FoundPass(guest, status, is_held, delivery)


def _is_held(request: HttpRequest, guest: Guest, token: str) -> bool:
    account = account_of(request)  # It also empties a session that has ended.
    signature = _signature_in(request)
    if is_link_opened(request):
        open_link(request.session, guest, signature, token=token)
    return is_holder(request.session, guest, account, signature, token=token)


def _signature_in(request: HttpRequest) -> str:
    """Return the signature of the link in the email, "" without one."""
    return request.GET.get(SIGNATURE_FIELD, "")


def _signature_query(request: HttpRequest) -> str:
    """Return the query with the signature of the link, for addresses of the same pass."""
    if signature := _signature_in(request):
        return "?" + urlencode({SIGNATURE_FIELD: signature})
    return ""


def _find_mirrored_pass(request: HttpRequest, token: str) -> FoundPass | None:
    """Return the pass from this host's mirror while the database is away. None if it has none."""
    account = known_account(request.session)
    request.user = account or AnonymousUser()  # type: ignore[assignment]
    known = get_mirror().find_pass(token)
    if known is None or known.guest is None:
        return None
    session = request.session
    has_ended = account is None and remembered_account(session) is not None
    is_held = known.belongs_to(account) or has_link(
        session, known.guest, _signature_in(request), token=token, session_has_ended=has_ended
    )
    status = status_of(known.guest, token=token)
    return FoundPass(known.guest, status, is_held, as_of=known.to_ticket().local_as_of)


def _render_for_holder(request: HttpRequest, found: FoundPass, token: str) -> HttpResponse:
    """Show how the place stands, with the QR code where it opens the door."""
    guest, event = found.guest, found.guest.event
    context: dict[str, Any] = {
        "guest": guest,
        "event": event,
        "status": found.status,
        "as_of": found.as_of,
        "place_url": reverse("guests:place", args=[token]) + _signature_query(request),
        "calendar_url": page_path("calendar", event.slug),
        "event_url": page_path("event", event.slug),
        "undo_seconds": guest.seconds_to_undo(guest.database_now),
        "can_give_back": found.status.can_give_back and guest.checked_in_at is None,
        "card": _card_of(guest, found.status),
        "delivery": found.delivery,
        "websocket_url": websocket_url("pass", token, request.get_host()),
    }
    if not found.as_of:
        context["email_url"] = page_path("correct_email", event.slug, "")
    if found.shows_code:
        context["qr_code_url"] = image_url(guest.qr_token or "")
        image_path = reverse("guests:pass_image", args=[token])
        context["pass_image_url"] = image_path + _signature_query(request)
    return render(request, "guests/pass.html", context)


def _card_of(guest: Guest, status: PlaceStatus) -> dict[str, Any]:
    """Return what a page shows of the event and the email, by the names that a ticket has."""
    event, email = guest.event, guest.account.email
    return {
        "event_title": event.title,
        "local_start": event.local_start,
        "venue": event.venue,
        "address": event.address,
        "previous": status.moved_from,
        "email_hint": masked_email(email),
        "likely_domain": guest.account.likely_domain,
    }


def _render_for_stranger(request: HttpRequest, event: Event, status: PlaceStatus) -> HttpResponse:
    """Show whether a pass opens the door, nothing of its guest, and a link to sign in."""
    context = {
        "sign_in_url": page_path("sign_in", event.slug, ""),
        "is_valid": status.shows_code,
        "is_cancelled": status.phase is Event.Phase.CANCELLED,
        "is_over": status.phase is Event.Phase.OVER,
    }
    return render(request, "guests/pass_of_another.html", context)


@unlimited(IMAGES_ARE_CHEAP)
@require_safe
def qr_image(request: HttpRequest, token: str) -> HttpResponseBase:
    """Serve a QR image that browsers may cache for a year. Draw it again if storage has lost it.

    A stored image needs no query, and no visitor is checked, as with a CDN. Guests who have to
    prove themselves first are not shown the token.
    """
    name = image_name(token)
    if not default_storage.exists(name):
        if not Guest.objects.filter(qr_token=token).exists():
            raise Http404("no such code")
        store_image(token)
    return _immutable(name)


@unlimited(IMAGES_ARE_CHEAP)
@indexable
@require_safe
def poster(request: HttpRequest, name: str) -> HttpResponseBase:
    stored = f"posters/{name}"
    if not default_storage.exists(stored):
        raise Http404("no such poster")
    response = _immutable(stored)
    # Mailboxes in a browser show it in emails.
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@unlimited(IMAGES_ARE_CHEAP)
@indexable
@require_safe
def preview(request: HttpRequest, name: str) -> HttpResponseBase:
    """Serve the image of an event for link previews, and draw it when storage does not have it.

    A stored image needs no query. The name of an image that the event had before leads to the
    present one.
    """
    match = PREVIEW_NAME.fullmatch(name)
    if match is None:
        raise Http404("no such preview")
    if not default_storage.exists(stored_name(name)):
        event = get_object_or_404(Event.objects.published(), pk=match["event"])
        with override(match["language"]):
            present = preview_name(event)
        if name != present:
            return redirect("guests:preview", present)
        store_preview(event, match["language"])
    response = _immutable(stored_name(name))
    # Chat apps may show the image inside their own pages.
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _immutable(name: str) -> HttpResponseBase:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    response = FileResponse(default_storage.open(name), content_type=content_type)
    # A front end on another host of the same site may show them.
    response["Cross-Origin-Resource-Policy"] = "same-site"
    patch_cache_control(response, public=True, max_age=ONE_YEAR, immutable=True)
    return response
