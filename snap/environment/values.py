"""Reads typed settings from environment variables, and refuses what cannot work.

A variable that is empty counts as not set. Surrounding spaces do not count, except in secrets,
which are kept byte for byte.
"""

import builtins
import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from snap.environment.errors import SettingError
from snap.environment.postgresql import database_settings
from snap.environment.public import email_address, origin, public_url, sentry_dsn
from snap.environment.redis import redis_address

# The largest number that PostgreSQL, Redis and timers all take.
LARGEST = 2**31 - 1
PORTS = 65_535
# Characters of a wrong value that a sentence repeats.
SHOWN = 40

TRUE = frozenset({"1", "on", "ok", "true", "y", "yes"})
FALSE = frozenset({"0", "off", "false", "n", "no"})
REQUIRED = ("SECRET_KEY", "PUBLIC_URL", "DATABASE_URL", "REDIS_URL")

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_PAIR_NAME = re.compile(r"[A-Za-z0-9_.-]+")

T = TypeVar("T")


class Environment:
    """Settings by their variable's name. Each method raises SettingError for a wrong value.

    Methods without a default return the value of a variable that must be set.
    """

    def __init__(self, variables: Mapping[builtins.str, builtins.str], folder: Path) -> None:
        self._variables = variables
        # Paths are relative to it, because processes may run in different folders.
        self._folder = folder
        # All secrets that were read, which the log hides.
        self.known_secrets: builtins.list[builtins.str] = []

    # Text -----------------------------------------------------------------------------------------

    def str(self, name: builtins.str, default: builtins.str | None = None) -> builtins.str:
        text = self._variables.get(name, "").strip()
        if not text.isprintable():
            raise SettingError(f"{name} must be one line of text without control characters.")
        return text or self._default(name, default)

    def secret(
        self, name: builtins.str, default: builtins.str | None = None, *, least: builtins.int = 0
    ) -> builtins.str:
        """Return a secret of at least `least` characters, byte for byte."""
        secret = self._variables.get(name, "") or self._default(name, default)
        if len(secret) < least:
            raise SettingError(f"{name} must have at least {least} random characters.")
        self.known_secrets.append(secret)
        return secret

    def credentials(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """Return a secret of the form `name:password`, or an empty one."""
        secret = self.secret(name, default)
        user, colon, password = secret.partition(":")
        if secret and not (user and colon and password):
            raise SettingError(f"{name} must be like name:password.")
        self.known_secrets.append(password)
        return secret

    def secrets(
        self, name: builtins.str, default: builtins.list[builtins.str]
    ) -> builtins.list[builtins.str]:
        """Return secrets that are separated by commas, or a JSON list of them."""
        text = self._variables.get(name, "")
        if text.startswith("["):
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = None
            if isinstance(parsed, builtins.list) and all(
                isinstance(each, builtins.str) for each in parsed
            ):
                return self._remember([each for each in parsed if each])
        return self._remember([each for each in text.split(",") if each.strip()]) or default

    def _remember(self, secrets: builtins.list[builtins.str]) -> builtins.list[builtins.str]:
        self.known_secrets += secrets
        return secrets

    def pairs(
        self,
        name: builtins.str,
        default: dict[builtins.str, builtins.str],
        *,
        are_secret: builtins.bool = False,
    ) -> dict[builtins.str, builtins.str]:
        """Return `name=value` pairs that are separated by commas, as OpenTelemetry writes them.

        Values are percent-encoded. A wrong one is not repeated, because it may be a secret.
        """
        pairs = {}
        for entry in self.list(name, []):
            key, equals, value = entry.partition("=")
            decoded = unquote(value.strip())
            is_text = decoded.isascii() and decoded.isprintable()
            if not equals or not is_text or not _PAIR_NAME.fullmatch(key.strip()):
                raise SettingError(
                    f"{name} must be pairs such as name=value, separated by commas, with values in"
                    " percent-encoded ASCII."
                )
            pairs[key.strip()] = decoded
            if are_secret:
                self.known_secrets.append(decoded)
        return pairs or default

    def list(
        self, name: builtins.str, default: builtins.list[builtins.str]
    ) -> builtins.list[builtins.str]:
        """Return texts that are separated by commas, without spaces and empty entries."""
        entries = [entry.strip() for entry in self.str(name, "").split(",")]
        return [entry for entry in entries if entry] or default

    def hosts(
        self, name: builtins.str, default: builtins.list[builtins.str]
    ) -> builtins.list[builtins.str]:
        """Return host names, without ports. Raises SettingError for an address."""
        hosts = self.list(name, default)
        for host in hosts:
            if "/" in host or " " in host or re.search(r"[^:\]]:[0-9]+$", host):
                raise SettingError(
                    f"{name} must be host names separated by commas, without https:// and port,"
                    f" not {shown(host)}."
                )
        return hosts

    def labels(
        self, name: builtins.str, default: builtins.list[builtins.str]
    ) -> builtins.list[builtins.str]:
        """Return parts of domains, such as the selectors of DKIM keys."""
        labels = self.list(name, default)
        for label in labels:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", label):
                raise SettingError(
                    f"{name} must be names such as s1, separated by commas, not {shown(label)}."
                )
        return labels

    def host(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """Return a host name or an IP address, without port."""
        text = self.str(name, default)
        if not re.fullmatch(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", text):
            raise SettingError(
                f"{name} must be a host such as mail.snap.example, without port, not {shown(text)}."
            )
        return text

    def origins(
        self, name: builtins.str, default: builtins.list[builtins.str]
    ) -> builtins.list[builtins.str]:
        """Return origins of pages, separated by commas: addresses, host names or `*`."""
        return [origin(name, each) for each in self.list(name, default)]

    def domain(self, name: builtins.str, default: builtins.str) -> builtins.str:
        text = self.str(name, default)
        if text and not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
            raise SettingError(f"{name} must be a domain such as mg.snap.example.")
        return text

    def dotted_path(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """Return the path of a Python object, such as `accounts.sms.console`."""
        text = self.str(name, default)
        names = text.split(".")
        if text and (len(names) < 2 or not all(map(builtins.str.isidentifier, names))):
            raise SettingError(f"{name} must be a dotted path such as accounts.sms.console.")
        return text

    def choice(
        self, name: builtins.str, options: Collection[builtins.str], default: builtins.str
    ) -> builtins.str:
        """Return one of the options, whose case does not count.

        It is "" where that is the default.
        """
        if not default and not self.str(name, default):
            return ""
        return self._option(name, options, self.str(name, default), default)

    def choices(
        self,
        name: builtins.str,
        options: Collection[builtins.str],
        default: builtins.list[builtins.str],
    ) -> builtins.list[builtins.str]:
        """Return some of the options, separated by commas."""
        return [self._option(name, options, text, default[0]) for text in self.list(name, default)]

    def _option(
        self,
        name: builtins.str,
        options: Collection[builtins.str],
        text: builtins.str,
        default: builtins.str,
    ) -> builtins.str:
        for option in options:
            if option.casefold() == text.casefold():
                return option
        if len(options) > 20:
            raise SettingError(f"{name} must be a code such as {default}, not {shown(text)}.")
        listed = ", ".join(sorted(options))
        raise SettingError(f"{name} must be one of {listed}, not {shown(text)}.")

    def json(
        self, name: builtins.str, default: dict[builtins.str, builtins.str]
    ) -> dict[builtins.str, builtins.str]:
        """Return a JSON object whose values are senders of emails."""
        text = self.str(name, "")
        if not text:
            return default
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise SettingError(
                f'{name} must be a JSON object of senders, such as {{"login_code": "SNAP'
                f' <codes@snap.example>"}}.'
            )
        return {kind: email_address(name, sender) for kind, sender in parsed.items()}

    def sender(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """Return the sender of emails: an address, with or without a name before it.

        It is "" where that is the default.
        """
        text = self.str(name, default)
        if not text and not default:
            return ""
        return email_address(name, text)

    # Numbers --------------------------------------------------------------------------------------

    def int(
        self,
        name: builtins.str,
        default: builtins.int,
        *,
        least: builtins.int = 1,
        most: builtins.int = LARGEST,
    ) -> builtins.int:
        """Return a whole number from `least` to `most`."""
        text = self.str(name, builtins.str(default))
        is_number = _WHOLE_NUMBER.fullmatch(text) and len(text) < SHOWN
        if is_number and least <= builtins.int(text) <= most:
            return builtins.int(text)
        raise SettingError(
            f"{name} must be a whole number from {least} to {most}, not {shown(text)}."
        )

    def float(
        self, name: builtins.str, default: builtins.float, *, least: builtins.float | None = None
    ) -> builtins.float:
        """Return a number above 0, or of at least `least`."""
        text = self.str(name, builtins.str(default))
        try:
            number = builtins.float(text)
        except ValueError:
            number = math.nan
        if number <= LARGEST and (number > 0 if least is None else number >= least):
            return number
        wanted = "above 0" if least is None else f"of at least {least:g}"
        raise SettingError(f"{name} must be a number {wanted}, such as 2.5, not {shown(text)}.")

    def share(self, name: builtins.str, default: builtins.float) -> builtins.float:
        """Return a number from 0 to 1."""
        text = self.str(name, builtins.str(default))
        try:
            number = builtins.float(text)
        except ValueError:
            number = math.nan
        if 0 <= number <= 1:
            return number
        raise SettingError(f"{name} must be a number from 0 to 1, such as 0.1, not {shown(text)}.")

    def bool(self, name: builtins.str, default: builtins.bool) -> builtins.bool:
        text = self.str(name, builtins.str(default))
        if text.casefold() in TRUE:
            return True
        if text.casefold() in FALSE:
            return False
        raise SettingError(f"{name} must be true or false, not {shown(text)}.")

    def port(
        self, name: builtins.str, default: builtins.int, *, least: builtins.int = 1
    ) -> builtins.int:
        return self.int(name, default, least=least, most=PORTS)

    # Files ----------------------------------------------------------------------------------------

    def folder(self, name: builtins.str, default: Path) -> Path:
        """Return an absolute path. It need not exist, but must not be a file."""
        path = self._path(name, default)
        if path.exists() and not path.is_dir():
            raise SettingError(f"{name} must be a folder, and {path} is a file.")
        return path

    def file(self, name: builtins.str, default: Path) -> Path:
        """Return an absolute path. It need not exist, but must not be a folder."""
        path = self._path(name, default)
        if path.is_dir():
            raise SettingError(f"{name} must be a file, and {path} is a folder.")
        return path

    def _path(self, name: builtins.str, default: Path) -> Path:
        try:
            path = Path(self.str(name, builtins.str(default))).expanduser()
        except RuntimeError as error:
            raise SettingError(f"{name} names the home of a user that does not exist.") from error
        for folder in (self._folder / path).parents:
            if folder.is_file():
                raise SettingError(f"{name} cannot be inside of {folder}, which is a file.")
        return self._folder / path

    # Addresses ------------------------------------------------------------------------------------

    def public_url(self, name: builtins.str) -> builtins.str:
        return public_url(name, self.str(name))

    def url(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """Return an address that begins with https:// or http://, and may have a path.

        It is "" where that is the default.
        """
        text = self.str(name, default)
        if not text and not default:
            return ""
        return public_url(name, text, path=True)

    def sentry_dsn(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """Return the address of a project in Sentry, "" where that is the default."""
        return sentry_dsn(name, self.secret(name, default).strip())

    def db_url(self, name: builtins.str) -> dict[builtins.str, Any]:
        database = database_settings(name, self.secret(name).strip())
        self.known_secrets.append(builtins.str(database.get("PASSWORD") or ""))
        return database

    def redis_url(
        self, name: builtins.str, *, server: builtins.str = "", offset: builtins.int = 0
    ) -> builtins.str:
        """Return a Redis address with its database number.

        The default is the database `offset` numbers after that of `server`, itself such an address.
        """
        given = self._variables.get(name, "").strip()
        if not given and server:
            return redis_address(name, server).after(offset).url
        url = redis_address(name, given or self._default(name, None)).url
        self.known_secrets.append(unquote(urlsplit(url).password or ""))
        return url

    # Relations ------------------------------------------------------------------------------------

    def require(self, name: builtins.str, reason: builtins.str) -> None:
        """Raise SettingError if a variable is not set which others need."""
        if not self._variables.get(name, "").strip():
            raise SettingError(f"{name} must be set {reason}.")

    def _default(self, name: builtins.str, default: builtins.str | None) -> builtins.str:
        if default is not None:
            return default
        raise SettingError(
            f"{name} is not set; `make run` writes it to var/env, and production sets"
            f" {', '.join(REQUIRED[:-1])} and {REQUIRED[-1]}."
        )


def shown(value: builtins.str) -> builtins.str:
    """Return a wrong value as a sentence repeats it."""
    if len(value) > SHOWN:
        value = f"{value[:SHOWN]}…"
    return f"'{value}'"
