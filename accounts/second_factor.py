"""The second factor of staff: an authenticator app, and backup codes in case it is lost."""

import logging
from base64 import b32encode, b64encode
from dataclasses import dataclass
from io import BytesIO

import qrcode
from django.db import transaction
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User

log = logging.getLogger(__name__)

BACKUP_CODES = 10


@dataclass(frozen=True)
class Enrolment:
    """The data for an authenticator app: an `otpauth:` URL for a QR code, or the key to type."""

    url: str
    key: str

    @property
    def image(self) -> str:
        """Return the QR code as a data URI, so that no cache stores the key."""
        png = BytesIO()
        qrcode.make(self.url).save(png)
        return "data:image/png;base64," + b64encode(png.getvalue()).decode()


def device_of(account: User) -> Device | None:
    """Return the account's confirmed authenticator app, or None. One query."""
    return TOTPDevice.objects.filter(user=account, confirmed=True).first()


@transaction.atomic
def enrolment_of(account: User) -> Enrolment:
    """Return the data for the app, the same until it is confirmed. Three queries at most."""
    # The lock prevents that two concurrent pages create two devices.
    User.objects.select_for_update(no_key=True).get(pk=account.pk)
    device = TOTPDevice.objects.filter(user=account, confirmed=False).order_by("pk").first()
    if device is None:
        device = TOTPDevice.objects.create(user=account, confirmed=False, name="app")
    return Enrolment(device.config_url, b32encode(device.bin_key).decode())


@transaction.atomic
def confirm_device(account: User, typed: str) -> list[str]:
    """Confirm the app with its first code. Return new backup codes, or [] if the code is wrong."""
    # The lock prevents that two concurrent enrolments confirm two apps.
    User.objects.select_for_update(no_key=True).get(pk=account.pk)
    device = TOTPDevice.objects.filter(user=account, confirmed=False).order_by("pk").first()
    if device is None or device_of(account) or not device.verify_token(typed):
        return []
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    StaticDevice.objects.filter(user=account).delete()
    backup = StaticDevice.objects.create(user=account, name="backup")
    codes = [StaticToken.random_token() for _ in range(BACKUP_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=backup, token=code) for code in codes)
    log.info("second_factor_enrolled", extra={"account_id": account.pk})
    return codes


@transaction.atomic
def verify_code(account: User, typed: str) -> Device | None:
    """Return the device whose code was typed, or None. Each code is accepted once.

    Digits are a code of the app; anything else is a backup code. After each wrong code the device
    accepts none for a pause that doubles every time.
    """
    model = TOTPDevice if typed.isdigit() else StaticDevice
    device = model.objects.select_for_update().filter(user=account, confirmed=True).first()
    if device is None or not device.verify_token(typed):
        return None
    return device
