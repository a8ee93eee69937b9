"""Addresses that others use: of SNAP itself, of APIs, of senders."""

import re
from email.utils import getaddresses
from typing import Any
from urllib.parse import urlsplit

from snap.environment.errors import SettingError

PORTS = {"http": 80, "https": 443}

_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+")
_DSN_KEY = re.compile(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)?")
_DSN_PROJECT = re.compile(r"[0-9]+")
_EMAIL = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\".]+(\.[^\s@<>,;:\".]+)*")


def public_url(name: str, text: str, *, path: bool = False) -> str:
    """Return an address in its usual form: lower case, without default port and last slash.

    Raises SettingError for a path, unless `path` allows one.
    """
    example = "https://api.example/v1" if path else "https://snap.example"
    wrong = SettingError(f"{name} must be an address such as {example}, {_rules(path)}.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS or not _HOST.fullmatch(host) or port == 0:
        raise wrong
    has_more = "@" in parts.netloc or "?" in text or "#" in text
    if has_more or (parts.path.strip("/") and not path):
        raise wrong
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != PORTS[scheme]:
        host = f"{host}:{port}"
    return f"{scheme}://{host}{parts.path.rstrip('/')}"


def _rules(path: bool) -> str:
    if path:
        return "with http:// or https:// and a host"
    return "with http:// or https://, a host and no path"


def origin(name: str, text: str) -> str:
    """Return an origin that websockets accept: an address, a host name, or `*`."""
    if "://" in text:
        return public_url(name, text)
    if text == "*" or re.fullmatch(r"\.?[A-Za-z0-9._:\[\]-]+", text):
        return text
    raise SettingError(
        f"{name} must be addresses such as https://snap.example, separated by commas."
    )


def sentry_dsn(name: str, text: str) -> str:
    """Return an address with a key and the number of a project, "" for none.

    Raises SettingError for another one, which it does not repeat: the key is a secret.
    """
    wrong = SettingError(f"{name} must be an address such as https://key@sentry.example/1.")
    key, at, rest = text.partition("://")[2].rpartition("@")
    if not text:
        return ""
    address, slash, project = rest.rpartition("/")
    if not at or not slash or not _DSN_KEY.fullmatch(key) or not _DSN_PROJECT.fullmatch(project):
        raise wrong
    scheme = text.partition("://")[0]
    try:
        address = public_url(name, f"{scheme}://{address}", path=True)
    except SettingError:
        raise wrong from None
    scheme, _, host = address.partition("://")
    return f"{scheme}://{key}@{host}/{project}"


def email_address(name: str, sender: Any) -> str:
    """Return the sender of emails as it is. Raises SettingError for what is not one address."""
    if isinstance(sender, str) and sender.isprintable():
        addresses = [address for _, address in getaddresses([sender])]
        # What is read must be written so. `ana@snap.example x` is read as `ana@snap.examplex`.
        is_written = sender == addresses[0] or sender.endswith(f"<{addresses[0]}>")
        if len(addresses) == 1 and is_written and _EMAIL.fullmatch(addresses[0]):
            return sender
    raise SettingError(f"{name} must name senders such as SNAP <no-reply@snap.example>.")
