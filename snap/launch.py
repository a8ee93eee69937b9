"""Start a process of the Procfile: `python -m snap.launch granian --interface wsgi …`.

The command that follows replaces this process. Before that, what another program's variables would
change is removed, and a setting that cannot work ends the process with one sentence. granian would
otherwise start its processes again and again, and each would print the sentence.
"""

import importlib
import os
import sys
from typing import NoReturn

from snap.environment.errors import SettingError
from snap.environment.foreign import remove_foreign_variables
from snap.environment.processes import METRICS_PORT, check_process_variables

# Programs that import SNAP in other processes than the one that they begin with.
WITH_CHILDREN = ("granian",)
# Programs that a module of SNAP starts.
MODULES = {"granian": "snap.granian"}


def launch(command: list[str]) -> NoReturn:
    """Replace this process by a command. Raises SettingError if it cannot run."""
    remove_foreign_variables(os.environ)
    check_process_variables(os.environ)
    os.environ["DJANGO_SETTINGS_MODULE"] = "snap.settings"
    program = command[0]
    if program in WITH_CHILDREN:
        importlib.import_module("snap.settings")
        command = with_metrics(command, os.environ.get(METRICS_PORT, ""))
    if program in MODULES:
        command = [sys.executable, "-m", MODULES[program], *command[1:]]
    try:
        os.execvp(command[0], command)  # noqa: S606  # nosec B606
    except OSError as error:
        raise SettingError(
            f"{program} is not in PATH; add the folder .venv/bin to it, or run `make run`."
        ) from error


def with_metrics(command: list[str], port: str) -> list[str]:
    """Return granian's command, with the option to show its metrics if they have a port."""
    if port.strip() in {"", "0"}:
        return command
    return [command[0], "--metrics", *command[1:]]


if __name__ == "__main__":
    launch(sys.argv[1:])
