"""Ask pip-audit about every pinned package, and report the packages that it could not check.

pip-audit itself ends with "No known vulnerabilities found" when its source knows none of the
packages, or a mirror does not serve advisories. Here only a package that the source knows counts
as checked. Findings fail the run. An unreachable source is reported on stderr and fails nothing.
"""

import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
TIMEOUT = 180  # seconds
NOT_REACHABLE = "pip-audit: advisories not reachable, NOT checked"


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(REQUIREMENTS)]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print(NOT_REACHABLE, file=sys.stderr)
        return 0
    return report_packages(packages)


def report_packages(packages: list[dict[str, object]]) -> int:
    """Print what was found, and return the exit code."""
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = [package for package in packages if package.get("vulns")]
    checked = len(packages) - len(unknown)
    for package in found:
        for advisory in package["vulns"]:  # type: ignore[attr-defined]
            print(f"{package['name']} {package['version']}: {advisory['id']}", file=sys.stderr)
    if not checked:
        print(NOT_REACHABLE, file=sys.stderr)
    elif unknown:
        print(f"pip-audit: NOT checked: {', '.join(map(str, unknown))}", file=sys.stderr)
    if checked:
        print(f"pip-audit: {checked} packages checked, {len(found)} with known weaknesses")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
