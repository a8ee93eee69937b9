#!/usr/bin/env python
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

REQUIRED = ("SECRET_KEY", "PUBLIC_URL", "DATABASE_URL", "REDIS_URL")


def is_about_missing_variable(error: ImproperlyConfigured) -> bool:
    name = str(error).removeprefix("Set the ").removesuffix(" environment variable")
    return name in REQUIRED


def run_command() -> None:
    """Run the command. Without the required variables, say how to get them and exit with 1."""
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if is_about_missing_variable(error):
            sys.exit(
                "Run `make run` once: it writes var/env. Or set SECRET_KEY, PUBLIC_URL,"
                " DATABASE_URL and REDIS_URL."
            )
        raise


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")
    if sys.argv[1:2] == ["up"]:
        # It makes the environment that settings are read from, so it cannot wait for them.
        from snap.management.commands.up import Command

        Command().run_from_argv(sys.argv)
    else:
        run_command()
