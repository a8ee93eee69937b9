"""Checks of what operators see: metrics, logs, errors."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Info, Warning, register

from snap.environment.processes import METRICS_DIR
from snap.metering.collecting import collect
from snap.setup import SETUP

# Characters of a token that cannot be guessed.
TOKEN_LENGTH = 20


@register(SETUP, deploy=True)
def check_metrics(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of metrics that nobody can read, that anybody can guess, or of one process only."""
    found: list[CheckMessage] = []
    if not settings.METRICS_TOKEN:
        found.append(
            Warning(
                "METRICS_TOKEN is not set: Prometheus on another machine cannot read /metrics.",
                hint="Set METRICS_TOKEN to a random text, and give it to Prometheus.",
                id="snap.W111",
            )
        )
    elif len(settings.METRICS_TOKEN) < TOKEN_LENGTH:
        found.append(
            Warning(
                f"METRICS_TOKEN has fewer than {TOKEN_LENGTH} characters, so it can be guessed.",
                hint="Set METRICS_TOKEN to a longer random text.",
                id="snap.W112",
            )
        )
    if METRICS_DIR not in os.environ:
        found.append(
            Warning(
                f"This command has no {METRICS_DIR}. If the processes have none either, /metrics"
                " shows one of them only, another one each time.",
                hint=f"Set {METRICS_DIR}, for processes and commands alike, to a folder that all of"
                " them can write. Those of `make run` have one.",
                id="snap.W113",
            )
        )
    return found


@register(SETUP, deploy=True)
def check_alerts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Note that Prometheus has never asked this host for its metrics."""
    if METRICS_DIR not in os.environ or _count_scrapes():
        return []
    return [
        Info(
            "Nothing has read /metrics of this host yet: no alert can fire.",
            hint="Let Prometheus and Alertmanager watch it, as docs/operations.md says.",
            id="snap.I116",
        )
    ]


def _count_scrapes() -> float:
    scrapes = 0.0
    for metric in collect():
        for sample in metric.samples:
            if sample.name == "http_requests_total" and sample.labels["route"] == "/metrics":
                scrapes += sample.value
    return scrapes


@register(SETUP, deploy=True)
def check_logs_and_errors(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Note what larger installations have."""
    found: list[CheckMessage] = []
    if settings.LOG_FORMAT != "ecs":
        found.append(
            Info(
                "Logs are readable lines, which an ELK stack has to take apart.",
                hint="Set LOG_FORMAT=ecs for JSON with the field names of ECS.",
                id="snap.I114",
            )
        )
    if not settings.SENTRY_DSN:
        found.append(
            Info(
                "Nobody is told of errors in the code: they are only in the logs.",
                hint="Set SENTRY_DSN to the address of a project in Sentry or Bugsink.",
                id="snap.I115",
            )
        )
    return found
