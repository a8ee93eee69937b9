"""`make run`: start everything that SNAP needs on one machine, until Ctrl-C."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError

from snap.local import stack
from snap.local.environment import StartError
from snap.local.wheels import EmbeddedError


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
            sys.exit(f"SNAP cannot start: {error}")
        except OperationalError as error:
            reason = " ".join(str(error).split())
            sys.exit(f"SNAP cannot start: the database at DATABASE_URL does not respond: {reason}")
        except OSError as error:
            sys.exit(f"SNAP cannot start: {error.strerror}: {error.filename}")
