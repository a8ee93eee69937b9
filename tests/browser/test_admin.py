"""Admin in a browser, under the content security policy."""

import pytest
from django.contrib.auth.hashers import make_password
from playwright.sync_api import Browser, Page

from accounts.models import User
from guests.models import Event, Promoter
from tests.factories import make_event_promoter, make_guest, make_staff
from tests.helpers.admin import admin_url, watch_admin
from tests.helpers.stack import Stack

pytestmark = pytest.mark.django_db


@pytest.mark.slow
@pytest.mark.browser
def test_admin_works_under_the_content_security_policy(browser: Browser, stack: Stack) -> None:
    password = make_password("a long password", hasher="pbkdf2_sha256")
    User.objects.filter(pk=make_staff(phone="+351912000999").pk).update(password=password)
    guest = make_guest(make_event_promoter().event)
    with browser.new_context(base_url=stack.url, locale="pt-PT") as context:
        page = context.new_page()
        errors = watch_admin(page)
        page.goto("/admin/login/")
        page.fill("[name=username]", "912 000 999")
        page.fill("[name=password]", "a long password")
        page.click("[type=submit]")
        page.wait_for_selector("#user-tools")
        for path in (
            admin_url("guests_guest_changelist"),
            admin_url("guests_guest_change", guest.pk),
            admin_url("guests_event_changelist"),
            admin_url("guests_event_change", guest.event_id),
            admin_url("accounts_user_change", guest.account_id),
            admin_url("guests_promoter_add"),
            admin_url("guests_guestrequest_changelist"),
        ):
            page.goto(path)
        assert errors == []
        _choose_a_promoter(page, guest.event)
        _write_a_title(page)
    assert errors == []


def _choose_a_promoter(page: Page, event: Event) -> None:
    page.goto(admin_url("guests_event_change", event.pk))
    page.click("#eventpromoter_set-group .add-row a")
    page.click("#eventpromoter_set-1 .field-promoter .select2-selection")
    name = Promoter.objects.get().name
    page.click(f".select2-results__option:has-text('{name}')")
    page.click("#eventpromoter_set-1 .field-promoter .select2-selection__rendered")


def _write_a_title(page: Page) -> None:
    page.goto(admin_url("guests_event_add"))
    page.type("#id_title", "Noite Clara")
    assert page.input_value("#id_slug") == "noite-clara"
