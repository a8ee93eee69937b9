"""Names of processes that are used again: recycled workers leave no files behind."""

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from snap.metering import slots
from snap.metering.collecting import collect
from tests.helpers.metering import living, run, values

COUNT = "seen.labels('a').inc(); took.observe(5)"
# Four processes at a time end and are replaced, as workers of Celery do.
RECYCLE = """
for _ in range(50):
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            seen.labels("a").inc()
            took.observe(5)
            state.labels("b").set(1)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))


def names() -> list[str]:
    return [name for name, _ in slots.living()]


def test_each_living_process_has_a_slot_of_its_own(tmp_path: Path) -> None:
    with ExitStack() as stack:
        pids = {stack.enter_context(living(tmp_path, COUNT)).pid for _ in range(3)}
        stack.enter_context(living(tmp_path, COUNT, kind="worker"))
        assert names() == ["web-1", "web-2", "web-3", "worker-1"]
        assert pids == {pid for name, pid in slots.living() if name != "worker-1"}
    assert names() == []


def test_a_slot_of_a_killed_process_is_taken_again_with_its_counts(tmp_path: Path) -> None:
    with living(tmp_path, COUNT), living(tmp_path, COUNT) as second:
        second.kill()
        second.wait()
        assert names() == ["web-1"]
        assert values("seen_total") == {("a",): 2}
        with living(tmp_path, COUNT):
            assert names() == ["web-1", "web-2"]
            assert values("seen_total") == {("a",): 3}
            assert values("took_count") == {(): 3}


def test_counts_go_on_when_a_release_words_a_metric_otherwise(tmp_path: Path) -> None:
    """Prometheus refuses a series that comes twice."""
    for text in ("Seen", "Times that it was seen"):
        program = f"""
again = Counter("again", {text!r}, ["page"])
again.labels("a").inc(2)
long = Histogram("long", {text!r}, buckets=(1,))
long.observe(0.5)
"""
        assert run(tmp_path, program).returncode == 0
    assert values("again_total") == {("a",): 4}
    assert values("long_count") == {(): 2}
    metrics = {metric.name: metric for metric in collect()}
    assert [len(metrics[name].samples) for name in ("again", "long")] == [1, 4]


@pytest.mark.slow
def test_recycled_processes_add_neither_files_nor_series(tmp_path: Path) -> None:
    """200 processes, of which four live at a time."""
    program = f"{COUNT}\n" + RECYCLE.replace("range(50)", "range(1)")
    assert run(tmp_path, program, kind="worker").returncode == 0
    series = set(values("seen_total")), set(values("took_bucket"))
    assert values("seen_total") == {("a",): 5}

    done = run(tmp_path, RECYCLE, kind="worker")
    assert (done.returncode, done.stderr) == (0, "")
    left = {path.name for path in (tmp_path / slots.FOLDER).iterdir()}
    # At most one slot for the parent and each of four children, with three kinds of files.
    assert len([name for name in left if name.endswith(slots.SUFFIX)]) <= 5
    assert len(left) <= 5 * 4
    assert (set(values("seen_total")), set(values("took_bucket"))) == series
    assert values("seen_total") == {("a",): 205}
    assert values("took_bucket") == {("1.0",): 0, ("10.0",): 205, ("+Inf",): 205}
    assert values("state") == {}


@pytest.mark.slow
def test_sums_never_go_back_while_processes_are_recycled(tmp_path: Path) -> None:
    with living(tmp_path, f"print('ready', flush=True)\n{RECYCLE}") as process:
        earlier = 0.0
        while earlier < 200 and process.poll() is None:
            now = values("seen_total").get(("a",), 0.0)
            assert now >= earlier
            earlier = now
    assert earlier == 200


def test_a_child_leaves_the_slot_to_its_parent(tmp_path: Path) -> None:
    program = """
seen.labels("a").inc()
mine = slots.slot_name()
if not os.fork():
    seen.labels("a").inc()
    os._exit(0 if slots.slot_name() != mine else 3)
pid, status = os.wait()
seen.labels("a").inc()
print(status, slots.slot_name() == mine, dict(slots.living()) == {mine: os.getpid()})
"""
    assert run(tmp_path, program).stdout == "0 True True\n"
    assert values("seen_total") == {("a",): 3}


FORK_WHILE_COUNTING = """
import threading, signal
def count():
    while True:
        seen.labels("a").inc()
threading.Thread(target=count, daemon=True).start()
for _ in range(100):
    child = os.fork()
    if not child:
        signal.alarm(10)  # A child that waits for ever would outlive the test.
        seen.labels("b").inc()
        os._exit(0)
    os.waitpid(child, 0)
print("done", flush=True)
os._exit(0)
"""
# Without the guard: the class of values as the library makes it.
UNGUARDED = """
from prometheus_client import values
values.ValueClass = values.MultiProcessValue()
seen = Counter("seen_unguarded", "Seen", ["page"])
"""


@pytest.mark.slow
def test_a_process_that_forks_while_a_thread_counts_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, FORK_WHILE_COUNTING).stdout == "done\n"
    assert values("seen_total")["b",] == 100


@pytest.mark.slow
def test_without_the_guard_a_child_waits_for_ever(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run(tmp_path, UNGUARDED + FORK_WHILE_COUNTING, seconds=3)
