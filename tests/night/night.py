"""The night itself: the crowd, the outage, and everything that is known about it afterwards."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from django.db import connection

from notifications.models import Email
from snap.control.modes import MODES
from snap.models import Mode, ModeChange
from tests.bench.stack import ProductionStack
from tests.factories import make_staff
from tests.faults.people import make_people
from tests.faults.result import LENIENT, ScenarioResult, judge
from tests.faults.storm import Response
from tests.helpers.watching import Watch
from tests.night.crowd import Crowd, add_promoters, make_night
from tests.night.plan import Plan
from tests.night.screens import Screens

STEP = 5.0  # seconds between two samples


@dataclass
class Moments:
    """Seconds since 1970."""

    began: float = 0.0
    broken: float = 0.0
    repaired: float = 0.0
    arrived: float = 0.0
    ended: float = 0.0
    # When the last alert and the last mode ended; None: not within the plan's `settle`.
    quiet: float | None = None
    emails_sent: float | None = None


@dataclass(frozen=True)
class FiredAlert:
    """An alert that fired, in seconds since 1970. `told` is when Slack was told, None: never."""

    name: str
    began: float
    ended: float
    told: float | None
    told_end: float | None


def forget_connections() -> None:
    """Close connections from before the outage, which lead to a server that has stopped."""
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has it


@dataclass
class Night:
    """One night on a stack of its own. `run` fills what is known about it."""

    stack: ProductionStack
    plan: Plan
    moments: Moments = field(default_factory=Moments)
    problems: list[str] = field(default_factory=list)
    changes: list[ModeChange] = field(default_factory=list)
    alerts: list[FiredAlert] = field(default_factory=list)
    accepted: list[Response] = field(default_factory=list)

    def run(self) -> None:
        staff, event = make_staff(), make_night(self.plan.people)
        promoters = add_promoters(event)
        print(f"making {self.plan.people} people", flush=True)
        people = make_people(self.plan.people)
        with ExitStack() as opened:
            self.watch = opened.enter_context(self._watch())
            folder = self.plan.screenshots
            self.screens = Screens(self.stack.url, staff, event.slug, folder)
            opened.enter_context(self.screens)
            self._wait_for_data()
            self.crowd = Crowd(
                self.stack.url,
                event,
                people,
                rate=self.plan.rate,
                at_once=self.plan.people,
                patience=60.0,
                sockets=f"ws://127.0.0.1:{self.stack.ws_port}",
                shows_progress=True,
            )
            self.crowd.promoters = promoters
            self._live()
            self._settle()
            self.result = self._judge()
            self._collect()
        # Beside Playwright's event loop Django has had another connection than before and now.
        forget_connections()
        self.problems += self.screens.problems

    def _watch(self) -> Watch:
        folder = self.plan.folder / "watch"
        folder.mkdir()
        targets = {"snap": [f"127.0.0.1:{self.stack.web_port}"]}
        return Watch(folder, targets, every=self.plan.every)

    def _wait_for_data(self) -> None:
        """Wait for the first scrapes, so that rates have something to begin from."""
        deadline = time.monotonic() + 60
        while not self.watch.query('count_over_time(up{job="snap"}[5m]) >= 2'):
            if time.monotonic() > deadline:
                self.problems.append("Prometheus cannot read /metrics.")
                return
            time.sleep(0.5)

    # The night ----------------------------------------------------------------------------------

    def _live(self) -> None:
        """Let people arrive, and kill PostgreSQL in the middle."""
        plan = self.plan
        self.moments.began = time.time()
        with self.crowd:
            self._sleep_until(plan.breaks_after - 2)
            self.screens.take("rush", "phone")
            self._sleep_until(plan.breaks_after)
            self.moments.broken = time.time()
            print("PostgreSQL is killed", flush=True)
            self.stack.postgresql.stop("immediate")
            self._sleep_until(plan.breaks_after + plan.outage - 3)
            self.screens.take("outage", "phone", "desktop")
            self._sleep_until(plan.breaks_after + plan.outage)
            self.stack.postgresql.start()
            self.moments.repaired = time.time()
            print("PostgreSQL is back", flush=True)
            self._sleep_until(plan.seconds)
            self.screens.take("after", "phone")
            self.moments.arrived = time.time()
        self.moments.ended = time.time()
        forget_connections()

    def _sleep_until(self, seconds: float) -> None:
        """Sleep until so many seconds after the beginning."""
        time.sleep(max(0.0, self.moments.began + seconds - time.time()))

    def _settle(self) -> None:
        """Wait until emails are sent, alerts have ended and no mode is on."""
        print("waiting for the end of alerts and modes", flush=True)
        deadline = time.monotonic() + self.plan.settle
        moments = self.moments
        # Messages about the end of an alert go out a group interval later.
        told_after = 75 if self.plan.every is None else 5
        while time.monotonic() < deadline:
            if moments.emails_sent is None and not Email.objects.filter(state="queued").exists():
                moments.emails_sent = time.time()
            is_quiet = not self.watch.firing() and not Mode.objects.filter(is_on=True).exists()
            if not is_quiet:
                moments.quiet = None
            elif moments.quiet is None:
                moments.quiet = time.time()
            if moments.quiet and moments.emails_sent and time.time() > moments.quiet + told_after:
                break
            time.sleep(1)
        self.screens.take("end", "phone", "desktop")

    def _judge(self) -> ScenarioResult:
        """Compare all responses with the rows, the journal and the history."""
        return judge([self.crowd], healed_at=self.moments.repaired, limits=LENIENT, was_outage=True)

    # What is known ------------------------------------------------------------------------------

    def _collect(self) -> None:
        self.accepted = self.crowd.responses_with("accepted", "ended")
        self.changes = list(ModeChange.objects.filter(mode__in=MODES).order_by("changed_at"))
        self.alerts = self._fired_alerts()
        self.samples = {name: self._sample(expression) for name, expression in EXPRESSIONS.items()}
        self.emails = {
            state: Email.objects.filter(state=state).count() for state in ("sent", "dead", "queued")
        }

    def _fired_alerts(self) -> list[FiredAlert]:
        series = self.watch.query_range(
            'max by (alertname) (ALERTS{alertstate="firing"})',
            self.moments.began - 60,
            time.time(),
            1.0,
        )
        fired = []
        for each in series:
            name = each["metric"]["alertname"]
            times = [at for at, _ in each["values"]]
            told = self._told(name, "CRITICAL", "WARNING")
            told_end = self._told(name, "OVER")
            fired.append(
                FiredAlert(
                    name, times[0], times[-1], min(told, default=None), max(told_end, default=None)
                )
            )
        return sorted(fired, key=lambda alert: alert.began)

    def _told(self, name: str, *words: str) -> list[float]:
        """Return when Slack got messages about an alert that begin with one of these words."""
        titles = {f"{word}: {name}" for word in words}
        return [at for at, title in self.watch.slack.arrivals() if title in titles]

    def _sample(self, expression: str) -> dict[int, float]:
        """Return an expression over the night, by seconds from its beginning."""
        began = self.moments.began
        series = self.watch.query_range(expression, began - 10, time.time(), STEP)
        if not series:
            return {}
        return {round(at - began): float(value) for at, value in series[0]["values"]}


VISITORS = 'route!~"/healthz|/readyz|/metrics|static"'
# What the table shows, by the heading of its column.
EXPRESSIONS = {
    "requests/s": f"sum(rate(http_requests_total{{{VISITORS}}}[30s]))",
    "errors %": (
        f'100 * (sum(rate(http_requests_total{{status=~"5..",{VISITORS}}}[30s])) or vector(0))'
        f" / sum(rate(http_requests_total{{{VISITORS}}}[30s]))"
    ),
    "p95 ms": (
        "histogram_quantile(0.95, sum by (le)"
        f" (rate(http_request_duration_ms_bucket{{{VISITORS}}}[30s])))"
    ),
    "level": "max(service_level)",
    "breaker": 'max(circuit_breaker_state{name="database"})',
    "requests waiting": "max(guest_creation_queue_depth)",
    "oldest s": "max(guest_creation_oldest_age_seconds)",
    "in the journal": "max(journal_queue_depth)",
    "emails waiting": "sum(max by (lane) (emails_queue_depth))",
    "connections": "max(database_connections)",
    "emergency": 'max(load_mode{mode="emergency"})',
    "queue": 'max(load_mode{mode="queue"})',
}
