"""`make load`: an opening, played by Locust against SNAP's pages and sockets.

    make load SCENARIO=500-in-1                   500 people within a minute, on its own stack
    make load SCENARIO=500-in-30 HOST=https://…   the same guests over half an hour, elsewhere
    make load SCENARIO=200-in-1 LOOP=closed       200 users who begin anew, again and again

The report is var/load/<scenario>.html. Ends with 1 unless every journey counted and, on a stack of
its own, `manage.py audit` found nothing.
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
# So long may workers take for what is still in flight when the load is over.
SETTLE = 30


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load",
        description="Play an opening against SNAP.",
        epilog=f"ready scenarios: {', '.join(READY)}; other numbers will do as well",
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
        # Settings, and with them models, could not be read before the stack had made them.
        prepare = importlib.import_module("tests.load.guests").prepare
        kinds = (count_of(kind, scenario.people) for kind in ("known", "returning"))
        options.host, options.event = stack.url, prepare(sessions, *kinds).slug
        window = CpuWindow(stack.pids)
        played = play(options, stack.env | {"LOAD_SESSIONS": str(sessions)})
        tell_cpu(window)
        good = audit(stack)
    return played or int(not good)


def play(options: argparse.Namespace, env: dict[str, str]) -> int:
    """Run Locust; return its exit code."""
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


def tell_cpu(window: CpuWindow) -> None:
    """Say what each group of SNAP's processes took of the machine meanwhile."""
    used = window.close()
    del used[GENERATOR]  # Not this process: Locust is, and tells its own share.
    shares = ", ".join(f"{name} {cpu / window.seconds:.0%}" for name, cpu in used.items())
    print(f"CPU, in cores of {os.cpu_count()}00%: {shares} (Locust is in `other`)")


def audit(stack: ProductionStack) -> bool:
    """Wait for what is in flight, then prove that nobody was forgotten."""
    for _ in range(SETTLE):
        good, said = stack.audit()
        if said.endswith(" 0 in flight"):
            break
        sleep(1)
    print(f"audit: {said}")
    return good


sys.exit(main())
