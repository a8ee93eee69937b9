"""`make load`: Locust plays the opening of a list against SNAP's pages and sockets.

    make load SCENARIO=500-in-1                   500 people within a minute, on its own stack
    make load SCENARIO=500-in-30 HOST=https://…   500 people within half an hour, on another host
    make load SCENARIO=200-in-1 LOOP=closed       200 users who go one journey after the other

The report is var/load/<scenario>.html. The exit code is 1 unless every journey counted and, on its
own stack, `manage.py audit` found nothing.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path
from time import sleep

import django

from snap.local.processes import BASE_DIR
from tests.bench.stack import ProductionStack
from tests.bench.usage import GENERATOR, CpuWindow
from tests.load.scenarios import READY, Scenario, count_of

FOLDER = BASE_DIR / "var" / "load"
# Seconds that workers have after the load for requests in flight.
SETTLE = 30


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load",
        description="Play the opening of a list against SNAP.",
        epilog=f"scenarios: {', '.join(READY)}; other numbers are possible",
    )
    parser.add_argument("scenario", help="<people>-in-<minutes>")
    parser.add_argument("--host", help="an address that runs already; else a stack is started")
    parser.add_argument("--event", help="the event's address part; else the first that is listed")
    parser.add_argument("--loop", choices=["open", "closed"], default="open")
    options = parser.parse_args(arguments)
    try:
        Scenario.named(options.scenario)
    except ValueError:
        parser.error(f"a scenario is like {READY[0]}")
    return options


def main() -> int:
    options = read_options(sys.argv[1:])
    FOLDER.mkdir(parents=True, exist_ok=True)
    if options.host:
        return play(options, dict(os.environ))
    with ProductionStack(FOLDER / "stack") as stack:
        os.environ.update(stack.own_env)
        django.setup()
        scenario = Scenario.named(options.scenario)
        sessions = stack.folder / "sessions"
        # Models can only be imported after the stack has made the settings.
        prepare = importlib.import_module("tests.load.guests").prepare
        kinds = (count_of(kind, scenario.people) for kind in ("known", "returning"))
        options.host, options.event = stack.url, prepare(sessions, *kinds).slug
        window = CpuWindow(stack.pids)
        played = play(options, stack.env | {"LOAD_SESSIONS": str(sessions)})
        print_cpu(window)
        good = audit(stack)
    return played or int(not good)


def play(options: argparse.Namespace, env: dict[str, str]) -> int:
    """Run Locust and return its exit code."""
    report = FOLDER / f"{options.scenario}{'-closed' if options.loop == 'closed' else ''}.html"
    locust = [sys.executable, "-m", "locust", "--headless", "--host", options.host.rstrip("/")]
    locust += ["--locustfile", str(Path(__file__).with_name("locustfile.py"))]
    locust += ["--html", str(report), "--only-summary", "--exit-code-on-error", "1"]
    given = {
        "LOAD_SCENARIO": options.scenario,
        "LOAD_LOOP": options.loop,
        "LOAD_EVENT": options.event or "",
        "PYTHONPATH": str(BASE_DIR),
    }
    code = subprocess.run(locust, env=env | given, cwd=BASE_DIR, check=False).returncode
    print(f"report: {report.relative_to(BASE_DIR)}", flush=True)
    return code


def print_cpu(window: CpuWindow) -> None:
    """Print the CPU of each group of processes."""
    used = window.close()
    del used[GENERATOR]  # This process is not the generator. Locust prints its own share.
    shares = ", ".join(f"{name} {cpu / window.seconds:.0%}" for name, cpu in used.items())
    print(f"CPU, in cores of {os.cpu_count()}00%: {shares} (Locust is in `other`)")


def audit(stack: ProductionStack) -> bool:
    """Wait until nothing is in flight, and return whether the audit succeeds."""
    for _ in range(SETTLE):
        good, output = stack.audit()
        if output.endswith(" 0 in flight"):
            break
        sleep(1)
    print(f"audit: {output}")
    return good


sys.exit(main())
