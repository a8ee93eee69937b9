"""Which sessions may use the pages of staff: one rule for admin, the dashboard and its sockets."""

import time
from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.models import Device

from accounts.models import User
from accounts.sessions import BACKEND, is_session_of

SINCE_KEY = "staff_since"
SEEN_KEY = "staff_seen"
SEEN_INTERVAL = 60  # seconds between two updates of SEEN_KEY, each of which sets a new cookie

Session = Mapping[str, Any]


def began_with_password(session: Session) -> bool:
    return bool(session.get(BACKEND_SESSION_KEY) != BACKEND)


def is_recent(session: Session) -> bool:
    """Return whether a session of staff has not expired.

    It expires STAFF_SESSION_AGE seconds after the password, or STAFF_SESSION_IDLE seconds without a
    request.
    """
    now = int(time.time())
    since, seen = session.get(SINCE_KEY, now), session.get(SEEN_KEY, now)
    return bool(
        now - since <= settings.STAFF_SESSION_AGE and now - seen <= settings.STAFF_SESSION_IDLE
    )


def note_request(session: MutableMapping[str, Any]) -> None:
    """Note that the session has made a request, at most once in SEEN_INTERVAL."""
    now = int(time.time())
    session.setdefault(SINCE_KEY, now)
    if now - session.setdefault(SEEN_KEY, now) > SEEN_INTERVAL:
        session[SEEN_KEY] = now


def may_be_staff(session: Session) -> bool:
    """Return whether a session says that it is one of staff, and has not expired. No query."""
    return SESSION_KEY in session and began_with_password(session) and is_recent(session)


def find_staff(sessions: Sequence[Session]) -> list[User | None]:
    """Return the account of each session that may use the pages of staff now, None for others.

    The rule is that of `StaffSite.has_permission`, for websockets, which have no request. One
    query for all sessions, and two more with a second factor.
    """
    candidates = list(filter(may_be_staff, sessions))
    accounts = User.objects.in_bulk({int(session[SESSION_KEY]) for session in candidates})
    owners = _owners_of_devices(candidates)
    found = []
    for session in sessions:
        account = None
        if may_be_staff(session):
            account = accounts.get(int(session[SESSION_KEY]))
        if account is not None and not _may_use(session, account, owners):
            account = None
        found.append(account)
    return found


def _may_use(session: Session, account: User, owners: Mapping[str, int]) -> bool:
    if not account.is_staff or not is_session_of(session, account):
        return False
    device = session.get(DEVICE_ID_SESSION_KEY)
    return not settings.STAFF_SECOND_FACTOR or owners.get(device or "") == account.pk


def _owners_of_devices(sessions: Sequence[Session]) -> dict[str, int]:
    """Return the accounts of the confirmed second factors in sessions, by the id of the device."""
    ids: dict[str, set[int]] = defaultdict(set)
    for session in sessions:
        model, _, pk = session.get(DEVICE_ID_SESSION_KEY, "").rpartition("/")
        if pk.isdecimal():
            ids[model].add(int(pk))
    owners = {}
    for model, pks in ids.items():
        try:
            devices: Any = apps.get_model(model)
        except (LookupError, ValueError):
            continue
        if issubclass(devices, Device):
            for device in devices.objects.filter(pk__in=pks, confirmed=True):
                owners[f"{model}/{device.pk}"] = device.user_id
    return owners
