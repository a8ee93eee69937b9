"""The reliability page. A scenario that is measured again replaces its own row."""

from pathlib import Path

from tests.faults.report import MeasuredScenario, write_report
from tests.faults.result import ScenarioResult


def row(scenario: str, *, slowest: float, wrong: list[str] | None = None) -> MeasuredScenario:
    result = ScenarioResult(
        accepted=1234,
        lost=0,
        doubled=0,
        over_capacity=0,
        slowest=slowest,
        healing=0.5,
        pages_updated=1.5,
        by_level={1: 1234},
        wrong=wrong or [],
    )
    return MeasuredScenario(scenario, f"It broke after {slowest} s.", result)


def test_rows_of_other_scenarios_stay(tmp_path: Path) -> None:
    path = tmp_path / "reliability.md"
    first = [row("one", slowest=1), row("two", slowest=7, wrong=["too slow"])]
    write_report(path, first, form="the long form", has_ended=True)
    assert "| two **failed** | 1,234 | 0 | 0 | 0 | 7.00 | 0.5 | 1.5 |" in path.read_text()
    write_report(path, [row("two", slowest=2)], form="the long form", has_ended=False)
    text = path.read_text()
    assert "This run has not ended" in text
    assert [line for line in text.splitlines() if line.startswith(("| one", "| two"))] == [
        "| one | 1,234 | 0 | 0 | 0 | 1.00 | 0.5 | 1.5 |",
        "| two | 1,234 | 0 | 0 | 0 | 2.00 | 0.5 | 1.5 |",
    ]
    assert text.count("It broke after 1 s.") == 1
    assert "It broke after 7 s." not in text
