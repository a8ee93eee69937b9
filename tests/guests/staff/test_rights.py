"""The rule for sessions of sockets is the rule for requests."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from accounts.sessions import BACKEND
from accounts.staff_sessions import SEEN_KEY, SINCE_KEY
from guests.staff.rights import Rights, find_rights, rights_of
from tests.factories import make_account, make_staff
from tests.helpers.admin import admin_client, staff_with

pytestmark = pytest.mark.django_db

HOUR = 3600


def session_of(client: Client, **values: Any) -> Any:
    session = client.session
    session.update(values)
    session.save()
    client.cookies["session"] = session.session_key or ""
    return client.session


def is_let_in(client: Client) -> bool:
    """Return whether a page of staff opens, or is refused for want of a permission."""
    return client.get("/staff/").status_code in {200, 403}


def in_a_group(account: User) -> User:
    group = Group.objects.create(name="Porta")
    group.permissions.set(Permission.objects.filter(codename__in=["view_event", "view_guest"]))
    account.groups.add(group)
    return account


@pytest.mark.parametrize(
    "make",
    [
        make_staff,
        staff_with,
        lambda: staff_with("view_event"),
        lambda: staff_with("view_guest"),
        lambda: staff_with("view_event", "view_guest"),
        lambda: staff_with("view_mode"),
        lambda: staff_with("change_event", "change_guest"),
        lambda: staff_with("change_event", "view_guest", "change_mode"),
        lambda: in_a_group(staff_with()),
    ],
)
def test_rights_are_those_of_the_permissions(
    make: Callable[[], User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    account = make()
    sessions = [session_of(admin_client(account))] * 3
    with django_assert_num_queries(4):
        found = find_rights(sessions)
    assert found == [rights_of(User.objects.get(pk=account.pk))] * 3


def test_who_may_change_may_see_as_in_admin() -> None:
    account = staff_with("change_event", "change_guest", "change_mode")
    assert rights_of(account) == Rights(events=True, guests=True, system=True)
    assert rights_of(staff_with("change_guest")) == Rights(False, False, False)  # noqa: FBT003
    assert "/staff/" in admin_client(account).get("/admin/").content.decode()


def signed_out(client: Client, account: User) -> None:
    account.sign_out_everywhere()


def change(**fields: Any) -> Callable[[Client, User], None]:
    def apply(client: Client, account: User) -> None:
        User.objects.filter(pk=account.pk).update(**fields)

    return apply


def age(**seconds: int) -> Callable[[Client, User], None]:
    def apply(client: Client, account: User) -> None:
        now = int(time.time())
        session_of(client, **{key: now - value for key, value in seconds.items()})

    return apply


@pytest.mark.parametrize(
    "spoil",
    [
        signed_out,
        change(is_staff=False),
        change(is_active=False),
        change(session_nonce="other"),
        age(**{SINCE_KEY: 13 * HOUR, SEEN_KEY: 60}),
        age(**{SINCE_KEY: 4 * HOUR, SEEN_KEY: 3 * HOUR}),
        lambda client, account: client.force_login(account, backend=BACKEND),
        lambda client, account: client.logout(),
    ],
)
def test_a_session_that_opens_no_page_opens_no_socket(
    manager: User, spoil: Callable[[Client, User], None]
) -> None:
    client = admin_client(manager)
    assert find_rights([session_of(client)]) == [Rights(events=True, guests=True, system=True)]
    spoil(client, manager)
    assert find_rights([client.session]) == [None]
    assert not is_let_in(client)


def test_the_second_factor_counts(settings: Settings, manager: User) -> None:
    settings.STAFF_SECOND_FACTOR = True
    own = TOTPDevice.objects.create(user=manager, confirmed=True)
    unconfirmed = TOTPDevice.objects.create(user=manager, confirmed=False)
    of_another = TOTPDevice.objects.create(user=make_staff(), confirmed=True)
    ids = [None, "", "x", "otp_totp.totpdevice/x", "nothing.nothing/1"]
    ids += [device.persistent_id for device in (unconfirmed, of_another)]
    for device_id in ids:
        client = admin_client(manager)
        session = session_of(client, **({DEVICE_ID_SESSION_KEY: device_id} if device_id else {}))
        assert find_rights([session]) == [None], device_id
        assert not is_let_in(client)
    client = admin_client(manager)
    session = session_of(client, **{DEVICE_ID_SESSION_KEY: own.persistent_id})
    assert find_rights([session]) != [None]
    assert is_let_in(client)
    own.delete()
    assert find_rights([session]) == [None]
    assert not is_let_in(client)


def test_many_sessions_take_as_many_queries_as_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    sessions = [session_of(admin_client(staff_with("view_event"))) for _ in range(3)]
    sessions.append(session_of(Client()))
    guest = Client()
    guest.force_login(make_account(), backend=BACKEND)
    sessions.append(guest.session)
    with django_assert_num_queries(4):
        found = find_rights(sessions)
    assert [rights is not None for rights in found] == [True, True, True, False, False]
