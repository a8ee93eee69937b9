"""`make night`: a crowded night in which PostgreSQL is killed, watched as operators watch it.

    python -m tests.night                               3,000 people within a minute
    python -m tests.night --people 200 --seconds 20 --outage 8 --every 1 --write var/night/page.md

It starts SNAP as in production, a real Prometheus and a real Alertmanager, lets people arrive,
kills PostgreSQL in the middle and starts it again. It writes the section of docs/operations.md
with the numbers, and screenshots of the staff dashboard. It takes about six minutes. The exit code
is 1 if something was lost, was missing, or an alert fired that nothing explains.
"""

import argparse
import importlib
import os
import shutil
import sys
from pathlib import Path

import django

from snap.local.processes import BASE_DIR
from tests.bench.stack import ProductionStack
from tests.night.plan import Plan

PROGRAMS = ("prometheus", "prometheus-alertmanager", "chromium-headless-shell")
SETTINGS = {"LOG_FORMAT": "ecs", "LOG_LEVEL": "INFO"}


def read_options(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m tests.night", description="Record a night.")
    parser.add_argument("--people", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=60, help="in which they arrive")
    parser.add_argument("--outage", type=float, default=30, help="seconds without PostgreSQL")
    parser.add_argument("--every", type=int, help="seconds between scrapes; else as deployed")
    parser.add_argument("--settle", type=float, default=240, help="seconds until all is quiet")
    parser.add_argument("--write", type=Path, default=BASE_DIR / "docs" / "operations.md")
    parser.add_argument("--folder", type=Path, default=BASE_DIR / "var" / "night")
    options = parser.parse_args(arguments)
    return Plan(
        people=options.people,
        seconds=options.seconds,
        outage=options.outage,
        every=options.every,
        settle=options.settle,
        page=options.write,
        folder=options.folder,
    )


def main() -> int:
    plan = read_options(sys.argv[1:])
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        print(f"Not installed here: {', '.join(missing)}. `.ci/run` installs them.")
        return 1
    shutil.rmtree(plan.folder, ignore_errors=True)
    plan.folder.mkdir(parents=True)
    with ProductionStack(plan.folder / "stack", SETTINGS) as stack:
        os.environ.update(stack.own_env)
        # Because of Playwright's event loop Django takes every query for one in a coroutine.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        django.setup()
        # Models can only be imported after the stack has made the settings.
        night = importlib.import_module("tests.night.night").Night(stack, plan)
        night.run()
        problems = importlib.import_module("tests.night.page").write(night)
    for problem in problems:
        print(f"- {problem}")
    print(f"{plan.page} is written.")
    return int(bool(problems))


sys.exit(main())
