"""A guest's pass and the images, as they are served where no CDN stands before the storage."""

import mimetypes

from django.contrib.auth.models import AnonymousUser
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.sessions import account_of
from snap.database import DatabaseAwayError, asking

from . import qr
from .access import holds_pass, known_account
from .mirror import the_mirror
from .models import Guest

ONE_YEAR = 31_536_000


@never_cache
@require_safe
def guest_pass(request: HttpRequest, token: str) -> HttpResponse:
    """Show the holder their pass; anybody else only learns that the pass exists."""
    try:
        with asking():
            return _show_pass(request, token)
    except DatabaseAwayError:
        if answer := _show_mirrored_pass(request, token):
            return answer
        raise


def _show_pass(request: HttpRequest, token: str) -> HttpResponse:
    guest = Guest.objects.filter(qr_token=token).select_related("event", "account").first()
    if guest is None or guest.is_withheld:
        raise Http404("no such pass")
    account = account_of(request)
    is_holder = account is not None and account.pk == guest.account_id
    context = {"guest": guest, "event": guest.event, "qr_code_url": qr.image_url(token)}
    template = "guests/pass.html" if is_holder else "guests/pass_of_another.html"
    return render(request, template, context if is_holder else {})


def _show_mirrored_pass(request: HttpRequest, token: str) -> HttpResponse | None:
    """Show the pass as it was before the database went away. None for one unknown on this host."""
    account = known_account(request)
    request.user = account or AnonymousUser()  # type: ignore[assignment]
    known = the_mirror().find_pass(token)
    if known is None or known.guest is None:
        return None
    if known.guest.is_withheld:
        raise Http404("no such pass")
    if not known.is_of(account) and not holds_pass(request, known.guest):
        return render(request, "guests/pass_of_another.html", {})
    context = {
        "guest": known.guest,
        "event": known.guest.event,
        "qr_code_url": qr.image_url(token),
        "as_of": known.describe().local_as_of,
    }
    return render(request, "guests/pass.html", context)


@require_safe
def qr_image(request: HttpRequest, token: str) -> HttpResponseBase:
    """Serve a QR image for ever. One that storage lost is drawn again for its guest.

    Without a query, as a CDN does: whoever has to prove themselves first was never told the token.
    """
    name = qr.image_name(token)
    if not default_storage.exists(name):
        if not Guest.objects.filter(qr_token=token).exists():
            raise Http404("no such code")
        qr.store_image(token)
    return _immutable(name)


@require_safe
def poster(request: HttpRequest, name: str) -> HttpResponseBase:
    stored = f"posters/{name}"
    if not default_storage.exists(stored):
        raise Http404("no such poster")
    return _immutable(stored)


def _immutable(name: str) -> HttpResponseBase:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    answer = FileResponse(default_storage.open(name), content_type=content_type)
    # A front end on another host of the same site may show them.
    answer["Cross-Origin-Resource-Policy"] = "same-site"
    patch_cache_control(answer, public=True, max_age=ONE_YEAR, immutable=True)
    return answer
