"""`make run`: start everything that SNAP needs on one machine, until Ctrl-C."""

import shutil
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError

from snap.environment.errors import SettingError, describe_os_error
from snap.local import stack
from snap.local.environment import StartError
from snap.local.wheels import EmbeddedError
from snap.resilience.connections import connection_problem

# PostgreSQL ends when it cannot write its next segment of the write-ahead log: 16 MiB by default.
WAL_SEGMENT = 16 * 2**20


class Command(BaseCommand):
    """manage.py runs this command before Django reads settings: it creates their environment."""

    help = "Start SNAP on this machine: servers, demo events and all processes, until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--verbose", action="store_true", help="show the logs of all processes on the screen"
        )
        parser.add_argument(
            "--without",
            nargs="+",
            default=[],
            metavar="PROCESS",
            help="leave out processes of the Procfile, to run them in another terminal",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            stack.run(verbose=options["verbose"], without=options["without"])
        except (StartError, EmbeddedError) as error:
            raise SettingError(str(error)) from error
        except OperationalError as error:
            raise SettingError(_database_problem(error)) from error
        except OSError as error:
            raise SettingError(describe_os_error(error)) from error


def _database_problem(error: OperationalError) -> str:
    if shutil.disk_usage(stack.VAR).free < WAL_SEGMENT:
        return f"the disk of {stack.VAR} is full; free some space on it."
    problem = connection_problem() or " ".join(str(error).split())
    return f"the database at DATABASE_URL does not respond: {problem}"
