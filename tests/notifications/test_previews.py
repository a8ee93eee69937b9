"""Every kind of email has examples, which are rendered as its emails are."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import override
from pytest_django import Settings

from guests.models import Event
from notifications.kinds import EmailContent, bulk_kinds, kind_label, known_kinds
from notifications.previews import (
    build_preview,
    email_samples,
    kinds_with_samples,
    make_samples,
    preview_cause,
)
from tests.factories import make_event
from tests.helpers.email_screens import LANGUAGES, example_emails

pytestmark = pytest.mark.django_db

ONLY_IN_TESTS = {"note", "bulk_note"}
KINDS = sorted(set(known_kinds()) - ONLY_IN_TESTS)
each_kind = pytest.mark.parametrize("kind", KINDS)
# Gmail cuts longer emails off.
GMAIL_BYTES = 102 * 1024
URL = re.compile(r"https?://[^\s<>\"]+")


class Links(HTMLParser):
    """Collects the addresses of links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.add(dict(attrs)["href"] or "")


@pytest.fixture
def event() -> Event:
    return make_event(title="Noite & Dia", address="Rua do Exemplo 12")


def html_of(message: EmailMultiAlternatives) -> str:
    return str(message.alternatives[0][0])


def contents(kind: str, event: Event) -> dict[str, EmailContent]:
    return {sample.name: sample.content for sample in make_samples(kind, event)}


def test_every_kind_has_examples_templates_and_a_label() -> None:
    assert kinds_with_samples() == KINDS
    for kind in KINDS:
        for ending in ("subject.txt", "txt", "html"):
            assert (Path(settings.BASE_DIR) / "templates" / "emails" / f"{kind}.{ending}").exists()
        with override("en"):
            label = kind_label(kind)
        assert label != kind.replace("_", " "), "email_kind has no label"
        with override("pt-pt"):
            assert kind_label(kind), label


def test_a_kind_has_one_function_of_examples() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        email_samples("welcome")(lambda about: [])


@each_kind
def test_each_kind_can_have_a_sender_of_its_own(
    kind: str, event: Event, settings: Settings
) -> None:
    settings.EMAIL_SENDERS = {kind: "Kind <kind@snap.example>"}
    for email in example_emails(event, [kind], ["en"]):
        assert email.message.from_email == "Kind <kind@snap.example>"


@each_kind
def test_the_text_has_all_links_of_the_html(kind: str, event: Event) -> None:
    for email in example_emails(event, [kind]):
        links = Links(email.html).found
        assert links, email.name
        assert links <= set(URL.findall(email.text)), email.name


@each_kind
def test_personal_values_are_only_printed(kind: str, event: Event) -> None:
    """A template is rendered once for many people, and their values are put in afterwards."""
    for name, content in contents(kind, event).items():
        for language in LANGUAGES:
            with override(language):
                rendered = [render_with_other_values(kind, content) for _ in range(2)]
            assert rendered[0] == rendered[1], (name, language)


def render_with_other_values(kind: str, content: EmailContent) -> list[str]:
    """Render all parts with random values, and put the names of the values in for them."""
    markers = {name: f"m{secrets.token_hex(8)}" for name in content.personal}
    parts: list[str] = []
    for ending in ("subject.txt", "txt", "html"):
        context = {**content.context, **markers, "content_ids": {"qr": "qr"}}
        text = str(render_to_string(f"emails/{kind}.{ending}", context))
        for name, marker in markers.items():
            text = text.replace(marker, f"<{name}>")
        parts.append(text)
    return parts


@each_kind
def test_the_shared_values_of_examples_are_no_personal_ones(kind: str, event: Event) -> None:
    for content in contents(kind, event).values():
        assert all(isinstance(value, str) for value in content.personal.values())
        assert not set(content.personal) & set(content.context)


@each_kind
def test_no_email_is_cut_off_by_gmail(kind: str) -> None:
    event = make_event(title="T" * 120, venue="V" * 120, address="A" * 200, description="D" * 2000)
    for email in example_emails(event, [kind], ["pt-pt"]):
        assert len(email.html.encode()) < GMAIL_BYTES
    long = {
        "subject": "S" * 200,
        "paragraphs": ["https://example.com/ " * 12] * 40,
        "first_name": "&" * 60,
    }
    for content in contents(kind, event).values():
        longer = replace(content, context={**content.context, **long})
        html = render_to_string(f"emails/{kind}.html", {**content.personal, **longer.context})
        assert len(html.encode()) < GMAIL_BYTES


@each_kind
def test_styles_are_in_the_elements(kind: str, event: Event) -> None:
    """Only rules for widths and for dark mode are left in `<style>`."""
    for email in example_emails(event, [kind], ["en"]):
        html = re.sub(r"<!--.*?-->", "", email.html, flags=re.DOTALL)
        (style,) = re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL)
        outside = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}", "", style)
        selectors = re.findall(r"([^{}]+)\{", outside)
        assert selectors
        for group in selectors:
            assert all(each.strip().startswith("[data-ogsc]") for each in group.split(","))
        body = email.html[email.html.index("<body") :]
        for tag in re.findall(r"<(?:td|p|a|h1|img)\b[^>]*class=[^>]*>", body):
            assert 'style="' in tag, tag
        assert "color-scheme" in email.html


@each_kind
def test_every_email_greets_says_why_it_came_and_links_to_privacy(kind: str, event: Event) -> None:
    texts = {"pt-pt": ("Olá, Inês,", "Recebes est"), "en": ("Hi Inês,", "You get this ")}
    for email in example_emails(event, [kind]):
        for text in texts[email.language]:
            assert text in email.text, email.name
            assert text in email.html, email.name
        assert "/privacy/" in email.text
        assert ("unsubscribe" in str(email.message.extra_headers).lower()) == (kind in bulk_kinds())


def test_subjects_and_texts_differ_between_languages_and_examples(event: Event) -> None:
    emails = list(example_emails(event, KINDS))
    assert len({email.text for email in emails}) == len(emails)
    by_kind: dict[str, set[str]] = {}
    for email in emails:
        by_kind.setdefault(email.kind, set()).add(str(email.message.subject))
        assert "\n" not in str(email.message.subject)
    assert all(len(subjects) >= 2 for subjects in by_kind.values())


@pytest.mark.parametrize(
    "cause", ["preview:x/usual", "preview:", "preview:0/usual", "preview:1/nothing/abc"]
)
def test_an_example_that_does_not_exist_is_not_wanted(cause: str) -> None:
    from notifications.kinds import build_content

    assert build_content("welcome", cause) is None


def test_examples_and_other_emails_are_built_side_by_side(event: Event) -> None:
    from notifications.kinds import build_contents

    cause = preview_cause(event.pk, "usual")
    built: Mapping[str, Any] = build_contents("note", [cause, "note:1"])
    assert set(built) == {"note:1"}
    assert build_preview("welcome", event.pk, "nothing", "en") is None
