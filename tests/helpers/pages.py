"""Checks of a page's HTML that need no browser."""

from html.parser import HTMLParser

import pytest

from tests.helpers.visitors import Response, html_of

LANGUAGES = {"pt": "pt-pt", "en": "en"}

in_both_languages = pytest.mark.parametrize("language", ["pt", "en"])


class Outline(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every tag with this name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def values(self, attribute: str) -> list[str]:
        """Return the values of an attribute in all tags, empty ones left out."""
        return [value for _, given in self.tags if (value := given.get(attribute))]


def check_page(response: Response, language: str) -> None:
    """Check that a screen reader can read a page, and that the CSP allows all of it."""
    page = Outline(html_of(response))
    assert page.all("html") == [{"lang": LANGUAGES[language]}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    labelled = {label["for"] for label in page.all("label")}
    for field in page.all("input") + page.all("select"):
        assert field.get("type") == "hidden" or field["id"] in labelled, field
    for described_by in page.values("aria-describedby"):
        assert described_by in ids
    assert all("alt" in image for image in page.all("img"))
    for script in page.all("script"):
        is_data = script.get("type") == "application/ld+json"
        assert script.get("src") or is_data, script
    assert not page.all("style")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
