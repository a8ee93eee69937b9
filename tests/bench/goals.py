"""The performance goals, each with the figure that decides whether it is met."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Medians = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Goal:
    """`figure` takes the medians by part. It raises KeyError when they were not measured."""

    text: str
    figure: Callable[[Medians], float]
    bound: float
    unit: str
    at_least: bool = False

    def compare(self, measured: Medians) -> tuple[str, str]:
        """Return the figure as text, and `met`, `missed` or `not measured`."""
        try:
            value = self.figure(measured)
        except KeyError:
            return "–", "not measured"
        met = value >= self.bound if self.at_least else value <= self.bound
        return f"{value:,.1f} {self.unit}", "met" if met else "**missed**"

    @property
    def wanted(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.bound:,g} {self.unit}"


def growth_of(step: str, size: str = "1000000") -> Callable[[Medians], float]:
    """Return a figure: how much more CPU a step costs on a longer list, in percent."""

    def figure(m: Medians) -> float:
        first, last = (m["growth"][f"guests/{n}/{step}/cpu"] for n in ("1000", size))
        return (last / first - 1) * 100

    return figure


def memory_growth(m: Medians) -> float:
    """Return the growth of memory, in percent, after ten times as many journeys."""
    if m["memory"]["many/journeys"] < m["memory"]["many"]:
        raise KeyError("the time limit ended before all journeys")
    groups = ("web", "ws", "worker", "emails", "sweeper")
    few, many = (
        sum(m["memory"][f"{mark}/{group}"] for group in groups) for mark in ("few", "many")
    )
    return (many / few - 1) * 100


def growth_of_emails(m: Medians) -> float:
    """Return the growth of the process `emails`, in percent, while it sends QR emails."""
    return (m["emails"]["qr_code/MiB/after"] / m["emails"]["qr_code/MiB/before"] - 1) * 100


GOALS = [
    Goal(
        "journeys a second, closed loop of 64",
        lambda m: m["journeys"]["64/rate"],
        150,
        "/s",
        at_least=True,
    ),
    Goal("a journey with 64 users, p95", lambda m: m["journeys"]["64/journey/p95"], 600, "ms"),
    Goal("errors with 64 users", lambda m: m["journeys"]["64/errors"], 0, "errors"),
    Goal(
        "request → QR with 1,500 users in a hurry, p95",
        lambda m: m["journeys"]["1500/request to QR/p95"],
        500,
        "ms",
    ),
    Goal(
        "request → QR with 1,500 users who take a minute each, p95",
        lambda m: m["journeys"]["1500 calm/request to QR/p95"],
        500,
        "ms",
    ),
    Goal(
        "1,500 people within 30 s, served",
        lambda m: m["arrivals"]["served_percent"],
        100,
        "%",
        at_least=True,
    ),
    Goal(
        "open sockets at the same time",
        lambda m: m["sockets"]["5000/open"],
        5000,
        "sockets",
        at_least=True,
    ),
    Goal(
        "the ws process with 5,000 open sockets", lambda m: m["sockets"]["5000/ws MiB"], 250, "MiB"
    ),
    Goal(
        "a push at 300/s to 5,000 sockets, p95", lambda m: m["sockets"]["5000/push/p95"], 20, "ms"
    ),
    Goal("phone check at half load, p95", lambda m: m["calls"]["check/half/p95"], 20, "ms"),
    Goal("accept at half load, p95", lambda m: m["calls"]["accept/half/p95"], 50, "ms"),
    Goal("registration at half load, p95", lambda m: m["journeys"]["half/register/p95"], 100, "ms"),
    Goal("drawing a QR code, CPU", lambda m: m["creation"]["qr/ours"], 1, "ms"),
    Goal("a QR email by SMTP, all in, CPU", lambda m: m["emails"]["qr_code/cpu/emails"], 1, "ms"),
    Goal("a welcome by SMTP, all in, CPU", lambda m: m["emails"]["welcome/cpu/emails"], 1, "ms"),
    Goal(
        "emails a second to an API that takes 50 ms, one process",
        lambda m: m["emails"]["slow resend/rate"],
        200,
        "/s",
        at_least=True,
    ),
    Goal("memory of `emails` after sending QR emails", growth_of_emails, 10, "% more"),
    Goal("event page, 1,000 → 1,000,000 guests", growth_of("page"), 20, "% more"),
    Goal("phone check, 1,000 → 1,000,000 guests", growth_of("check"), 20, "% more"),
    Goal("a whole journey, 1,000 → 1,000,000 guests", growth_of("create"), 20, "% more"),
    Goal("admin's list, 1,000 → 1,000,000 guests", growth_of("admin"), 20, "% more"),
    Goal("counting a request, CPU", lambda m: m["metrics"]["us/request"], 60, "µs"),
    Goal("memory after ten times as many journeys", memory_growth, 10, "% more"),
]
