#!/usr/bin/env python
import logging
import os
import sys

PYTHON = ".venv/bin/python manage.py"
CHECKOUT = os.path.dirname(os.path.abspath(__file__))

# Older versions cannot read the modules below.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "SNAP needs Python 3.11 or newer, and this is %s; use %s, which `make run` installs."  # noqa: UP031
        % (sys.version.split()[0], PYTHON)
    )

# Python leaves this folder out in its safe mode (PYTHONSAFEPATH).
if CHECKOUT not in sys.path:
    sys.path.insert(0, CHECKOUT)

from snap.environment.errors import (  # noqa: E402
    SettingError,
    describe_os_error,
    is_about_storage,
)
from snap.environment.foreign import remove_foreign_variables  # noqa: E402

# How a shell says that a program was ended by SIGPIPE.
BROKEN_PIPE = 141
OUR_PACKAGES = ("accounts", "guests", "notifications", "promo", "snap", "tests")


def main() -> None:
    """Run the command. What cannot work on this machine ends it with one sentence and status 1."""
    remove_foreign_variables(os.environ)
    os.environ["DJANGO_SETTINGS_MODULE"] = "snap.settings"
    try:
        run_and_flush()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in OUR_PACKAGES:
            raise
        raise SettingError(
            f"the package {package} is not installed for {sys.executable};"
            f" run `make run` once, and use {PYTHON}."
        ) from error
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough. Python must not flush again.
        sys.stdout = None
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if not is_about_storage(error):
            raise
        raise SettingError(describe_os_error(error)) from error


def run_and_flush() -> None:
    """Run the command. A pipe that nobody reads may be found out by its last words only."""
    try:
        run_command()
    finally:
        sys.stdout.flush()


def run_command() -> None:
    # Imported here, because the packages may be missing.
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    # The pool warns of each try to connect. The last sentence says why there is no connection.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    if sys.argv[1:2] == ["up"]:
        # It makes the environment that settings are read from, so it cannot wait for them.
        # `run_from_argv` would read settings at the end, too, to close connections.
        from snap.management.commands.up import Command

        command = Command()
        options = command.create_parser("manage.py", "up").parse_args(sys.argv[2:])
        command.handle(**vars(options))
        return
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        from snap.resilience.connections import connection_problem

        problem = connection_problem()
        if not problem:
            raise
        raise SettingError(f"the database at DATABASE_URL does not respond: {problem}") from error


if __name__ == "__main__":
    main()
