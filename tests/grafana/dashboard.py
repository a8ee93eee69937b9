"""Write deploy/grafana/dashboards/snap.json, the dashboard of Grafana.

    python -m tests.grafana

The panels are in the modules `night` and `servers`. This module gives them numbers and places, and
writes them as Grafana stores them: its classic model, which Grafana reads from version 10 on.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.grafana import night, servers
from tests.grafana.panels import Kind, Panel

PAGE = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards" / "snap.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # columns of Grafana's grid
SCHEMA_VERSION = 39
ROWS = [
    ("Is the night well?", night.WELL),
    ("The guest's way", night.WAY),
    ("Queues", night.QUEUES),
    ("Emails", night.EMAILS),
    ("Databases and caches", servers.SERVERS),
    ("Processes", servers.PROCESSES),
    ("HTTP server", servers.GRANIAN),
    ("Limits, modes and switches", servers.CONTROL),
    ("Routes", servers.ROUTES),
]

COUNTED = re.compile(r"\b(rate|increase)\(")

Json = dict[str, Any]


def build() -> Json:
    """Return the dashboard."""
    return {
        "uid": "snap-night",
        "title": "SNAP: a night",
        "description": "Whether the night is well, and if not, where it is stuck.",
        "tags": ["snap"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "schemaVersion": SCHEMA_VERSION,
        "templating": {"list": [_data_source(), _hosts()]},
        "annotations": {"list": [_mode_changes()]},
        "panels": list(_panels()),
    }


# Variables and annotations ------------------------------------------------------------------------


def _data_source() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _hosts() -> Json:
    query = 'label_values(up{job="snap"}, instance)'
    return {
        "name": "host",
        "label": "Host",
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "hosts"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _mode_changes() -> Json:
    """Return the marks in all plots where a mode went on or off."""
    return {
        "name": "Modes",
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "orange",
        "expr": "max by (mode) (changes(load_mode[1m])) > 0",
        "step": "30s",
        "titleFormat": "{{mode}} mode changed",
        "textFormat": "Staff see the reason in admin, under modes.",
    }


# Panels and their places --------------------------------------------------------------------------


def _panels() -> Iterator[Json]:
    """Yield rows and panels with numbers, from left to right and top to bottom."""
    number, top = 1, 0
    for title, panels in ROWS:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        number, top = number + 1, top + 1
        left, height = 0, 0
        for panel in panels:
            if left + panel.width > WIDTH:
                left, top, height = 0, top + height, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield _panel(panel, number, place)
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": list(_targets(panel)),
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _targets(panel: Panel) -> Iterator[Json]:
    for number, (expression, legend) in enumerate(panel.queries):
        target: Json = {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": expression,
            "legendFormat": legend,
            "editorMode": "code",
            "range": True,
        }
        if panel.kind in (Kind.BARS, Kind.TABLE):
            target |= {"range": False, "instant": True}
        if panel.kind is Kind.TABLE:
            target["format"] = "table"
        yield target


def _field(panel: Panel) -> Json:
    field: Json = {
        "unit": panel.unit,
        "min": panel.least,
        "color": {"mode": "thresholds" if panel.thresholds else "palette-classic"},
        "mappings": list(_mappings(panel.words)),
        "custom": {},
    }
    if panel.decimals is not None:
        field["decimals"] = panel.decimals
    if panel.least is None:
        del field["min"]
    if text := _without_samples(panel):
        field["noValue"] = text
    if panel.thresholds:
        steps: list[Json] = [{"color": panel.base, "value": None}]
        for value, colour in panel.thresholds:
            steps.append({"color": colour, "value": value})
        field["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind is Kind.PLOT:
        field["color"] = {"mode": "palette-classic"}
        field["custom"] = {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
        }
    if panel.kind is Kind.STATES:
        field["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    return field


def _without_samples(panel: Panel) -> str:
    """Return what a panel shows without samples; "" for Grafana's own "No data".

    What was not counted is 0, and a time or share of nothing is no fault. Gauges are always there
    while SNAP is watched: without them "No data" is true.
    """
    queries = " ".join(expression for expression, _ in panel.queries)
    if not COUNTED.search(queries):
        return ""
    if "histogram_quantile" in queries or panel.unit == "percent":
        return "nothing measured"
    return "0"


def _mappings(words: Iterable[tuple[int, str, str]]) -> Iterator[Json]:
    options: Json = {}
    for index, (value, text, colour) in enumerate(words):
        options[str(value)] = {"text": text, "color": colour, "index": index}
    if options:
        yield {"type": "value", "options": options}


def _options(panel: Panel) -> Json:
    latest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind is Kind.NUMBER:
        return {
            "reduceOptions": latest,
            "colorMode": "background",
            "graphMode": "area",
            "textMode": "auto",
            "justifyMode": "auto",
        }
    if panel.kind is Kind.BARS:
        return {"reduceOptions": latest, "orientation": "horizontal", "displayMode": "basic"}
    legend = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
    if panel.kind is Kind.STATES:
        return {"mergeValues": True, "showValue": "auto", "rowHeight": 0.9, "legend": legend}
    if panel.kind is Kind.TABLE:
        return {"showHeader": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def as_text() -> str:
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"
