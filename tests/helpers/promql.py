"""What expressions of Prometheus name, and which metrics SNAP's documentation has."""

import re

from tests.docs.reference_tables import codes_in, tables

STRINGS = re.compile(r"\"[^\"]*\"|'[^']*'")
LABELS = re.compile(r"\{[^}]*\}|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
RANGES = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
NUMBERS = re.compile(r"\b\d[\w.]*")
NAMES = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
WORDS = {"and", "or", "unless", "bool", "inf", "nan"}
# What Prometheus and Alertmanager say about themselves.
OF_PROMETHEUS = re.compile(r"up|ALERTS|(prometheus|alertmanager|scrape|granian)_\w+")
PARTS_OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


def metrics_of(expression: str) -> set[str]:
    """Return the names of metrics in an expression."""
    for pattern in (STRINGS, LABELS, RANGES, NUMBERS):
        expression = pattern.sub(" ", expression)
    return set(NAMES.findall(expression)) - WORDS


def documented_metrics() -> set[str]:
    """Return the series of all metrics in docs/reference.md, which tests compare with the code."""
    found: set[str] = set()
    for table in tables():
        if table.columns[:2] != ["Metric", "Type"]:
            continue
        for row in table.rows:
            (name,) = codes_in(row["Metric"])
            is_histogram = row["Type"] == "histogram"
            found |= {name + part for part in PARTS_OF_HISTOGRAMS} if is_histogram else {name}
    return found


def unknown_metrics(expression: str) -> set[str]:
    """Return the names in an expression that neither SNAP nor Prometheus has."""
    unknown = metrics_of(expression) - documented_metrics()
    return {name for name in unknown if not OF_PROMETHEUS.fullmatch(name)}
