"""Templates are rendered once for all persons, and never for another content than the present."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.utils import translation
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from pytest_django import Settings

import notifications.skeletons as skeletons
from notifications.kinds import EmailContent, known_kinds
from notifications.messages import make_message
from notifications.models import Email
from notifications.skeletons import (
    MAX_SKELETONS,
    ChangedTextError,
    Markers,
    UnknownTypeError,
    find_skeleton,
    freeze,
)
from snap.local_cache import reset_process_state
from tests.helpers.example_emails import CONTEXTS, NOW, PERSONAL, PERSONAL_NAMES

Templates = Path


@pytest.fixture(autouse=True)
def _no_skeletons() -> Iterator[None]:
    reset_process_state()
    yield
    reset_process_state()


@pytest.fixture
def written(settings: Settings, tmp_path: Path) -> Path:
    """A folder of templates for emails of the kind `try`. Write them before they are rendered."""
    engine = settings.TEMPLATES[0]
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]
    (tmp_path / "emails").mkdir()
    for ending in ("subject.txt", "txt", "html"):
        write(tmp_path, "{{ first_name }}", ending)
    return tmp_path


def write(folder: Path, template: str, ending: str = "html") -> None:
    (folder / "emails" / f"try.{ending}").write_text(template)
    for engine in engines.all():
        assert isinstance(engine, DjangoTemplates)
        for loader in engine.engine.template_loaders:
            loader.reset()


def html_for(context: dict[str, Any], **personal: str) -> str:
    gaps = tuple(personal)
    return find_skeleton("try", context, gaps).fill(personal).html


def test_equal_contexts_are_rendered_once(written: Path) -> None:
    first = find_skeleton("try", {"title": "A", "at": NOW}, ("first_name",))
    assert find_skeleton("try", {"at": NOW, "title": "A"}, ("first_name",)) is first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (1, "1"),
        (1, 1.0),
        ("a", "b"),
        ("<b>", mark_safe("<b>")),
        ([1], (1,)),
        ({"a": 1}, {"a": 2}),
        (NOW, NOW.astimezone(ZoneInfo("Atlantic/Azores"))),
        (NOW, NOW + timedelta(microseconds=1)),
        (lazystr("a"), lazystr("b")),
        (None, ""),
    ],
)
def test_values_that_may_be_printed_differently_are_rendered_each(one: Any, other: Any) -> None:
    assert freeze({"x": one}) != freeze({"x": other})
    assert freeze({"x": one}) == freeze({"x": one})


def test_the_hour_that_comes_twice_is_two_times() -> None:
    first = datetime(2027, 10, 31, 1, 30, tzinfo=ZoneInfo("Europe/Lisbon"))
    assert freeze(first) != freeze(first.replace(fold=1))


def test_data_classes_are_known_by_their_fields() -> None:
    @dataclass(frozen=True)
    class Place:
        name: str

    assert freeze(Place("a")) == freeze(Place("a")) != freeze(Place("b"))


def test_an_object_of_unknown_contents_is_never_cached(written: Path) -> None:
    class Counter:
        number = 0

        def next(self) -> int:
            self.number += 1
            return self.number

    write(written, "{{ counter.next }}")
    counter = Counter()
    with pytest.raises(UnknownTypeError):
        freeze(counter)
    assert [html_for({"counter": counter}) for _ in range(2)] == [
        page("1"),
        page("2"),
    ]


def page(text: str) -> str:
    return f"<html><head></head><body>{text}</body></html>"


def test_a_template_that_was_changed_is_rendered_again(written: Path) -> None:
    assert html_for({}, first_name="Ana") == page("Ana")
    write(written, "Hi {{ first_name }}")
    assert html_for({}, first_name="Ana") == page("Hi Ana")


def test_each_language_and_public_url_has_its_own(written: Path, settings: Settings) -> None:
    write(written, "{{ language }} {{ public_url }}")
    settings.PUBLIC_URL = "https://a.example"
    with translation.override("en"):
        assert html_for({}) == page("en https://a.example")
    with translation.override("pt-pt"):
        assert html_for({}) == page("pt-pt https://a.example")
        settings.PUBLIC_URL = "https://b.example"
        assert html_for({}) == page("pt-pt https://b.example")


def test_a_skeleton_ends_with_its_time(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skeletons, "SKELETON_SECONDS", 0.0)
    first = find_skeleton("try", {}, ())
    assert find_skeleton("try", {}, ()) is not first


def test_the_number_of_kept_skeletons_is_limited(written: Path) -> None:
    first = find_skeleton("try", {"number": -1}, ())
    for number in range(MAX_SKELETONS):
        find_skeleton("try", {"number": number}, ())
    assert find_skeleton("try", {"number": -1}, ()) is not first


# Texts of a person ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    ["{{ first_name|upper }}", "{{ first_name|capfirst }}", "{{ first_name|title }}"],
)
def test_a_template_that_changes_the_text_of_a_person_is_refused(
    written: Path, template: str
) -> None:
    write(written, template)
    with pytest.raises(ChangedTextError):
        html_for({}, first_name="Ana")


def test_a_text_is_put_in_as_data(written: Path) -> None:
    write(written, '<a href="{{ guest_url }}">{{ first_name }}</a>100 % {{ title }}')
    markers = Markers(["first_name"])
    for name in ("%(guest_url)s", "%s", "{{ title }}", markers["first_name"], "</a>"):
        filled = html_for(
            {"title": "%(first_name)s %d"}, first_name=name, guest_url='https://x/?a=1&b="'
        )
        shown = name.replace("<", "&lt;").replace(">", "&gt;")
        assert filled == page(
            f'<a href="https://x/?a=1&amp;b=&quot;">{shown}</a>100 % %(first_name)s %d'
        )


def test_a_gap_can_be_missing_or_come_several_times(written: Path) -> None:
    write(written, "{{ first_name }}{{ first_name }}")
    assert html_for({}, first_name="Ana", code="1") == page("AnaAna")


def test_a_subject_is_one_line(written: Path) -> None:
    write(written, "For {{ first_name }}\n", "subject.txt")
    skeleton = find_skeleton("try", {}, ("first_name",))
    assert skeleton.fill({"first_name": "A\r\nBcc: b@example.pt\n  c"}).subject == (
        "For A Bcc: b@example.pt c"
    )


@pytest.mark.parametrize("kind", CONTEXTS)
def test_no_template_tests_or_changes_the_text_of_a_person(kind: str) -> None:
    """Else it would do so with a marker. Markers in tags that only print are found by rendering."""
    names = "|".join(PERSONAL_NAMES)
    used = re.compile(rf"(\|\s*\w+|\{{%\s*(el)?if\b[^%]*\b({names})\b)")
    for path in _templates_of(kind):
        text = path.read_text()
        for tag in re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text):
            if re.search(rf"\b({names})\b", tag):
                assert not used.search(tag), f"{path.name}: {tag}"


def _templates_of(kind: str) -> list[Path]:
    folder = Path(django_settings.BASE_DIR) / "templates" / "emails"
    return [*folder.glob(f"{kind}.*"), *folder.glob("_*")]


def test_every_kind_has_an_example_of_its_personal_texts() -> None:
    assert set(known_kinds()) - {"note", "bulk_note"} <= set(PERSONAL)


@pytest.mark.parametrize("kind", CONTEXTS)
def test_a_cached_skeleton_gives_each_person_their_own_texts(kind: str) -> None:
    email = Email(kind=kind, to="a@example.pt", language="en", queued_at=NOW)
    shared = {name: value for name, value in CONTEXTS[kind].items() if name not in PERSONAL_NAMES}
    bodies = []
    for number in (1, 2, 1):
        email.pk = number
        personal = {name: f"{name}-{number}" for name in PERSONAL[kind]}
        message = make_message(email, EmailContent(shared, personal))
        ((html, _),) = message.alternatives
        bodies.append(" ".join([str(message.subject), str(message.body), str(html)]))
        other = 3 - number
        for name in PERSONAL[kind]:
            assert f"{name}-{other}" not in bodies[-1]
    assert bodies[0] == bodies[2]
    assert "first_name-1" in bodies[0]


def test_nothing_of_a_person_is_in_what_is_kept(written: Path) -> None:
    skeleton = find_skeleton("try", {}, ("first_name",))
    skeleton.fill({"first_name": "Inês"})
    assert "Inês" not in repr(vars(skeleton))
