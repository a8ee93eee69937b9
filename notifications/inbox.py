"""The console provider: emails as files, and a page that shows them. For development only."""

import logging
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMessage
from heapq import nlargest
from pathlib import Path

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp, csp_replace
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from snap.addresses import is_this_machine
from snap.limits.policy import PAGES, limited

log = logging.getLogger(__name__)

MAX_SHOWN = 100
NAME_PATTERN = re.compile(r"[0-9]{8}T[0-9]{12}-[0-9a-f]{8}")
# Other machines need INBOX_TOKEN: first in the printed address, then in a cookie.
KEY_PARAMETER, COOKIE_NAME = "key", "inbox"
CONTENT_ID = re.compile(r"cid:([A-Za-z0-9@._-]+)")


class InboxBackend(BaseEmailBackend):
    """Save each message as a file in INBOX_DIR instead of sending it."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            name = save_message(message.message().as_bytes())
            log.info("email_in_inbox", extra={"inbox_name": name})
        return len(email_messages)


def save_message(content: bytes) -> str:
    """Save a message as a file in INBOX_DIR. Return its name on the inbox page."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    settings.INBOX_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = settings.INBOX_DIR / f".{name}"
    unfinished.write_bytes(content)
    unfinished.rename(_path(name))
    return name


def _path(name: str) -> Path:
    path: Path = settings.INBOX_DIR / f"{name}.eml"
    return path


@limited(read=PAGES)
@require_safe
@never_cache
def inbox(request: HttpRequest) -> HttpResponse:
    """List the newest emails. The key of the printed address is stored in a cookie."""
    _require_access(request)
    if KEY_PARAMETER in request.GET:
        response = redirect("inbox")
        response.set_cookie(
            COOKIE_NAME,
            request.GET[KEY_PARAMETER],
            path=reverse("inbox"),
            httponly=True,
            samesite="Lax",
        )
        return response
    emails = [(name, _read_message(name)) for name in _newest_names()]
    return render(request, "notifications/inbox.html", {"emails": emails})


@limited(read=PAGES)
@require_safe
@never_cache
@csp_replace({"frame-src": [SELF]})  # type: ignore[arg-type]  # its types know no URL arguments
def inbox_message(request: HttpRequest, name: str) -> HttpResponse:
    """Show one email: its headers, its HTML in a frame, and its text."""
    _require_access(request)
    message = _read_message(name)
    context = {"name": name, "message": message, "text": _body(message, "plain")}
    return render(request, "notifications/inbox_message.html", context)


@limited(read=PAGES)
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
def inbox_html(request: HttpRequest, name: str) -> HttpResponse:
    """Show an email's HTML alone. Its links open in new windows."""
    _require_access(request)
    html = _body(_read_message(name), "html")
    query = ""
    if COOKIE_NAME in request.COOKIES:
        # A sandboxed frame sends no cookie for its images.
        query = "?" + urlencode({KEY_PARAMETER: settings.INBOX_TOKEN})

    def image_url(content_id: re.Match[str]) -> str:
        return reverse("inbox_image", args=[name, content_id[1]]) + query

    html = CONTENT_ID.sub(image_url, html)
    return HttpResponse(html.replace("<head>", '<head><base target="_blank">', 1))


@limited(read=PAGES)
@require_safe
@never_cache
def inbox_image(request: HttpRequest, name: str, content_id: str) -> HttpResponse:
    """Serve an email's inline image."""
    _require_access(request)
    for part in _read_message(name).walk():
        if part["Content-ID"] == f"<{content_id}>" and part.get_content_type() == "image/png":
            image = HttpResponse(part.get_payload(decode=True), content_type="image/png")
            # A sandboxed frame has no origin: for the browser, every image is cross-origin.
            image["Cross-Origin-Resource-Policy"] = "cross-origin"
            return image
    raise Http404


def _require_access(request: HttpRequest) -> None:
    """Raise Http404 unless the client is this machine or has the key: emails contain codes."""
    if not settings.INBOX_PAGE:
        raise Http404
    given = request.GET.get(KEY_PARAMETER) or request.COOKIES.get(COOKIE_NAME) or ""
    expected = settings.INBOX_TOKEN
    if expected and constant_time_compare(given, expected):
        return
    if not is_this_machine(request):
        raise Http404


def _newest_names() -> list[str]:
    if not settings.INBOX_DIR.is_dir():
        return []
    # Names begin with their time.
    names = [path.stem for path in settings.INBOX_DIR.glob("*.eml")]
    return nlargest(MAX_SHOWN, filter(NAME_PATTERN.fullmatch, names))


def _read_message(name: str) -> ParsedMessage:
    if not NAME_PATTERN.fullmatch(name):
        raise Http404
    try:
        content = _path(name).read_bytes()
    except FileNotFoundError:
        raise Http404 from None
    return message_from_bytes(content, policy=policy.default)


def _body(message: ParsedMessage, subtype: str) -> str:
    """Return the message's `text/<subtype>` part, or ""."""
    part = message.get_body((subtype,))
    if part is None:
        return ""
    content: str = part.get_content()
    return content
