"""Who an email comes from and where replies go, by settings."""

import pytest
from django.apps import apps
from pytest_django import Settings

from notifications.kinds import known_kinds
from snap.environment.errors import SettingError
from tests.helpers.example_emails import CONTEXTS, example_message

CONFIG = apps.get_app_config("notifications")


@pytest.mark.parametrize("kind", CONTEXTS)
def test_every_kind_has_a_sender_of_its_own_by_setting(settings: Settings, kind: str) -> None:
    settings.EMAIL_SENDERS = {kind: "SNAP · Avisos <avisos@snap.example>"}
    message = example_message(kind).message()
    assert str(message["From"].addresses[0]) == "SNAP · Avisos <avisos@snap.example>"


@pytest.mark.parametrize("kind", CONTEXTS)
def test_replies_go_to_the_address_of_the_setting(settings: Settings, kind: str) -> None:
    settings.EMAIL_REPLY_TO = "Olá <ola@faß.example>"
    addresses = example_message(kind).message()["Reply-To"].addresses
    assert [str(address) for address in addresses] == ["Olá <ola@xn--fa-hia.example>"]


def test_replies_go_to_the_sender_by_default() -> None:
    assert example_message("welcome").message()["Reply-To"] is None


def test_a_start_refuses_senders_of_unknown_kinds(settings: Settings) -> None:
    settings.EMAIL_SENDERS = dict.fromkeys(known_kinds(), "a@snap.example")
    CONFIG.ready()
    settings.EMAIL_SENDERS = {"qr_codes": "a@snap.example"}
    with pytest.raises(SettingError, match="EMAIL_SENDERS names kinds of email"):
        CONFIG.ready()


@pytest.mark.parametrize(
    "name", ["DEFAULT_FROM_EMAIL", "EMAIL_REPLY_TO", "EMAIL_UNSUBSCRIBE_ADDRESS", "EMAIL_SENDERS"]
)
def test_a_start_refuses_domains_that_cannot_be_encoded(settings: Settings, name: str) -> None:
    sender: object = "SNAP <a@☕.example>"
    if name == "EMAIL_SENDERS":
        sender = {"qr_code": sender}
    setattr(settings, name, sender)
    with pytest.raises(SettingError, match=name):
        CONFIG.ready()
