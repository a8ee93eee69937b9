"""What `make night` writes: its place in the page, and the way of a request through logs."""

import json
from pathlib import Path

from tests.night import logs
from tests.night.page import BEGIN, END, replace_section


def write_line(path: Path, second: int, message: str, **fields: str) -> None:
    line = {"@timestamp": f"2026-11-28T00:00:{second:02}.000Z", "message": message, **fields}
    with path.open("a") as log:
        log.write(json.dumps(line) + "\n")


def test_only_the_section_between_the_markers_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    replace_section(page, "new")
    assert page.read_text() == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    replace_section(page, "new")
    assert page.read_text().count("new") == 1


def test_a_page_without_markers_is_only_the_section(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    replace_section(page, "new")
    assert page.read_text() == f"{BEGIN}\n\nnew\n\n{END}\n"


def test_a_request_is_followed_through_processes_by_its_id(tmp_path: Path) -> None:
    web, worker = tmp_path / "web.log", tmp_path / "worker.log"
    ids = {logs.REQUEST_ID: "r1", logs.TICKET_ID: "t1"}
    write_line(web, 2, "guest_request_accepted", **ids)
    write_line(web, 1, "another", **{logs.REQUEST_ID: "r2", logs.TICKET_ID: "t2"})
    write_line(worker, 3, "guest_request_ended", **ids)
    with web.open("a") as log:
        log.write("not JSON\n[1]\n{}\n")
    lines = logs.read(tmp_path, ("web", "worker"))
    assert logs.request_id_of(lines, "t1") == "r1"
    way = [(line.process, line.event) for line in logs.way_of(lines, "r1")]
    assert way == [("web", "guest_request_accepted"), ("worker", "guest_request_ended")]
    assert logs.request_id_of(lines, "t3") == ""
    assert logs.way_of(lines, "") == []


def test_fields_may_be_nested(tmp_path: Path) -> None:
    line = {"@timestamp": "2026-11-28T00:00:01.000Z", "http": {"request": {"id": "r1"}}}
    (tmp_path / "web.log").write_text(json.dumps(line) + "\n")
    (found,) = logs.read(tmp_path, ("web",))
    assert found.request_id == "r1"
