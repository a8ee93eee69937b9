"""Prometheus and Alertmanager as `deploy/` sets them up, and receivers on loopback.

Ports, paths and targets differ from `deploy/`, and intervals if a test asks for that. The rules are
the files of `deploy/`.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from snap.local.embedded import free_port
from snap.local.processes import BASE_DIR, Process
from tests.helpers.mail_servers import Sink

DEPLOY = BASE_DIR / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
RENDER = DEPLOY / "alertmanager" / "render.py"

PACKAGES = {
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "pgbouncer": "pgbouncer",
}
START_TIMEOUT = 20.0

# httpx logs a line for every request.
logging.getLogger("httpx").setLevel(logging.WARNING)


def program(name: str) -> str:
    """Return the path of a program of `deploy/`. Without it tests are skipped, and fail in CI."""
    if path := shutil.which(name):
        return path
    package = PACKAGES.get(name, "prometheus")
    message = f"TESTS OF deploy/ NEED {name}: install it with `apt-get install {package}`"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def run_program(name: str, *arguments: str | Path) -> str:
    """Run such a program, and return what it printed. Fails the test with that if it fails."""
    command = [program(name), *map(str, arguments)]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def rules() -> dict[str, dict[str, Any]]:
    """Return all alert rules by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                assert rule["alert"] not in found, f"two rules have the name {rule['alert']}"
                found[rule["alert"]] = rule
    return found


class SlackServer:
    """An HTTP server in Slack's place. It keeps what its webhook receives."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._arrived_at: list[float] = []
        messages, arrived_at = self.messages, self._arrived_at

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                arrived_at.append(time.time())
                messages.append(json.loads(body))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/night"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def titles(self) -> list[str]:
        """Return the titles of all messages, in order."""
        return [part["title"] for message in self.messages for part in message["attachments"]]

    def arrivals(self) -> list[tuple[float, str]]:
        """Return when each title arrived, in seconds since 1970."""
        return list(zip(self._arrived_at, self.titles(), strict=True))

    def texts(self) -> list[str]:
        return [part["text"] for message in self.messages for part in message["attachments"]]


class Watch:
    """Prometheus and Alertmanager, with Slack and a mail server played on loopback.

    `every` is seconds between scrapes, evaluations and messages. None: as `deploy/` has them.
    """

    def __init__(self, folder: Path, targets: dict[str, list[str]], *, every: int | None) -> None:
        """`targets` are addresses by the job of `prometheus.yml`."""
        self.folder = folder
        self.targets = targets
        self.every = every
        self.slack, self.mail = SlackServer(), Sink()
        self.port, self.alertmanager_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.alertmanager_url = f"http://127.0.0.1:{self.alertmanager_port}"
        self._client = httpx.Client(timeout=10)
        self._stop = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            started.callback(self._client.close)
            started.enter_context(self.slack)
            self.mail.start()
            started.callback(self.mail.stop)
            self._start(started, "alertmanager", self._alertmanager(), self.alertmanager_url)
            self._start(started, "prometheus", self._prometheus(), self.url)
            self._stop = started.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.close()

    def _start(self, started: ExitStack, name: str, command: str, url: str) -> None:
        process = Process(name, command, dict(os.environ))
        with self.log_path(name).open("wb") as log:
            process.start(log)
        started.callback(process.kill)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready(url):
            log_text = self.log_path(name).read_text()[-2000:]
            assert process.is_running(), f"{name} ended:\n{log_text}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{log_text}"
            time.sleep(0.05)

    def _is_ready(self, url: str) -> bool:
        try:
            return self._client.get(f"{url}/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    # Configuration ------------------------------------------------------------------------------

    def _prometheus(self) -> str:
        """Write a copy of the configuration, and return the command."""
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        config["rule_files"] = [str(path) for path in RULES]
        if self.every is not None:
            config["global"] = {
                "scrape_interval": f"{self.every}s",
                "scrape_timeout": f"{self.every}s",
                "evaluation_interval": f"{self.every}s",
            }
        (own,) = [each for each in config["scrape_configs"] if each["job_name"] == "prometheus"]
        own["static_configs"] = [{"targets": [f"127.0.0.1:{self.port}"]}]
        targets = {"alertmanager": [f"127.0.0.1:{self.alertmanager_port}"], **self.targets}
        (self.folder / "targets").mkdir()
        for job, addresses in targets.items():
            content = yaml.safe_dump([{"targets": addresses}])
            (self.folder / "targets" / f"{job}.yml").write_text(content)
        (self.folder / "metrics_token").write_text(os.environ.get("METRICS_TOKEN", "none"))
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        return (
            f"{program('prometheus')} --config.file={path}"
            f" --web.listen-address=127.0.0.1:{self.port}"
            f" --storage.tsdb.path={self.folder / 'data'} --log.level=warn"
        )

    def _alertmanager(self) -> str:
        """Render the configuration, and return the command."""
        slack_url = self.folder / "slack_url"
        slack_url.write_text(self.slack.url)
        rendered = render(
            ALERT_SLACK_URL_FILE=str(slack_url),
            ALERT_EMAIL_TO="night@example.com",
            ALERT_EMAIL_FROM="alerts@example.com",
            ALERT_SMTP_HOST="127.0.0.1",
            ALERT_SMTP_PORT=str(self.mail.port),
            ALERT_SMTP_TLS="false",
            ALERT_DOCS_URL="https://docs.example/",
        )
        config = yaml.safe_load(rendered)
        if self.every is not None:
            route = config["route"]
            for each in (route, *route["routes"]):
                each |= {"group_wait": f"{self.every}s", "group_interval": f"{self.every}s"}
        path = self.folder / "alertmanager.yml"
        path.write_text(yaml.safe_dump(config))
        return (
            f"{program('prometheus-alertmanager')} --config.file={path}"
            f" --web.listen-address=127.0.0.1:{self.alertmanager_port} --cluster.listen-address="
            f" --storage.path={self.folder / 'alertmanager'} --log.level=warn"
        )

    # What they know ------------------------------------------------------------------------------

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._get(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now."""
        found = self._get(f"{self.url}/api/v1/query", query=expression)
        samples: list[dict[str, Any]] = found["data"]["result"]
        return samples

    def query_range(
        self, expression: str, began: float, ended: float, step: float
    ) -> list[dict[str, Any]]:
        """Return the series of an expression, one sample every `step` seconds."""
        parameters = {"query": expression, "start": began, "end": ended, "step": step}
        found = self._get(f"{self.url}/api/v1/query_range", **parameters)
        series: list[dict[str, Any]] = found["data"]["result"]
        return series

    def send(self, *alerts: dict[str, Any]) -> None:
        """Give alerts to Alertmanager, as Prometheus does."""
        response = self._client.post(f"{self.alertmanager_url}/api/v2/alerts", json=list(alerts))
        response.raise_for_status()

    def states(self) -> dict[tuple[str, str], str]:
        """Return the state of each alert in Alertmanager, by its name and instance."""
        alerts = self._get(f"{self.alertmanager_url}/api/v2/alerts")
        return {
            (each["labels"]["alertname"], each["labels"].get("instance", "")): each["status"][
                "state"
            ]
            for each in alerts
        }

    def _get(self, url: str, **parameters: Any) -> Any:
        response = self._client.get(url, params=parameters)
        response.raise_for_status()
        return response.json()


def render(**variables: str) -> str:
    """Return the configuration of Alertmanager for some environment variables."""
    ended = run_render(**variables)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run_render(**variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, RENDER], env=variables, capture_output=True, text=True, check=False
    )
