"""The rules of alerts: each is tested, is in the runbook, and names metrics that SNAP has."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from snap.local.processes import BASE_DIR
from snap.monitor.connections import HIGH
from tests.helpers.promql import metrics_of, unknown_metrics
from tests.helpers.watching import PROMETHEUS, RULES, rules, run_program

RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOK = BASE_DIR / "docs" / "operations.md"
# The alerts of spec 13: what fires, and after how long.
PROMISED = {
    "ResponsesSlow": ("5000", "1m"),
    "ErrorsHigh": ("> 5", "5m"),
    "GuestQueueDeep": ("> 50", "30s"),
    "GuestRequestsLate": ("> 60", None),
}


@cache
def cases(path: Path) -> list[dict[str, Any]]:
    """Return the checks of one file for promtool."""
    tests = yaml.safe_load(path.read_text())["tests"]
    return [check for test in tests for check in test["alert_rule_test"]]


def sections() -> dict[str, str]:
    """Return the text below the heading of each alert in the runbook."""
    alerts = RUNBOOK.read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (.+)$", alerts, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path) -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["rule_files"] = [str(path) for path in RULES]
    (tmp_path / "metrics_token").write_text("a token")
    copy = tmp_path / "prometheus.yml"
    copy.write_text(yaml.safe_dump(config))
    run_program("promtool", "check", "config", copy)


def test_promtool_accepts_the_tests_of_the_rules() -> None:
    run_program("promtool", "test", "rules", *RULE_TESTS)


def test_a_rule_that_is_changed_fails_its_tests(tmp_path: Path) -> None:
    """promtool would pass a file that tests nothing."""
    for folder in ("rules", "tests"):
        (tmp_path / folder).mkdir()
    text = (PROMETHEUS / "rules" / "guests.yml").read_text()
    (tmp_path / "rules" / "guests.yml").write_text(text.replace("depth) > 50", "depth) > 51"))
    tests = tmp_path / "tests" / "guests.yml"
    tests.write_text((PROMETHEUS / "tests" / "guests.yml").read_text())
    with pytest.raises(AssertionError, match="GuestQueueDeep"):
        run_program("promtool", "test", "rules", tests)


@pytest.mark.parametrize("name", rules())
def test_each_alert_is_tested_to_fire_and_not_to(name: str) -> None:
    checks = [check for path in RULE_TESTS for check in cases(path) if check["alertname"] == name]
    assert [check for check in checks if check.get("exp_alerts")], "no test in which it fires"
    assert [check for check in checks if not check.get("exp_alerts")], (
        "no test in which it does not"
    )


@pytest.mark.parametrize("name", rules())
def test_each_alert_says_what_happens_and_links_to_the_runbook(name: str) -> None:
    rule = rules()[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook"}
    assert annotations["summary"].endswith(".")
    assert annotations["description"].endswith(".")
    assert annotations["runbook"] == f"docs/operations.md#{name.lower()}"
    section = sections()[name]
    # The first word of the section is the severity, and what to do follows.
    assert section.strip().startswith(rule["labels"]["severity"].capitalize() + ".")
    assert len(section.split()) > 15


def test_the_runbook_has_no_alert_that_does_not_exist() -> None:
    assert set(sections()) == set(rules())


@pytest.mark.parametrize("name", rules())
def test_each_expression_names_metrics_that_exist(name: str) -> None:
    expression = rules()[name]["expr"]
    assert metrics_of(expression)
    assert unknown_metrics(expression) == set()


def test_the_alerts_of_the_contract_have_its_limits() -> None:
    for name, (limit, duration) in PROMISED.items():
        rule = rules()[name]
        assert limit in rule["expr"]
        assert rule.get("for") == duration


def test_alerts_and_the_monitor_judge_by_as_many_requests() -> None:
    least = settings.MONITOR_LEAST_REQUESTS
    for name, rule in rules().items():
        is_share = re.search(r"/\s*sum\(rate\(http_", rule["expr"])
        assert bool(is_share) == (name in {"ResponsesSlow", "ErrorsHigh"})
        if is_share:
            assert re.search(rf"and sum\(increase\(http_.*\) >= {least}$", rule["expr"]), name


def test_connections_are_high_where_staff_are_told() -> None:
    assert f"> {HIGH} * " in rules()["DatabaseConnectionsHigh"]["expr"]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (le) (rate(a_bucket{route="b",x=~"c|d"}[1m])) > 5e6', {"a_bucket"}),
        ("max(a) or on (b) c unless ignoring (d) e offset 5m", {"a", "c", "e"}),
        ("a:b:rate5m and 100 * absent(up)", {"a:b:rate5m", "up"}),
    ],
)
def test_names_of_metrics_are_found(expression: str, names: set[str]) -> None:
    assert metrics_of(expression) == names


def test_an_unknown_metric_is_found() -> None:
    expression = 'sum(rate(guests_created_total[1m])) / sum(rate(no_such_total{a="b"}[1m]))'
    assert unknown_metrics(expression) == {"no_such_total"}
    assert unknown_metrics("rate(guest_creation_duration_ms_bucket[1m]) + up") == set()
    assert unknown_metrics("guest_creation_duration_ms") == {"guest_creation_duration_ms"}
