"""The tools of the bench: which journeys count, and what the document says."""

import asyncio
import json
from itertools import count
from pathlib import Path

import pytest

from guests.models import Event, Guest
from notifications.models import Email
from tests.bench import report, tables
from tests.bench.figures import medians, percentile
from tests.bench.goals import Goal
from tests.bench.journey import STEPS, Journey, Phones, Times, closed_loop, is_png, open_loop
from tests.factories import make_event
from tests.helpers.stack import Stack
from tests.load.scenarios import QUIET, READY, Scenario, count_of

PNG = Path("docs/screenshots/qr.png")


def run_journeys(url: str, event: Event, people: int) -> Times:
    """Let people arrive, ten a second, and return their times."""
    phones, times = Phones(count(915_000_000)), Times()
    arrived = asyncio.run(
        open_loop(lambda: Journey(url, event.slug, phones.next()), 10, people / 10 - 0.05, times)
    )
    assert arrived == people
    return times


@pytest.mark.processes
def test_a_journey_ends_with_a_guest_and_counts_every_step(stack: Stack) -> None:
    event = make_event()
    times = run_journeys(stack.url, event, 5)
    assert times.errors == []
    assert times.journeys == Guest.objects.filter(event=event).count() == 5
    assert all(len(times.steps[step]) == 5 for step in STEPS)
    assert Email.objects.filter(kind="qr_code").count() == 5


@pytest.mark.processes
def test_a_journey_without_its_image_does_not_count(stack: Stack, tmp_path: Path) -> None:
    """Web cannot read images here. The guests are created, but no journey counts."""
    nowhere = tmp_path / "media"
    nowhere.mkdir()
    event = make_event()
    with stack.another_web(MEDIA_ROOT=str(nowhere)) as url:
        # Now it is a file and no folder.
        nowhere.rmdir()
        nowhere.touch()
        times = run_journeys(url, event, 3)
    assert Guest.objects.filter(event=event).count() == 3
    assert times.journeys == 0
    assert [error[:10] for error in times.errors] == ["image: 500"] * 3


@pytest.mark.processes
def test_a_guest_on_the_waiting_list_does_not_count(stack: Stack) -> None:
    times = run_journeys(stack.url, make_event(capacity=2), 3)
    assert times.journeys == 2
    assert len(times.errors) == 1
    assert times.errors[0].startswith("push: no code, a place on the waiting list")


@pytest.mark.processes
def test_a_closed_loop_counts_only_while_it_is_open(stack: Stack) -> None:
    event, phones, times = make_event(), Phones(count(916_000_000)), Times(is_open=False)

    async def run() -> None:
        over = asyncio.Event()
        loop = asyncio.create_task(
            closed_loop(lambda: Journey(stack.url, event.slug, phones.next()), 2, times, over)
        )
        while not await asyncio.to_thread(_guests, event):
            await asyncio.sleep(0.05)
        times.is_open = True
        while times.journeys < 3:
            await asyncio.sleep(0.05)
        times.is_open = False
        over.set()
        await loop

    asyncio.run(run())
    assert times.errors == []
    assert 3 <= times.journeys < Guest.objects.filter(event=event).count()


def _guests(event: Event) -> int:
    return Guest.objects.filter(event=event).count()


def test_half_an_image_is_no_png() -> None:
    whole = PNG.read_bytes()
    assert is_png(whole)
    assert not is_png(whole[: len(whole) // 2])
    assert not is_png(b"<html>not found</html>")


def test_percentiles_and_medians() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 95, 99)] == [50, 95, 99]
    assert percentile([7.0], 95) == 7.0
    assert percentile([], 95) == 0.0
    runs = [{"rate": 1.0, "p95": 9.0}, {"rate": 5.0}, {"rate": 2.0}]
    assert medians(runs) == {"rate": 2.0, "p95": 9.0}


@pytest.mark.parametrize(
    ("measured", "status"), [(150.0, "met"), (149.0, "**missed**"), (None, "not measured")]
)
def test_a_goal_is_met_by_its_figure(measured: float | None, status: str) -> None:
    goal = Goal("rate", lambda m: m["journeys"]["rate"], 150, "/s", at_least=True)
    part = {} if measured is None else {"rate": measured}
    assert goal.compare({"journeys": part})[1] == status


def test_the_document_depends_only_on_the_figures(tmp_path: Path) -> None:
    """Runs give their medians, and writing twice gives the same files."""
    figures = {"64/rate": 170.0, "64/errors": 0.0, "64/journey/p95": 700.0, "64/cpu/web": 3.0}
    for rate in (160.0, 170.0, 190.0):
        run = report.describe_run(figures | {"64/rate": rate}, 60, 0.1, 20.0)
        report.keep(tmp_path, "journeys", run, again=True)
    report.write(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    report.write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == written
    text = written["performance.md"].decode()
    assert "Medians of 3 runs" in text
    assert "| journeys a second, closed loop of 64 | at least 150 /s | 170.0 /s | met |" in text
    assert "| a journey with 64 users, p95 | at most 600 ms | 700.0 ms | **missed** |" in text
    assert "not measured" in text
    assert b"<dc:date>" not in written["performance-cpu.svg"]


def test_new_runs_replace_old_ones(tmp_path: Path) -> None:
    for rate, again in ((1.0, False), (2.0, True), (3.0, False)):
        report.keep(
            tmp_path, "journeys", report.describe_run({"64/rate": rate}, 60, 0.0, 20.0), again=again
        )
    kept = json.loads((tmp_path / "performance.json").read_text())
    assert [run["figures"]["64/rate"] for run in kept["journeys"]] == [3.0]


@pytest.mark.parametrize("name", READY)
def test_all_people_of_a_scenario_arrive_and_most_at_the_beginning(name: str) -> None:
    scenario = Scenario.named(name)
    arrived = [scenario.arrived(second) for second in range(int(QUIET + scenario.seconds) + 1)]
    assert arrived == sorted(arrived)
    assert arrived[int(QUIET) - 1] <= scenario.people * 0.02
    assert arrived[int(QUIET + scenario.seconds / 2)] >= scenario.people * 0.7
    assert arrived[-1] == scenario.people
    kinds = [count_of(kind, scenario.people) for kind in ("new", "known", "returning", "impatient")]
    assert sum(kinds) == scenario.people
    assert min(kinds) >= scenario.people * 0.1


def test_the_document_has_djangos_cpu_of_an_email_beside_ours() -> None:
    figures = {"qr_code/cpu/emails": 0.604, "qr_code/send_mail": 2.2, "slow resend/rate": 251.0}
    lines = tables.of("emails", figures)
    assert "| CPU ms of `emails`, all in | 0.60 | – | – |" in lines
    assert "| CPU ms of Django's `send_mail` | 2.20 | – | – |" in lines
    assert "| Resend's API over HTTP | 251 | – | – |" in lines
