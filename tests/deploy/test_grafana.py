"""The dashboard of Grafana: its form, its queries, and the metrics that they name."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path

from snap.local.processes import BASE_DIR
from tests.grafana.dashboard import PAGE, WIDTH, as_text
from tests.helpers.grafana import BUILT_IN, DASHBOARD, PANELS, VARIABLE, as_prometheus, queries
from tests.helpers.watching import program

ALL = DASHBOARD["panels"]
# Units that this dashboard uses, as Grafana names them.
UNITS = {"none", "short", "percent", "ms", "s", "bytes", "reqps", "cpm"}
KINDS = {"stat", "timeseries", "bargauge", "state-timeline", "table"}
# Form ---------------------------------------------------------------------------------------------


def test_the_file_is_what_its_panels_say() -> None:
    assert PAGE.read_text() == as_text(), "run `make grafana`"


def test_each_panel_says_what_it_shows() -> None:
    titles = [panel["title"] for panel in ALL]
    assert sorted(titles) == sorted(set(titles))
    assert len(PANELS) > 30
    for panel in PANELS:
        assert panel["title"][0].isupper()
        assert not panel["title"].endswith(".")
        assert panel["description"].endswith("."), panel["title"]
        assert panel["type"] in KINDS
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"], panel["title"]


def test_each_series_has_a_name() -> None:
    for panel in PANELS:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))
        for target in panel["targets"]:
            assert target["legendFormat"] or panel["type"] == "stat", panel["title"]
            # A label that the expression drops would leave a gap in the name.
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"\b{label}\b|^up\b", target["expr"]), panel["title"]


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    numbers = [panel["id"] for panel in ALL]
    assert numbers == sorted(set(numbers))
    for panel in ALL:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= WIDTH
    for one, other in combinations(ALL, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not above


def test_the_overlap_of_panels_is_noticed() -> None:
    place = {"x": 0, "y": 0, "w": 8, "h": 7}
    assert overlap(place, place | {"x": 7, "y": 6})
    assert not overlap(place, place | {"x": 8})
    assert not overlap(place, place | {"y": 7})


def test_every_variable_exists_and_is_used() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {one or other for one, other in VARIABLE.findall(json.dumps(DASHBOARD))}
    assert used - set(BUILT_IN) == defined | {"__all"}


def test_states_have_words_for_their_values() -> None:
    """A number alone does not say at night whether 2 is good."""
    for panel in PANELS:
        if panel["type"] == "state-timeline":
            (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
            assert len(mapping["options"]) >= 2
            assert all(option["text"] for option in mapping["options"].values())


def test_a_panel_of_counts_says_what_it_means_without_samples() -> None:
    """ "No data" is true of gauges only: SNAP is not watched then."""
    for panel in PANELS:
        text = panel["fieldConfig"]["defaults"].get("noValue")
        expressions = " ".join(target["expr"] for target in panel["targets"])
        is_counted = bool(re.search(r"\b(rate|increase)\(", expressions))
        assert bool(text) == is_counted, panel["title"]
        # The 95 % of nothing are not 0 ms.
        is_zero = is_counted and not re.search(r"quantile|^100 \*", expressions)
        assert (text == "0") == is_zero, panel["title"]


def test_rows_of_the_database_are_not_added_up_over_hosts() -> None:
    """Each host's sweeper exports the same rows, so their sum would be too high."""
    of_rows = r"(guest_creation_queue_depth|guest_creation_oldest\w+|emails_(queue|oldest|dead)\w*)"
    assert not [each for each in queries().values() if re.search(rf"sum[^(]*\({of_rows}", each)]


# Queries ------------------------------------------------------------------------------------------


def check_rules(path: Path, expressions: dict[str, str]) -> str:
    """Return what promtool says about expressions; "" if it reads all of them."""
    rules = []
    for number, expression in enumerate(expressions.values()):
        rules.append({"record": f"query:{number}", "expr": as_prometheus(expression)})
    # JSON is YAML, too.
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [program("promtool"), "check", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode == 0:
        assert f"{len(rules)} rules found" in done.stdout
        return ""
    return done.stdout + done.stderr


def test_promtool_reads_every_query(tmp_path: Path) -> None:
    assert check_rules(tmp_path / "rules.yml", queries()) == ""


def test_promtool_finds_a_query_that_is_wrong(tmp_path: Path) -> None:
    wrong = queries() | {"wrong": "sum by (step) (rate(guest_steps_total[1m])"}
    assert "unclosed left parenthesis" in check_rules(tmp_path / "rules.yml", wrong)


# Provisioning -------------------------------------------------------------------------------------


def test_the_dashboard_is_where_grafana_is_told_to_look() -> None:
    folder = BASE_DIR / "deploy" / "grafana" / "provisioning"
    provider = (folder / "dashboards" / "snap.yml").read_text()
    assert "path: /etc/grafana/dashboards" in provider
    source = (folder / "datasources" / "prometheus.yml").read_text()
    assert "type: prometheus" in source
    assert "timeInterval: 10s" in source
