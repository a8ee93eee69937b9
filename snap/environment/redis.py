"""Addresses of Redis or Valkey: their parts, their databases, and how Celery writes them."""

import os
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from snap.environment.errors import SettingError

FORM = "redis://user:password@host:port/0"
SCHEMES = ("redis", "rediss", "unix")
DEFAULT_PORT = 6379
# Values of ssl_cert_reqs. Celery's documentation writes the second form.
CERT_REQS = {"none": "CERT_NONE", "optional": "CERT_OPTIONAL", "required": "CERT_REQUIRED"}
SSL_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SSL_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", *SSL_FILES)


@dataclass(frozen=True)
class RedisAddress:
    """The parts of an address. `path` is that of a Unix socket; then host and port mean nothing."""

    scheme: str
    user: str
    password: str
    host: str
    port: int
    path: str
    database: int
    ssl: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address as redis-py reads it."""
        options = dict(self.ssl)
        if self.path:
            location = quote(self.path)
            options["db"] = str(self.database)
        else:
            location = f"{self._host_and_port}/{self.database}"
        return f"{self.scheme}://{self._user_info}{location}{_query(options)}"

    @property
    def celery_url(self) -> str:
        """The address as Celery reads it."""
        if not self.path:
            options = dict(self.ssl)
            if self.scheme == "rediss":
                options["ssl_cert_reqs"] = CERT_REQS[self.ssl.get("ssl_cert_reqs", "required")]
            location = f"{self._host_and_port}/{self.database}"
            return f"{self.scheme}://{self._user_info}{location}{_query(options)}"
        virtual_host = _query({"virtual_host": str(self.database)})
        return f"redis+socket://{self._user_info}{quote(self.path)}{virtual_host}"

    def after(self, count: int) -> "RedisAddress":
        """Return the address of the database `count` numbers after this one."""
        return replace(self, database=self.database + count)

    @property
    def _user_info(self) -> str:
        if not self.user and not self.password:
            return ""
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@"

    @property
    def _host_and_port(self) -> str:
        if ":" in self.host:
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"


def redis_address(name: str, url: str) -> RedisAddress:
    """Return the parts of an address. Raises SettingError."""
    parts, port = _split(name, url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    number = options.pop("db", None)
    path = ""
    if parts.scheme == "unix":
        path = unquote(parts.path)
    else:
        number = parts.path.strip("/") or number
    if number is None:
        number = "0"
    if not (number.isascii() and number.isdecimal() and len(number) < 6):
        raise SettingError(f"{name} must end with the number of a database, like {FORM}.")
    return RedisAddress(
        scheme=parts.scheme,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=unquote(parts.hostname or ""),
        port=port,
        path=path,
        database=int(number),
        ssl=_ssl_options(name, parts.scheme, options),
    )


def celery_broker(url: str) -> str:
    """Return the address of a broker as Celery reads it."""
    return redis_address("BROKER_URL", url).celery_url


def _split(name: str, url: str) -> tuple[SplitResult, int]:
    wrong = SettingError(
        f"{name} must be like {FORM}, rediss://… or unix:///path, with %2F for a / and %23 for a #"
        " in the password."
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    has_place = parts.path.strip("/") if parts.scheme == "unix" else parts.hostname
    is_odd = "#" in url or any(sign.isspace() for sign in url) or port == 0
    if parts.scheme not in SCHEMES or not has_place or is_odd:
        raise wrong
    return parts, port or DEFAULT_PORT


def _ssl_options(name: str, scheme: str, options: dict[str, Any]) -> dict[str, str]:
    for option, value in options.items():
        if option not in SSL_OPTIONS:
            raise SettingError(
                f"{name} has an unknown option; SNAP knows db, {', '.join(SSL_OPTIONS)}."
            )
        if scheme != "rediss":
            raise SettingError(f"{name} must begin with rediss:// to have options of TLS.")
        if option in SSL_FILES and not os.path.exists(value):
            raise SettingError(f"{name} names a file as {option} that does not exist.")
    if "ssl_cert_reqs" in options:
        reqs = options["ssl_cert_reqs"].casefold().removeprefix("cert_")
        if reqs not in CERT_REQS:
            raise SettingError(f"{name} must have an ssl_cert_reqs of {', '.join(CERT_REQS)}.")
        options["ssl_cert_reqs"] = reqs
    return options


def _query(options: dict[str, str]) -> str:
    if not options:
        return ""
    return f"?{urlencode(options)}"
