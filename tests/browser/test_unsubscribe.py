"""The page that stops reminders, on a narrow phone without JavaScript and with it."""

from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, expect

from accounts.models import User
from notifications.models import Email, Suppression
from notifications.suppressions import is_suppressed, suppress
from notifications.unsubscribing import unsubscribe_url
from tests.helpers.admin import admin_url, sign_in_to_admin
from tests.helpers.browser import PHONE_SCREEN, assert_accessible, shoot, watched, width_beyond
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ADDRESS = "maria-madalena.de-albuquerque@um-dominio-bastante-comprido.example"


@pytest.mark.parametrize(("color_scheme", "has_scripts"), [("light", False), ("dark", True)])
def test_one_tap_stops_them_and_one_tap_undoes_that(
    stack: Stack, browser: Browser, color_scheme: str, has_scripts: bool
) -> None:
    email = Email.objects.create(kind="reminder", cause="guest:0/0", to=ADDRESS, language="pt-pt")
    path = unsubscribe_url(email).removeprefix(settings.PUBLIC_URL)
    screen: dict[str, Any] = {"viewport": {"width": 320, "height": 568}, "locale": "de-DE"}
    screen |= {"color_scheme": color_scheme, "java_script_enabled": has_scripts}
    with browser.new_context(**screen, base_url=stack.url) as phone:
        page = phone.new_page()
        errors = watched(page)
        page.goto(path)
        for button, shows in [("Não quero mais", "ask"), ("Voltar a recebê-los", "done")]:
            expect(page.get_by_role("button", name=button)).to_be_in_viewport()
            shoot(page, f"unsubscribe-{shows}-{color_scheme}")
            if has_scripts:
                assert_accessible(page)
                assert width_beyond(page) <= 0
            page.get_by_role("button", name=button).click()
            page.wait_for_load_state()
            assert is_suppressed(ADDRESS) is (shows == "ask")
        expect(page.get_by_role("button", name="Não quero mais")).to_be_visible()
        page.goto("/from-email/unsubscribe/wrong/")
        shoot(page, f"unsubscribe-wrong-{color_scheme}")
        if has_scripts:
            assert_accessible(page)
        # Chromium reports the status of the wrong link.
        assert [error for error in errors if "400" not in error] == []


@pytest.mark.slow
def test_staff_read_who_gets_none_and_allow_them_again(
    stack: Stack, browser: Browser, manager: User
) -> None:
    suppress(ADDRESS, Suppression.Reason.COMPLAINED)
    suppression = Suppression.objects.get()
    with browser.new_context(**PHONE_SCREEN, base_url=stack.url) as context:
        sign_in_to_admin(context, stack, manager)
        page = context.new_page()
        paths = {
            "list": admin_url("notifications_suppression_changelist"),
            "add": admin_url("notifications_suppression_add"),
            "page": admin_url("notifications_suppression_change", suppression.pk),
            "allow": admin_url("notifications_suppression_allow", suppression.pk),
        }
        for name, path in paths.items():
            page.goto(path)
            assert_accessible(page)
            assert width_beyond(page) <= 0
            shoot(page, f"suppression-{name}")
        page.fill("[name=note]", "pediu por telefone")
        page.click("form.staff-form input[type=submit]")
        expect(page.get_by_text("pediu por telefone")).to_be_visible()
        shoot(page, "suppression-allowed")
        assert not is_suppressed(ADDRESS)
