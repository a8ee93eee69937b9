"""Alertmanager's configuration: who is told, and what is not told because another alert says it."""

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.stack import wait_for
from tests.helpers.watching import ALERTMANAGER, Watch, render, rules, run_program, run_render

SLACK = {"ALERT_SLACK_URL_FILE": "/etc/alertmanager/slack_url"}
EMAIL = {
    "ALERT_EMAIL_TO": "night@example.com",
    "ALERT_EMAIL_FROM": "alerts@example.com",
    "ALERT_SMTP_HOST": "smtp.example.com",
}
LOGIN = {"ALERT_SMTP_USER": "alerts", "ALERT_SMTP_PASSWORD_FILE": "/etc/alertmanager/password"}


def inhibitions() -> list[tuple[set[str], set[str], list[str]]]:
    """Return sources, targets and equal labels of each rule."""
    config = yaml.safe_load(ALERTMANAGER.read_text())
    return [
        (_names(rule["source_matchers"]), _names(rule["target_matchers"]), rule.get("equal", []))
        for rule in config["inhibit_rules"]
    ]


def _names(matchers: list[str]) -> set[str]:
    (matcher,) = matchers
    return set(re.findall(r"[A-Z][A-Za-z]+", matcher))


def alert(name: str, *, is_over: bool = False, **labels: str) -> dict[str, Any]:
    """Return an alert as Prometheus sends it."""
    rule = rules()[name]
    # Alertmanager waits for other alerts of the group only while an alert is new.
    starts_at = datetime.now(UTC)
    ends_at = starts_at + timedelta(seconds=300)
    if is_over:
        starts_at, ends_at = starts_at - timedelta(seconds=10), starts_at - timedelta(seconds=1)
    return {
        "labels": {"alertname": name, **rule["labels"], **labels},
        "annotations": rule["annotations"],
        "startsAt": starts_at.isoformat(),
        "endsAt": ends_at.isoformat(),
    }


def text_of(email: EmailMessage) -> str:
    part = email.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.mark.parametrize("variables", [SLACK, EMAIL, SLACK | EMAIL, SLACK | EMAIL | LOGIN])
def test_amtool_accepts_what_is_rendered(tmp_path: Path, variables: dict[str, str]) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(render(**variables))
    assert "SUCCESS" in run_program("amtool", "check-config", path)
    assert "${" not in path.read_text()


def test_amtool_accepts_the_template() -> None:
    assert "SUCCESS" in run_program("amtool", "check-config", ALERTMANAGER)


def test_only_the_receivers_that_are_set_stay() -> None:
    (receiver,) = yaml.safe_load(render(**SLACK))["receivers"]
    assert set(receiver) == {"name", "slack_configs"}
    assert "smtp" not in render(**SLACK)
    (receiver,) = yaml.safe_load(render(**EMAIL))["receivers"]
    assert set(receiver) == {"name", "email_configs"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "nobody gets alerts"),
        ({"ALERT_EMAIL_TO": "a@example.com"}, "ALERT_EMAIL_FROM and ALERT_SMTP_HOST"),
        (EMAIL | {"ALERT_SMTP_PORT": "smtp"}, "ALERT_SMTP_PORT is the number"),
        (EMAIL | {"ALERT_SMTP_USER": "alerts"}, "ALERT_SMTP_PASSWORD_FILE"),
        (EMAIL | {"ALERT_SMTP_TLS": "no"}, "ALERT_SMTP_TLS is true or false"),
    ],
)
def test_a_missing_variable_is_named(variables: dict[str, str], words: str) -> None:
    ended = run_render(**variables)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize("url", ["https://example.com/snap", "https://example.com/snap/"])
def test_the_runbook_is_below_the_address_of_the_docs(url: str) -> None:
    rendered = render(**SLACK, ALERT_DOCS_URL=url)
    assert "What to do: https://example.com/snap/{{ .Annotations.runbook }}" in rendered


def test_inhibitions_name_alerts_that_exist() -> None:
    for sources, targets, _ in inhibitions():
        assert sources | targets <= set(rules())


def test_no_two_alerts_silence_each_other() -> None:
    """Nobody would be told of either."""
    pairs = {(s, t) for sources, targets, _ in inhibitions() for s in sources for t in targets}
    followers: dict[str, set[str]] = {}
    for source, target in pairs:
        followers.setdefault(source, set()).add(target)

    def all_followers(name: str) -> set[str]:
        reached: set[str] = set()
        waiting = [name]
        while waiting:
            for follower in followers.get(waiting.pop(), set()) - reached:
                reached.add(follower)
                waiting.append(follower)
        return reached

    assert [name for name in followers if name in all_followers(name)] == []


@pytest.mark.slow
def test_what_follows_from_another_alert_is_not_told(tmp_path: Path) -> None:
    """Each rule of the file, in a real Alertmanager, and an alert that follows from none."""
    with Watch(tmp_path, {}, every=1) as watch:
        for sources, targets, equal in inhibitions():
            (source,) = sources
            first = [alert(source, instance="a"), alert("GuestRequestsDead", instance="a")]
            watch.send(*first, *(alert(target, instance="a") for target in targets))
            states = watch.states()
            assert {states[target, "a"] for target in targets} == {"suppressed"}, source
            assert states[source, "a"] == states["GuestRequestsDead", "a"] == "active"
            for target in targets:
                watch.send(alert(target, instance="b"))
                state = watch.states()[target, "b"]
                assert state == ("active" if equal else "suppressed"), source
                watch.send(alert(target, instance="b", is_over=True))
            names = {source, *targets, "GuestRequestsDead"}
            watch.send(*(alert(name, instance="a", is_over=True) for name in names))
            wait_for(lambda: not watch.states())


def test_a_message_says_what_to_do_and_its_end_is_told(tmp_path: Path) -> None:
    with Watch(tmp_path, {}, every=1) as watch:
        watch.send(*(alert("SnapDown", instance=instance) for instance in ("a", "b")))
        wait_for(lambda: watch.slack.messages and watch.mail.messages)
        assert watch.slack.titles() == ["CRITICAL: SnapDown"]
        (text,) = watch.slack.texts()
        assert text.count("https://docs.example/docs/operations.md#snapdown") == 2
        (email,) = watch.mail.messages
        assert email["Subject"] == "CRITICAL: SnapDown"
        assert email["To"] == "night@example.com"
        assert "https://docs.example/docs/operations.md#snapdown" in text_of(email)
        watch.send(*(alert("SnapDown", instance=i, is_over=True) for i in ("a", "b")))
        wait_for(lambda: "OVER: SnapDown" in watch.slack.titles(), 15)
        wait_for(lambda: len(watch.mail.messages) == 2, 15)
