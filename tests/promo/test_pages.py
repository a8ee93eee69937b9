"""Steps, passes, claims and errors are sound HTML in both languages."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.template.loader import render_to_string

from accounts.email_links import signature_for
from accounts.models import Claim
from guests.claims.services import grant_claim, undo_claim
from tests.factories import make_account, make_event, make_guest, make_staff
from tests.helpers.pages import Outline, check_page, in_both_languages
from tests.helpers.visitors import PERSON, Visitor, html_of, location_of

pytestmark = pytest.mark.django_db

VENDOR = Path(settings.BASE_DIR) / "static" / "vendor"


# The steps ----------------------------------------------------------------------------------------


@in_both_languages
def test_each_step_is_a_sound_page(language: str) -> None:
    visitor = Visitor(make_event(), language=language)
    check_page(visitor.open("phone"), language)
    check_page(visitor.give_phone("12"), language)
    visitor.give_phone()
    check_page(visitor.open("register"), language)
    check_page(visitor.register(first_name="", email="nobody"), language)
    known = make_account()
    visitor.give_phone(known.phone or "")
    check_page(visitor.open("code"), language)
    check_page(visitor.send("code", code="12"), language)


def test_the_first_wrong_field_has_the_focus_and_its_error() -> None:
    visitor = Visitor(make_event())
    visitor.give_phone()
    response = visitor.register(last_name="🎉", email="nobody")
    fields = {field["name"]: field for field in Outline(html_of(response)).all("input")}
    assert ["autofocus" in fields[name] for name in ("first_name", "last_name", "email")] == [
        False,
        True,
        False,
    ]
    assert fields["first_name"]["value"] == "Inês"
    assert fields["email"]["value"] == "nobody"
    assert fields["email"]["aria-invalid"] == "true"
    assert fields["email"]["aria-describedby"] == "id_email_error"


def test_the_page_says_that_a_code_was_sent_again() -> None:
    account = make_account()
    visitor = Visitor(make_event(), htmx=True)
    assert "The last two codes" not in html_of(visitor.give_phone(account.phone or ""))
    assert "The last two codes" in html_of(visitor.send("code", resend="1"))


@pytest.mark.parametrize(("shown", "header"), [("", "HX-Push-Url"), ("-/phone/", "HX-Replace-Url")])
def test_back_leads_from_every_step_to_the_event(shown: str, header: str) -> None:
    event = make_event()
    visitor = Visitor(event, htmx=True)
    headers = {"hx-current-url": f"http://testserver{visitor.event_url}{shown}"}
    response = visitor.get(visitor.step_url("phone"), headers=headers)
    assert response[header] == visitor.step_url("phone")


# A pass, and errors -------------------------------------------------------------------------------


@in_both_languages
def test_a_pass_is_a_sound_page_for_holder_and_stranger(language: str) -> None:
    guest = make_guest()
    visitor = Visitor(guest.event, language=language)
    url = f"/guest/{guest.qr_token}"
    check_page(visitor.get(url), language)
    response = visitor.signed_in(guest.account).get(url)
    check_page(response, language)
    assert guest.name in html_of(response)


@in_both_languages
def test_pages_about_a_claim_are_sound_in_each_state(language: str) -> None:
    account = make_account()
    visitor = Visitor(make_event(), language=language)
    visitor.give_phone(account.phone or "")
    visitor.open("code")
    check_page(visitor.open("claim"), language)
    made_at = location_of(visitor.send("claim", **PERSON))
    claim = Claim.objects.get()
    link = "/from-email/claim/%d/?proof=%s"
    objection = link % (claim.pk, signature_for(account, f"claim:{claim.pk}"))
    check_page(visitor.get(made_at), language)
    check_page(visitor.get(objection, headers={"sec-purpose": "prefetch"}), language)
    check_page(visitor.get(objection), language)
    check_page(visitor.get(made_at), language)
    grant_claim(claim, acting_user=make_staff())
    check_page(visitor.get(made_at), language)
    check_page(visitor.get(objection), language)
    undo_claim(Claim.objects.get(), acting_user=make_staff())
    check_page(visitor.get(made_at), language)
    check_page(visitor.get(objection), language)


@in_both_languages
def test_the_page_of_a_proven_email_is_sound(language: str) -> None:
    account, visitor = make_account(), Visitor(make_event(), language=language)
    link = f"/from-email/welcome/{account.pk}/?proof={signature_for(account, 'welcome')}"
    check_page(visitor.get(link), language)


@in_both_languages
def test_a_missing_page_is_sound(language: str) -> None:
    response = Visitor(make_event(), language=language).get("/promo/nowhere/")
    assert response.status_code == 404
    check_page(response, language)


def test_an_expired_form_links_back_to_its_page() -> None:
    visitor = Visitor(make_event(), checks_csrf=True)
    page = f"http://testserver{visitor.step_url('phone')}"
    response = visitor.browser.post(visitor.step_url("phone"), headers={"referer": page})
    assert response.status_code == 403
    check_page(response, "en")
    assert f'href="{page}"' in html_of(response)
    response = visitor.browser.post(
        visitor.step_url("phone"), headers={"referer": "https://elsewhere.example/"}
    )
    assert "elsewhere" not in html_of(response)


@pytest.mark.parametrize("name", ["400", "403", "500", "503"])
def test_error_pages_make_no_query(name: str, django_assert_num_queries: Any) -> None:
    cache.clear()
    with django_assert_num_queries(0):
        html = render_to_string(f"errors/{name}.html", {"retry_after": 5})
    assert "<main" in html


# Files --------------------------------------------------------------------------------------------


def test_third_party_files_match_their_checksums() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    files = [path for path in VENDOR.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    assert {str(path.relative_to(VENDOR)) for path in files} == set(sums)
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == sums[str(path.relative_to(VENDOR))]
