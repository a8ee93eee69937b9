"""Tokens and session cookies: they cannot be guessed, derived or forged."""

import re
import string
from collections import Counter
from itertools import pairwise

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core import signing
from django.test import Client, override_settings
from pytest_django import Settings

from accounts.models import User
from accounts.sessions import BACKEND
from guests.models import Guest, GuestRequest
from guests.qr.codes import make_token
from tests.factories import make_account, make_event, make_guest

URL_SAFE = string.ascii_letters + string.digits + "-_"


def test_a_qr_token_has_the_entropy_it_promises() -> None:
    tokens = [make_token() for _ in range(5000)]
    assert len(set(tokens)) == len(tokens)
    assert {len(token) for token in tokens} == {24}  # 144 bits
    counts = Counter("".join(tokens))
    assert set(counts) == set(URL_SAFE)
    expected = len(tokens) * 24 / 64
    chi_squared = sum((seen - expected) ** 2 / expected for seen in counts.values())
    assert chi_squared < 150  # 63 degrees of freedom: beyond this once in 10 billion runs
    for place in range(24):
        assert len({token[place] for token in tokens}) == 64


@pytest.mark.django_db
def test_tokens_contain_nothing_of_their_guests() -> None:
    event = make_event()
    guests = [make_guest(event) for _ in range(20)]
    for guest in guests:
        token = guest.qr_token or ""
        for known in (str(guest.account_id).zfill(4), (guest.phone or "")[-6:], event.slug):
            assert known not in token
        ticket = GuestRequest.objects.get(guest=guest).ticket_id
        assert ticket.version == 4
        assert ticket.hex[:8] not in token
    pairs = pairwise(guests)
    assert all(
        sum(a == b for a, b in zip(one.qr_token or "", other.qr_token or "", strict=True)) < 8
        for one, other in pairs
    )


@pytest.mark.django_db
def test_a_string_similar_to_a_token_opens_nothing(client: Client, guest: Guest) -> None:
    token = guest.qr_token or ""
    near = [token[:-1], token + "A", token.swapcase(), token[::-1], f" {token}", f"{token}%20"]
    near += [
        str(guest.pk),
        str(guest.account_id),
        guest.phone or "",
        "..%2f" + token,
        "%25",
        "x" * 5000,
    ]
    for guess in near:
        assert client.get(f"/guest/{guess}").status_code == 404, guess
        assert client.get(f"/media/qr/{guess}.png").status_code == 404, guess


@pytest.mark.django_db
def test_a_token_ends_with_its_place(client: Client, guest: Guest, manager: User) -> None:
    token = guest.qr_token
    client.force_login(manager)
    form = {"action": "cancel", "_selected_action": guest.pk, "confirmed": "yes"}
    client.post("/admin/guests/guest/", form)
    client.logout()
    shown = client.get(f"/guest/{token}", headers={"accept-language": "en"})
    assert "This pass is not valid" in shown.content.decode()
    guest.refresh_from_db()
    assert guest.qr_token is None


# Sessions -----------------------------------------------------------------------------------------


def session_for(account: User, **extra: str) -> SessionStore:
    session = SessionStore()
    session.update(
        {
            SESSION_KEY: str(account.pk),
            BACKEND_SESSION_KEY: BACKEND,
            HASH_SESSION_KEY: account.get_session_auth_hash(),
        }
        | extra
    )
    session.save()
    return session


def signed_in_with(cookie: str) -> bool:
    client = Client()
    client.cookies["session"] = cookie
    event = make_event()
    return client.post(f"/promo/{event.slug}/-/request/")["Location"].count("/ticket/") == 1


@pytest.mark.django_db
def test_a_session_cookie_cannot_be_changed_or_made() -> None:
    account, victim = make_account(), make_account()
    own = session_for(account).session_key or ""
    assert signed_in_with(own)
    data, stamp, signature = own.rsplit(":", 2)
    forged = signing.dumps(
        {SESSION_KEY: str(victim.pk), BACKEND_SESSION_KEY: BACKEND},
        key="guessed",
        salt="django.contrib.sessions.backends.signed_cookies",
        compress=True,
    )
    other_salt = signing.dumps(session_for(victim)._session, compress=True)  # type: ignore[attr-defined]
    for cookie in (
        forged,
        other_salt,
        f"{data}:{stamp}:{'A' * len(signature)}",
        f"{data}:{stamp}:",
        f"{data}:zzzzzz:{signature}",
        f".{data}:{stamp}:{signature}",
        f"{data[:-2]}AA:{stamp}:{signature}",
    ):
        assert not signed_in_with(cookie), cookie


@pytest.mark.django_db
def test_a_session_of_one_account_does_not_become_anothers() -> None:
    account, victim = make_account(), make_account()
    mixed = session_for(victim, **{HASH_SESSION_KEY: account.get_session_auth_hash()})
    assert not signed_in_with(mixed.session_key or "")


@pytest.mark.django_db
def test_fallback_keys_are_read(settings: Settings) -> None:
    cookie = session_for(make_account()).session_key or ""
    old = settings.SECRET_KEY
    settings.SECRET_KEY = "another-key-for-tests-that-is-long-enough-9876543210"
    assert not signed_in_with(cookie)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert signed_in_with(cookie)
    assert not signed_in_with(cookie[:-1] + ("A" if cookie[-1] != "A" else "B"))


@pytest.mark.django_db
def test_an_expired_session_does_not_count() -> None:
    cookie = session_for(make_account()).session_key or ""
    with override_settings(SESSION_COOKIE_AGE=-1):
        assert not signed_in_with(cookie)


@pytest.mark.django_db
def test_no_secret_is_in_a_page(client: Client, settings: Settings) -> None:
    page = client.get("/admin/login/").content.decode()
    assert settings.SECRET_KEY not in page
    assert not re.search(r"sessionid|__Host-session", page)
