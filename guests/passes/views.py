"""A guest's pass and the images, as they are served where no CDN stands before the storage."""

import mimetypes

from django.contrib.auth.models import AnonymousUser
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.sessions import remembered_account
from guests.emergency.access import known_account
from guests.emergency.mirror import get_mirror
from guests.models import Event, Guest
from guests.passes.holders import has_link, is_holder
from guests.qr.codes import image_name, image_url, store_image
from snap.limits.policy import PAGES, limited, unlimited
from snap.pages import page_path
from snap.resilience.database import DatabaseAwayError, guarded_database

ONE_YEAR = 31_536_000
AN_IMAGE = (
    "An image cannot solve a challenge, and a crowd behind one address loads one each. It is served"
    " once to a CDN or browser, for less than a limit costs."
)


@limited(read=PAGES)
@never_cache
@require_safe
def guest_pass(request: HttpRequest, token: str) -> HttpResponse:
    """Show a pass to its holder; anybody else reads that it is valid, and how to sign in."""
    try:
        with guarded_database():
            return _show_pass(request, token)
    except DatabaseAwayError:
        if response := _show_mirrored_pass(request, token):
            return response
        raise


def _show_pass(request: HttpRequest, token: str) -> HttpResponse:
    guest = Guest.objects.filter(qr_token=token).select_related("event", "account").first()
    if guest is None:
        raise Http404("no such pass")
    holds = is_holder(request, guest)
    if guest.is_withheld:
        raise Http404("no such pass")
    if holds:
        context = {"guest": guest, "event": guest.event, "qr_code_url": image_url(token)}
        return render(request, "guests/pass.html", context)
    return _show_to_another(request, guest.event)


def _show_mirrored_pass(request: HttpRequest, token: str) -> HttpResponse | None:
    """Show the pass as it was before the database went away. None for one unknown on this host."""
    account = known_account(request)
    request.user = account or AnonymousUser()  # type: ignore[assignment]
    known = get_mirror().find_pass(token)
    if known is None or known.guest is None:
        return None
    if known.guest.is_withheld:
        raise Http404("no such pass")
    has_ended = account is None and remembered_account(request) is not None
    holds = has_link(request, known.guest, session_has_ended=has_ended)
    if not known.belongs_to(account) and not holds:
        return _show_to_another(request, known.guest.event)
    context = {
        "guest": known.guest,
        "event": known.guest.event,
        "qr_code_url": image_url(token),
        "as_of": known.to_ticket().local_as_of,
    }
    return render(request, "guests/pass.html", context)


def _show_to_another(request: HttpRequest, event: Event) -> HttpResponse:
    """Say that a pass is valid and nothing of its guest, and lead back to its event."""
    sign_in_url = page_path("sign_in", event.slug, "")
    return render(request, "guests/pass_of_another.html", {"sign_in_url": sign_in_url})


@unlimited(AN_IMAGE)
@require_safe
def qr_image(request: HttpRequest, token: str) -> HttpResponseBase:
    """Serve a QR image for ever. One that storage lost is drawn again for its guest.

    Without a query, as a CDN does: whoever has to prove themselves first was never told the token.
    """
    name = image_name(token)
    if not default_storage.exists(name):
        if not Guest.objects.filter(qr_token=token).exists():
            raise Http404("no such code")
        store_image(token)
    return _immutable(name)


@unlimited(AN_IMAGE)
@require_safe
def poster(request: HttpRequest, name: str) -> HttpResponseBase:
    stored = f"posters/{name}"
    if not default_storage.exists(stored):
        raise Http404("no such poster")
    return _immutable(stored)


def _immutable(name: str) -> HttpResponseBase:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    response = FileResponse(default_storage.open(name), content_type=content_type)
    # A front end on another host of the same site may show them.
    response["Cross-Origin-Resource-Policy"] = "same-site"
    patch_cache_control(response, public=True, max_age=ONE_YEAR, immutable=True)
    return response
