#!/usr/bin/env python
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")
    if sys.argv[1:2] == ["up"]:
        # It makes the environment that settings are read from, so it cannot wait for them.
        from snap.management.commands.up import Command

        Command().run_from_argv(sys.argv)
    else:
        execute_from_command_line(sys.argv)
