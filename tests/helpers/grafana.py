"""The dashboard of Grafana as its file has it, and its queries as Prometheus gets them."""

import json
import re
from typing import Any

from tests.grafana.dashboard import PAGE

DASHBOARD: dict[str, Any] = json.loads(PAGE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# What Grafana itself puts in, and an example of it.
BUILT_IN = {"__rate_interval": "1m", "__range": "1h", "__interval": "10s"}


def queries() -> dict[str, str]:
    """Return all expressions by panel and letter, with those of annotations and variables."""
    found = {}
    for panel in PANELS:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        found[f"annotation {annotation['name']}"] = annotation["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            inside = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
            assert inside, variable
            found[f"variable {variable['name']}"] = inside[1]
    return found


def as_prometheus(expression: str) -> str:
    """Return an expression as Grafana sends it, for all hosts."""
    values = BUILT_IN | {"host": ".*"}
    return VARIABLE.sub(lambda match: values[match[1] or match[2]], expression)
