"""Dates in English: one form everywhere, which nobody in Portugal can misread."""

from datetime import date, datetime
from typing import Any

import pytest
from django.forms import DateField, SplitDateTimeField
from django.utils import formats, translation

MOMENT = datetime(2026, 12, 2, 22, 30)  # noqa: DTZ001 (the local time of an event)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("DATE_FORMAT", "2 December 2026"),
        ("DATETIME_FORMAT", "2 December 2026, 22:30"),
        ("SHORT_DATE_FORMAT", "2 Dec 2026"),
        ("SHORT_DATETIME_FORMAT", "2 Dec 2026, 22:30"),
        ("MONTH_DAY_FORMAT", "2 December"),
        ("TIME_FORMAT", "22:30"),
    ],
)
def test_english_dates_have_the_day_first_and_24_hours(name: str, shown: str) -> None:
    with translation.override("en"):
        assert formats.date_format(MOMENT, name) == shown


@pytest.mark.parametrize("language", ["en", "pt-pt"])
@pytest.mark.parametrize("typed", ["2026-12-02", "02/12/2026"])
def test_a_typed_date_has_the_day_first_in_both_languages(language: str, typed: str) -> None:
    split: Any = SplitDateTimeField()
    with translation.override(language):
        assert DateField().clean(typed) == date(2026, 12, 2)
        assert split.clean([typed, "22:30"]).strftime("%d.%m. %H:%M") == "02.12. 22:30"


@pytest.mark.parametrize("name", ["DATE_FORMAT", "SHORT_DATE_FORMAT"])
def test_what_is_shown_can_be_typed(name: str) -> None:
    with translation.override("en"):
        assert DateField().clean(formats.date_format(MOMENT, name)) == MOMENT.date()
