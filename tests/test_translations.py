"""Every text has a Portuguese translation, and the compiled catalogues are up to date."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polib  # type: ignore[import-untyped]
import pytest
from django.contrib import admin as django_admin
from django.utils.translation.template import templatize

from tests.catalogues import APPS, ROOT, catalogues, compile_catalogue

CATALOGUES = catalogues()
GETTEXTS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
# The calls to which `templatize` turns {% translate %} and {% blocktranslate %}.
IN_TEMPLATE = re.compile(
    r"\bn?gettext\(u?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|_\((\".*?\"|'.*?')\)"
)

# Texts of Django's admin for passwords by email, which SNAP does not offer.
NOT_SHOWN = {"Forgotten your login credentials?", "In case you’ve forgotten, you are:"}

by_name = pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-5])


def texts_of_template(path: Path) -> Iterator[str]:
    source = templatize(path.read_text(), origin=str(path))
    for match in IN_TEMPLATE.finditer(source):
        yield ast.literal_eval(match[1] or match[2])


def texts_of_module(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        first = node.args[0]
        if name in GETTEXTS and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


@cache
def all_texts() -> list[tuple[str, str]]:
    found = []
    for path in (ROOT / "templates").rglob("*.*"):
        found += [(text, str(path.relative_to(ROOT))) for text in texts_of_template(path)]
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            found += [(text, str(path.relative_to(ROOT))) for text in texts_of_module(path)]
    return found


def test_there_are_texts_to_translate() -> None:
    found = {text for text, _ in all_texts()}
    assert {"The list is full.", "One place left", "Write your phone number."} <= found


def test_every_text_is_translated() -> None:
    translated = {entry.msgid for path in CATALOGUES for entry in polib.pofile(str(path))}
    missing = {text: where for text, where in all_texts() if text not in translated}
    assert missing == {}


def test_the_buttons_and_links_of_admin_are_not_english() -> None:
    """Django's Portuguese leaves some of its texts in English."""
    folder = Path(django_admin.__file__).parent / "locale"
    written: Any = polib.pofile(str(folder / "pt/LC_MESSAGES/django.po"))
    portuguese = {entry.msgid: entry.msgstr or entry.msgstr_plural.get(0) for entry in written}
    ours = {entry.msgid for path in CATALOGUES for entry in polib.pofile(str(path))}
    english = set()
    for entry in polib.pofile(str(folder / "en/LC_MESSAGES/django.po")):
        is_left = portuguese.get(entry.msgid) in {None, "", entry.msgid}
        if is_left and "%" not in entry.msgid and entry.msgid not in ours | NOT_SHOWN:
            english.add(entry.msgid)
    assert english == set()


@by_name
def test_no_translation_is_empty_fuzzy_or_obsolete(path: Path) -> None:
    catalogue = polib.pofile(str(path))
    assert catalogue.untranslated_entries() == []
    assert catalogue.fuzzy_entries() == []
    assert catalogue.obsolete_entries() == []


@by_name
def test_a_translation_names_the_same_values(path: Path) -> None:
    for entry in polib.pofile(str(path)):
        translations = [entry.msgstr] if entry.msgstr else entry.msgstr_plural.values()
        # A singular may say "one" instead of its number.
        allowed = set(re.findall(r"%\(\w+\)s|<\w+>", entry.msgid + entry.msgid_plural))
        for translation in translations:
            named = set(re.findall(r"%\(\w+\)s|<\w+>", translation))
            assert named <= allowed, entry.msgid
        assert set(re.findall(r"<\w+>", entry.msgid)) <= set(re.findall(r"<\w+>", translation))


@by_name
def test_the_compiled_catalogue_is_the_written_one(path: Path) -> None:
    def content(catalogue: polib.POFile | polib.MOFile) -> dict[object, object]:
        return {
            (entry.msgctxt, entry.msgid, entry.msgid_plural): (entry.msgstr, entry.msgstr_plural)
            for entry in catalogue
        }

    written, compiled = polib.pofile(str(path)), polib.mofile(str(path.with_suffix(".mo")))
    assert content(compiled) == content(written), "Run `make translations` and commit the files."


def test_a_catalogue_is_compiled_beside_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "django.po"
    source.write_bytes(CATALOGUES[0].read_bytes())
    compile_catalogue(source)
    compile_catalogue(source)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("django.mo is written.")
    assert second.endswith("django.mo is unchanged.")
    assert (tmp_path / "django.mo").read_bytes() == CATALOGUES[0].with_suffix(".mo").read_bytes()
