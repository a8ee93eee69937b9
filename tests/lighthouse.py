"""`make lighthouse`: measure pages as on a phone, and write docs/lighthouse.md.

    python -m tests.lighthouse              medians of five runs
    python -m tests.lighthouse --runs 1     faster
    python -m tests.lighthouse pass         one page only, written to no document

It needs Node.js (npx loads Lighthouse) and Chromium. SNAP runs with servers of its own and with the
demo's events; the pass is that of a guest who registers for one of them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect

from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR
from tests.bench.stack import ProductionStack
from tests.helpers.generated import write_generated

PAGE = BASE_DIR / "docs" / "lighthouse.md"
VERSION = "12.2.3"
EVENT = "/promo/noite-de-abertura/ana/"
PERSON = {
    "firstName": "Marta",
    "lastName": "Valadares",
    "phone": "+351912345678",
    "email": "marta@example.com",
}
PAGES = ("event", "promo", "pass")
CATEGORIES = {
    "performance": "Performance",
    "accessibility": "Accessibility",
    "best-practices": "Best practices",
    "seo": "SEO",
}
TIMES = {
    "first-contentful-paint": "First paint",
    "largest-contentful-paint": "Largest paint",
    "total-blocking-time": "Blocked",
}
CHROMIUM_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking"
    " --disable-component-update --disable-sync"
)
TIMEOUT = 180.0  # seconds of one run
TRIES = 4  # of a run that gives no report

INTRODUCTION = """\
# Lighthouse

`make lighthouse` writes this page: do not edit it. It measures with Lighthouse as on a phone
(screen of 412 points, slow 4G and a processor four times slower, both simulated), with an empty
cache. The pass is open in the browser of its holder, who is signed in. A crawler has no session: it
reads that it must not index a pass.

"""


@dataclass(frozen=True)
class Target:
    """A page: its address, and the cookies of a signed-in guest."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)


Report = dict[str, Any]


# Measuring ----------------------------------------------------------------------------------------


def targets_of(url: str) -> dict[str, Target]:
    """Register a guest at the demo's event, and return the pages to measure."""
    with httpx.Client(base_url=url, timeout=30) as browser:
        page = browser.get(EVENT).text
        event_id = page.partition('data-event-id="')[2].partition('"')[0]
        _call(browser, "register", PERSON)
        created = _call(browser, "guests/create", {"event_id": int(event_id)})
        qr_token = Path(created["data"]["qr_code_url"]).stem
        cookies = dict(browser.cookies.items())
    return {
        "event": Target(f"{url}{EVENT}"),
        "promo": Target(f"{url}/promo/"),
        "pass": Target(f"{url}/guest/{qr_token}", cookies),
    }


def _call(browser: httpx.Client, call: str, body: dict[str, Any]) -> dict[str, Any]:
    # Signing in changes the token.
    headers = {"X-CSRFToken": browser.cookies["csrf"]}
    response = browser.post(f"/api/client-auth/{call}", json=body, headers=headers)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def measure(target: Target, folder: Path) -> Report:
    """Run Lighthouse once and return its report. Raises CalledProcessError."""
    output = folder / "report.json"
    with chromium(folder, target) as port:
        command = [
            *("npx", "--yes", f"lighthouse@{VERSION}", target.address, f"--port={port}"),
            *("--quiet", "--output=json", f"--output-path={output}", "--disable-storage-reset"),
            f"--only-categories={','.join(CATEGORIES)}",
        ]
        subprocess.run(command, check=True, timeout=TIMEOUT, cwd=folder)
    report: Report = json.loads(output.read_text())
    return report


@contextmanager
def chromium(folder: Path, target: Target) -> Iterator[int]:
    """Run a new Chromium that has the cookies of a target, and return its debugging port.

    Lighthouse itself can only send a header, which websockets do not have.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as profile:
        flags = [f"--remote-debugging-port={port}", f"--user-data-dir={profile}"]
        command = [chromium_path(), *CHROMIUM_FLAGS.split(), *flags, "about:blank"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            set_cookies(port, target)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def set_cookies(port: int, target: Target) -> None:
    """Give a Chromium the cookies of a target, when it has started."""
    transport = httpx.HTTPTransport(retries=8)  # They wait for a minute in all.
    with httpx.Client(transport=transport, timeout=30) as client:
        about = client.get(f"http://127.0.0.1:{port}/json/version").json()
    cookies = [
        {"name": name, "value": value, "url": target.address}
        for name, value in target.cookies.items()
    ]
    call = {"id": 1, "method": "Storage.setCookies", "params": {"cookies": cookies}}
    with connect(about["webSocketDebuggerUrl"]) as browser:
        browser.send(json.dumps(call))
        if "error" in json.loads(browser.recv(timeout=30)):
            raise RuntimeError("Chromium did not take the cookies.")


def measure_again(target: Target, folder: Path) -> Report:
    """Run Lighthouse until it gives a report. On a busy machine Chromium may not start in time."""
    for _ in range(TRIES - 1):
        try:
            return measure(target, folder)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"a run failed, and is tried again: {error.__class__.__name__}", flush=True)
    return measure(target, folder)


def chromium_path() -> str:
    """Return the path of Chromium. Raises FileNotFoundError."""
    path = os.environ.get("CHROME_PATH") or shutil.which("chromium")
    if not path:
        raise FileNotFoundError("Lighthouse needs Chromium: apt-get install chromium")
    return path


# The page -----------------------------------------------------------------------------------------


def score(report: Report, category: str) -> int:
    points: float = report["categories"][category]["score"]
    return round(points * 100)


def value(report: Report, audit: str) -> float:
    return float(report["audits"][audit]["numericValue"])


def failed_audits(report: Report) -> list[str]:
    """Return the audits that cost points in any category, sorted."""
    failed = set()
    for category in report["categories"].values():
        for each in category["auditRefs"]:
            points = report["audits"][each["id"]]["score"]
            if each["weight"] > 0 and points is not None and points < 1:
                failed.add(f"{each['id']} ({points:.2f})")
    return sorted(failed)


def row_of(page: str, reports: list[Report]) -> list[str]:
    """Return the cells of a page: median scores, the lowest performance, median times and bytes."""
    cells = [f"`{page}`"]
    cells += [
        f"{statistics.median(score(report, category) for report in reports):g}"
        for category in CATEGORIES
    ]
    cells.append(str(min(score(report, "performance") for report in reports)))
    for audit in TIMES:
        milliseconds = statistics.median(value(report, audit) for report in reports)
        cells.append(f"{milliseconds / 1000:.1f} s")
    cells.append(f"{statistics.median(shift_of(report) for report in reports):.3f}")
    weight = statistics.median(value(report, "total-byte-weight") for report in reports)
    cells.append(f"{weight / 1000:.0f} KB")
    return cells


def shift_of(report: Report) -> float:
    return value(report, "cumulative-layout-shift")


def render(measured: dict[str, list[Report]], load: float, now: datetime) -> str:
    """Return the document. `load` is the load average when measuring began."""
    first = next(iter(measured.values()))[0]
    head = ["Page", *CATEGORIES.values(), "Lowest performance", *TIMES.values(), "Shift", "Loaded"]
    lines = [
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(row_of(page, reports))} |" for page, reports in measured.items()),
    ]
    chromium = first["environment"]["hostUserAgent"].partition("Chrome/")[2].partition(" ")[0]
    runs = len(next(iter(measured.values())))
    facts = (
        f"Lighthouse {first['lighthouseVersion']}, Chromium {chromium}, medians of {runs} runs on"
        f" {now:%Y-%m-%d}. The load average was {load:.1f} when they began, and Lighthouse's own"
        f" benchmark of the machine gave {first['environment']['benchmarkIndex']:g}.\n"
    )
    return INTRODUCTION + "\n".join(lines) + "\n\n" + facts


# The command --------------------------------------------------------------------------------------


def read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lighthouse")
    parser.add_argument("pages", nargs="*", metavar="page", help=f"of {', '.join(PAGES)} (all)")
    parser.add_argument("--runs", type=int, default=5, help="how often, for medians (5)")
    options = parser.parse_args(arguments)
    if unknown := set(options.pages) - set(PAGES):
        parser.error(f"no such page: {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    options = read_options(sys.argv[1:])
    folder = BASE_DIR / "var" / "lighthouse"
    load = os.getloadavg()[0]
    measured: dict[str, list[Report]] = {}
    with ProductionStack(folder) as stack:
        stack.manage("seed_demo", "--url", stack.url)
        targets = targets_of(stack.url)
        for page in options.pages or PAGES:
            measured[page] = []
            for _ in range(options.runs):
                report = measure_again(targets[page], folder)
                measured[page].append(report)
                scores = [score(report, category) for category in CATEGORIES]
                print(page, *scores, *failed_audits(report), flush=True)
    text = render(measured, load, datetime.now(UTC))
    if options.pages:
        print(text)
    else:
        write_generated(PAGE, text.encode())


if __name__ == "__main__":
    main()
