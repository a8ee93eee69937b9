"""Countries in the phone form: names as they are said in Portugal, in an order that helps."""

import re

import pytest
from django.utils import translation
from pytest_django import Settings

from accounts import countries
from accounts.country_names import NAMES
from accounts.forms import PhoneForm
from accounts.phones import dial_code
from snap.local_cache import reset_process_state
from tests import country_names

OPTION = re.compile(r'<option value="(\w\w)"( selected)?>([^<]+)</option>')
LIKELY = ["PT", "ES", "FR", "GB", "BR", "DE", "CH", "LU", "AO", "CV"]


def test_the_names_are_those_of_cldr() -> None:
    written = country_names.MODULE.read_text()
    assert written == country_names.module(), "Run `make countries` and commit the file."


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("CZ", "Chéquia"),
        ("IR", "Irão"),
        ("VN", "Vietname"),
        ("KE", "Quénia"),
        ("PL", "Polónia"),
        ("RO", "Roménia"),
        ("SI", "Eslovénia"),
        ("YE", "Iémen"),
        ("MC", "Mónaco"),
        ("ZW", "Zimbabué"),
        ("AM", "Arménia"),
        ("MK", "Macedónia do Norte"),
        ("NL", "Países Baixos"),
        ("XK", "Kosovo"),
        ("MO", "Macau"),
    ],
)
def test_a_country_is_called_as_in_portugal(code: str, name: str) -> None:
    with translation.override("pt-pt"):
        assert countries.country_labels()[code] == f"{name} +{dial_code(code)}"


@pytest.mark.parametrize(
    ("language", "first", "last", "pairs"),
    [
        (
            "pt-pt",
            "AF",
            "ZW",
            [("ZA", "AL"), ("AL", "DZ"), ("AR", "AM"), ("IE", "IS"), ("GW", "GQ")],
        ),
        ("en", "AF", "ZW", [("AF", "AX"), ("AX", "AL"), ("RE", "RO"), ("CI", "HR")]),
    ],
)
def test_countries_are_in_the_order_of_a_dictionary(
    language: str, first: str, last: str, pairs: list[tuple[str, str]]
) -> None:
    with translation.override(language):
        order = list(countries.country_labels())
    assert sorted(order) == sorted(NAMES)
    assert (order[0], order[-1]) == (first, last)
    for before, after in pairs:
        assert order.index(before) < order.index(after)


@pytest.mark.parametrize("language", ["pt-pt", "en"])
def test_the_likely_countries_are_first_and_each_is_listed_once(language: str) -> None:
    with translation.override(language):
        options = OPTION.findall(str(PhoneForm()["country"]))
    codes = [code for code, _, _ in options]
    assert codes[:10] == LIKELY
    assert sorted(codes) == sorted(NAMES)
    assert not any(selected for _, selected, _ in options)
    # The name is first: browsers jump to what is typed.
    assert all(re.fullmatch(r"[^+]+ \+\d+", label) for _, _, label in options)


def test_an_operator_chooses_the_likely_countries(settings: Settings) -> None:
    settings.DEFAULT_COUNTRY = "CV"
    settings.LIKELY_COUNTRIES = ["PT", "CV", "XX", "SN"]
    reset_process_state()
    codes = [code for code, _ in countries.likely_countries()]
    assert codes == ["CV", "PT", "SN"]


def test_the_chosen_country_stays_chosen() -> None:
    form = PhoneForm({"country": "VN", "phone": "1"})
    chosen = [code for code, selected, _ in OPTION.findall(str(form["country"])) if selected]
    assert chosen == ["VN"]
