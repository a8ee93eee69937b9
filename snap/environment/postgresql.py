"""The address of PostgreSQL, as Django's settings name its parts."""

import os
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from snap.environment.errors import SettingError

SCHEMES = ("postgres", "postgresql")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Options of an address that are parts of it, by their names in Django's settings.
PARTS = {
    "dbname": "NAME",
    "user": "USER",
    "password": "PASSWORD",  # nosec B105
    "host": "HOST",
    "port": "PORT",
}
# Options that name a file, which has to be there.
FILES = ("sslcert", "sslkey", "sslcrl", "passfile", "servicefile")
FORM = "postgres://user:password@host:port/name"


def database_settings(name: str, url: str) -> dict[str, Any]:
    """Return NAME, USER, PASSWORD, HOST, PORT and OPTIONS of an address. Raises SettingError.

    The options are libpq's, such as `sslmode`. `host` may be a folder of Unix sockets, or several
    hosts separated by commas.
    """
    parts = _split(name, url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    hosts, ports = _hosts_and_ports(name, parts.netloc.rpartition("@")[2])
    database = unquote(parts.path[1:])
    if database.startswith("/"):  # postgres:////var/run/postgresql/name
        hosts, _, database = database.rpartition("/")
    settings: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.rstrip("/"),
        "USER": unquote(user),
        "PASSWORD": unquote(password),
        "HOST": hosts,
        "PORT": ports,
    }
    options = _options(name, parts.query)
    for option, part in PARTS.items():
        if option in options:
            settings[part] = options.pop(option)
    if not settings["NAME"] and "service" not in options:
        raise SettingError(f"{name} names no database; it must be like {FORM}.")
    return settings | {"OPTIONS": options}


def _split(name: str, url: str) -> SplitResult:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise SettingError(f"{name} must begin with postgres://, like {FORM}.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong_form(name) from None
    if "#" in url or any(sign.isspace() for sign in url):
        raise _wrong_form(name)
    return parts


def _hosts_and_ports(name: str, text: str) -> tuple[str, str]:
    """Return the hosts and the ports, each separated by commas."""
    hosts = []
    ports = []
    for each in text.split(","):
        host, port = _host_and_port(name, each)
        hosts.append(host)
        ports.append(port)
    if not any(ports):
        return ",".join(hosts), ""
    return ",".join(hosts), ",".join(ports)


def _host_and_port(name: str, text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        is_wrong = not bracket or rest[:1] not in ("", ":")
    else:
        host, _, port = text.partition(":")
        is_wrong = False
    if is_wrong or not _is_port_or_empty(port):
        raise _wrong_form(name)
    return unquote(host), port


def _is_port_or_empty(text: str) -> bool:
    if not text:
        return True
    return text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65_536


def _options(name: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not options:
        return options
    from psycopg import pq  # Its import takes 50 ms, which most processes need not spend twice.

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for option, value in options.items():
        if option not in known:
            raise SettingError(
                f"{name} has an option that is not in PostgreSQL's list of connection parameters."
            )
        if option in FILES and not os.path.exists(value):
            raise SettingError(f"{name} names a file as {option} that does not exist.")
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise SettingError(f"{name} must have an sslmode of {', '.join(SSL_MODES)}.")
    return options


def _wrong_form(name: str) -> SettingError:
    return SettingError(
        f"{name} must be like {FORM}, with %2F for a / and %23 for a # in the password."
    )
