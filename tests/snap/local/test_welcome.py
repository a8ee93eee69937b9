from pytest_django import Settings

from snap.local.environment import Addresses
from snap.local.processes import read_procfile
from snap.local.welcome import COMMANDS_BY_HAND, welcome

ADDRESSES = Addresses("0.0.0.0", web_port=8000, ws_port=8001, lan_host="192.168.100.100")


def test_every_process_has_a_command_to_run_it_by_hand() -> None:
    assert list(COMMANDS_BY_HAND) == [process.name for process in read_procfile({})]


def test_addresses_for_this_machine_and_for_a_phone(settings: Settings) -> None:
    settings.INBOX_PAGE = True
    settings.INBOX_TOKEN = "x" * 22
    settings.PUBLIC_URL = "http://192.168.100.100:8000"
    text = welcome(ADDRESSES, "Promo link    http://localhost:8000/promo/a/b/\n")
    assert "  Promo link    http://localhost:8000/promo/a/b/\n" in text
    assert "  Inbox         http://localhost:8000/inbox/\n" in text
    assert "  Events        http://192.168.100.100:8000/promo/\n" in text
    assert f"  Inbox         http://192.168.100.100:8000/inbox/?key={'x' * 22}\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_no_inbox_where_emails_are_really_sent(settings: Settings) -> None:
    settings.INBOX_PAGE = False
    settings.PUBLIC_URL = ADDRESSES.local_url
    text = welcome(ADDRESSES, "")
    assert "Inbox" not in text
    assert "phone" not in text
