"""Staff sign in on a phone with a second factor, under the content security policy."""

import pytest
from django.contrib.auth.hashers import make_password
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Page

from accounts.models import User
from tests.factories import make_staff
from tests.helpers.admin import watch_admin
from tests.helpers.browser import width_beyond
from tests.helpers.stack import Stack

pytestmark = pytest.mark.browser

PHONE = "+351912000999"


@pytest.mark.slow
def test_staff_sign_in_on_a_phone(stack: Stack, page: Page) -> None:
    password = make_password("a long password", hasher="pbkdf2_sha256")
    User.objects.filter(pk=make_staff(phone=PHONE).pk).update(password=password)
    errors = watch_admin(page)
    with stack.another_web(STAFF_SECOND_FACTOR="1") as url:
        page.goto(f"{url}/admin/guests/guest/")
        assert width_beyond(page) <= 0
        page.fill("[name=username]", "912 000 999")
        page.fill("[name=password]", "a long password")
        page.click("[type=submit]")
        page.wait_for_selector(".app-code")
        assert width_beyond(page) <= 0
        assert page.evaluate("document.querySelector('.app-code').naturalWidth") > 100
        page.fill("[name=code]", f"{totp(TOTPDevice.objects.get().bin_key):06}")
        page.click("[type=submit]")
        page.wait_for_selector(".backup-codes")
        assert page.locator(".backup-codes li").count() == 10
        assert width_beyond(page) <= 0
        page.click("a.button")
        page.wait_for_selector("#changelist")
        assert page.url.endswith("/admin/guests/guest/")
        assert errors == []
