"""Write Alertmanager's configuration to stdout, with values from the environment.

    ALERT_SLACK_URL_FILE      file with the address of Slack's incoming webhook
    ALERT_EMAIL_TO            addresses that get emails, with commas between them
    ALERT_EMAIL_FROM          sender of these emails
    ALERT_SMTP_HOST           mail server, and ALERT_SMTP_PORT (587)
    ALERT_SMTP_USER           name at the mail server, if it asks for one
    ALERT_SMTP_PASSWORD_FILE  file with the password of that name
    ALERT_SMTP_TLS            false: the mail server has no TLS (true)
    ALERT_DOCS_URL            address of the folder that has docs/

Without ALERT_SLACK_URL_FILE or without ALERT_EMAIL_TO the other receiver stays.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("alertmanager.yml")
DEFAULTS = {
    "ALERT_SLACK_URL_FILE": "",
    "ALERT_EMAIL_TO": "",
    "ALERT_EMAIL_FROM": "",
    "ALERT_SMTP_HOST": "",
    "ALERT_SMTP_PORT": "587",
    "ALERT_SMTP_USER": "",
    "ALERT_SMTP_PASSWORD_FILE": "",
    "ALERT_SMTP_TLS": "true",
    "ALERT_DOCS_URL": "",
}
NEEDED_BY_EMAIL = ("ALERT_EMAIL_FROM", "ALERT_SMTP_HOST")


class MissingError(Exception):
    """A variable is missing or wrong. The text says which, in a sentence."""


def render(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration. Raises MissingError."""
    values = DEFAULTS | {name: environment[name] for name in DEFAULTS if environment.get(name)}
    _check(values)
    if values["ALERT_DOCS_URL"]:
        values["ALERT_DOCS_URL"] = values["ALERT_DOCS_URL"].rstrip("/") + "/"
    config: dict[str, Any] = _fill(yaml.safe_load(TEMPLATE.read_text()), values)
    (receiver,) = config["receivers"]
    if not values["ALERT_SLACK_URL_FILE"]:
        del receiver["slack_configs"]
    if not values["ALERT_EMAIL_TO"]:
        del receiver["email_configs"]
    _remove_unused(config["global"], values)
    return config


def _check(values: Mapping[str, str]) -> None:
    if not values["ALERT_SLACK_URL_FILE"] and not values["ALERT_EMAIL_TO"]:
        raise MissingError("Set ALERT_SLACK_URL_FILE, ALERT_EMAIL_TO or both: nobody gets alerts.")
    missing = [name for name in NEEDED_BY_EMAIL if not values[name]]
    if values["ALERT_EMAIL_TO"] and missing:
        raise MissingError(f"ALERT_EMAIL_TO is set, so set {' and '.join(missing)} too.")
    if bool(values["ALERT_SMTP_USER"]) != bool(values["ALERT_SMTP_PASSWORD_FILE"]):
        raise MissingError("Set both ALERT_SMTP_USER and ALERT_SMTP_PASSWORD_FILE, or neither.")
    if values["ALERT_SMTP_TLS"] not in ("true", "false"):
        raise MissingError("ALERT_SMTP_TLS is true or false.")
    if not values["ALERT_SMTP_PORT"].isdecimal():
        raise MissingError("ALERT_SMTP_PORT is the number of a port.")


def _fill(node: Any, values: Mapping[str, str]) -> Any:
    """Return a copy in which `${NAME}` is replaced. `$labels` and the like stay."""
    if isinstance(node, dict):
        return {key: _fill(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, values) for value in node]
    if isinstance(node, str):
        return Template(node).safe_substitute(values)
    return node


def _remove_unused(common: dict[str, Any], values: Mapping[str, str]) -> None:
    if not values["ALERT_EMAIL_TO"]:
        for name in [name for name in common if name.startswith("smtp_")]:
            del common[name]
        return
    common["smtp_require_tls"] = values["ALERT_SMTP_TLS"] == "true"
    if not values["ALERT_SMTP_USER"]:
        del common["smtp_auth_username"]
        del common["smtp_auth_password_file"]


def main() -> int:
    try:
        config = render(os.environ)
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    yaml.safe_dump(config, sys.stdout, sort_keys=False, width=1000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
