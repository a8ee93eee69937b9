"""Reads the metric files of all processes of this host and adds them up.

prometheus_client's own collector fails when one file is damaged or being made, shows gauges until
somebody removes their files, and takes three times as long: it parses every key of every file each
time. Keys stay where they are in a file, so this module remembers where: 18 processes with 7,000
values take 13 ms.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from snap.local_cache import on_reset
from snap.metering import files, slots
from snap.metering.entries import HEADER, CorruptFileError, read_entries, used_bytes, value_at

log = logging.getLogger(__name__)

Labels = tuple[tuple[str, str], ...]
Totals = dict["Key", float]


@dataclass(frozen=True)
class Key:
    """What an entry of a file counts. `le` is the bound of a histogram's bucket.

    The same value may have two texts: the files outlive the release that wrote them.
    """

    kind: str  # counter, histogram, or a gauge's mode such as `livemax`
    metric: str
    sample: str
    labels: Labels
    le: float | None
    help: str = field(compare=False)


@dataclass
class _Layout:
    """Where the values of one file are."""

    inode: int
    scanned: int = HEADER
    entries: list[tuple[Key, int]] = field(default_factory=list)


class _Process:
    """What this process remembers of the files."""

    layouts: dict[str, _Layout] = {}
    keys: dict[tuple[str, bytes], Key] = {}
    lock = Lock()
    has_warned = False


def collect(kind: str = "") -> list[Metric]:
    """Return the metrics of all processes of this host, in the order of their names.

    Without a folder, those of this process. `kind` may be `gauge`, `counter` or `histogram`. Files
    that cannot be read are left out.
    """
    if slots.folder() is None:
        return [metric for metric in REGISTRY.collect() if not kind or metric.type == kind]
    _warn_of_removal()
    return _to_metrics(_add_up(kind))


def _warn_of_removal() -> None:
    """Log once if somebody has removed the files: what processes count is then shown nowhere."""
    if slots.is_removed() and not _Process.has_warned:
        _Process.has_warned = True
        log.warning("metrics_folder_removed", extra={"folder": str(slots.folder())})


def _add_up(kind: str) -> Totals:
    totals: Totals = {}
    newest: dict[Key, float] = {}
    with _Process.lock:
        for name, inode, content in _contents(kind):
            for key, position in _layout(name, inode, content).entries:
                value, time = value_at(content, position)
                _add(totals, newest, key, value, time)
    return totals


def _add(totals: Totals, newest: dict[Key, float], key: Key, value: float, time: float) -> None:
    earlier = totals.get(key)
    if earlier is None:
        totals[key], newest[key] = value, time
    elif key.kind == "livemax":
        totals[key] = max(earlier, value)
    elif key.kind == "livemin":
        totals[key] = min(earlier, value)
    elif key.kind == "livemostrecent":
        if time > newest[key]:
            totals[key], newest[key] = value, time
    else:
        totals[key] = earlier + value


def _contents(kind: str) -> Iterator[tuple[str, int, bytes]]:
    """Yield the name, the inode and the content of each file, without gauges of ended processes."""
    where = slots.folder()
    living = {name for name, _ in slots.living()}
    for path in sorted(where.glob(f"{kind}*.db")) if where else []:
        if path.name.startswith("gauge_") and _process_of(path.name) not in living:
            continue
        try:
            with path.open("rb") as file:
                content = file.read()
                yield path.name, _inode(path), content
        except OSError:
            continue
    for name, content in files.in_memory().items():
        if name.startswith(kind):
            yield f"memory/{name}", 0, content


def _inode(path: Path) -> int:
    return path.stat().st_ino


def _process_of(name: str) -> str:
    return name.removesuffix(".db").rpartition("_")[2]


def _layout(name: str, inode: int, content: bytes) -> _Layout:
    """Return where the values of a file are. Only new keys are parsed."""
    layout = _Process.layouts.get(name)
    try:
        used = used_bytes(content)
        if layout is None or layout.inode != inode or layout.scanned > used:
            layout = _Process.layouts[name] = _Layout(inode)
        if layout.scanned < used:
            kind = _kind_of(name)
            for key, position in read_entries(content, layout.scanned):
                layout.entries.append((_parse(kind, key), position))
            layout.scanned = used
    except (CorruptFileError, ValueError, TypeError):
        return _Layout(inode)
    return layout


def _kind_of(name: str) -> str:
    """Return `counter` or `histogram`, or the mode of the gauges in a file."""
    parts = name.rpartition("/")[2].split("_")
    if parts[0] == "gauge":
        return parts[1]
    return parts[0]


def _parse(kind: str, key: bytes) -> Key:
    known = _Process.keys.get((kind, key))
    if known is not None:
        return known
    metric, sample, labels, text = json.loads(key)
    bound = labels.pop("le", None) if kind == "histogram" else None
    le = None if bound is None else float(bound)
    parsed = Key(kind, metric, sample, tuple(sorted(labels.items())), le, text)
    _Process.keys[kind, key] = parsed
    return parsed


def _to_metrics(totals: Totals) -> list[Metric]:
    metrics: dict[str, Metric] = {}
    buckets: dict[tuple[str, Labels], dict[float, float]] = defaultdict(dict)
    for key, value in totals.items():
        metric = metrics.get(key.metric)
        if metric is None:
            kind = key.kind if key.kind in {"counter", "histogram"} else "gauge"
            metric = metrics[key.metric] = Metric(key.metric, key.help, kind)
        if key.le is None:
            metric.add_sample(key.sample, dict(key.labels), value)
        else:
            counts = buckets[key.metric, key.labels]
            counts[key.le] = counts.get(key.le, 0.0) + value
    for (name, labels), counts in buckets.items():
        _add_buckets(metrics[name], labels, counts)
    return [metrics[name] for name in sorted(metrics)]


def _add_buckets(metric: Metric, labels: Labels, counts: dict[float, float]) -> None:
    """Add the buckets of a histogram, each with the counts of those below it, and the count."""
    total = 0.0
    for bound in sorted(counts):
        total += counts[bound]
        with_bound = {**dict(labels), "le": floatToGoString(bound)}  # type: ignore[no-untyped-call]
        metric.add_sample(f"{metric.name}_bucket", with_bound, total)
    metric.add_sample(f"{metric.name}_count", dict(labels), total)


def _forget() -> None:
    _Process.layouts = {}
    _Process.keys = {}
    _Process.has_warned = False


on_reset(_forget)
