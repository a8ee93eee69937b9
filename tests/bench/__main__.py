"""`make bench`: measure SNAP on this machine, and write docs/performance.md.

python -m tests.bench                      everything, about 40 minutes
python -m tests.bench journeys sockets     these parts; the others keep their figures
python -m tests.bench --runs 3             medians of three runs
python -m tests.bench --quick              seconds; shows that it works, writes no document
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

import django

from snap.local.processes import BASE_DIR
from tests.bench.names import PARTS
from tests.bench.stack import ProductionStack

DOCS = BASE_DIR / "docs"


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure SNAP on this machine, with everything on.",
        epilog="parts: " + "; ".join(f"{name} ({text})" for name, text in PARTS.items()),
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="all of them if none is named")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement (60)")
    parser.add_argument("--runs", type=int, default=1, help="how often, for medians (1)")
    parser.add_argument("--add", action="store_true", help="keep the runs of these parts so far")
    parser.add_argument(
        "--as-before", action="store_true", help="attacks: keep the figures as an older release's"
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds, no document")
    parser.add_argument("--report", action="store_true", help="only write the document again")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the document (docs)")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.parts = options.parts or list(PARTS)
    if options.quick:
        options.seconds = min(options.seconds, 2.0)
    return options


def main() -> int:
    options = read_options(sys.argv[1:])
    if options.report:
        # Writing the document needs no running SNAP.
        importlib.import_module("tests.bench.report").write(options.out)
        return 0
    with ProductionStack(BASE_DIR / "var" / "bench") as stack:
        # Django reads its settings from the environment of the stack.
        os.environ.update(stack.own_env)
        django.setup()
        good: bool = importlib.import_module("tests.bench.run").run(stack, options)
    return 0 if good else 1


sys.exit(main())
