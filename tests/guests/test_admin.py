"""Admin: staff see lists, guests and requests; nobody else gets in; services do the work."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import zxingcpp
from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.core.files.storage import default_storage
from django.db import connection
from django.forms.models import model_to_dict
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image
from playwright.sync_api import Browser, Page
from pytest_django.fixtures import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from accounts.models import BlockedPhone, User
from accounts.services import is_blocked
from guests.models import (
    DeadEntry,
    Event,
    Guest,
    GuestRequest,
    Promoter,
    StateChange,
    Team,
    TeamMember,
)
from guests.qr.codes import image_name, pass_url
from notifications.models import Email
from snap.admin import CappedPaginator
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_promoter,
    make_request,
    make_staff,
    make_team,
)
from tests.helpers.invariants import broken_invariants
from tests.helpers.stack import Stack

pytestmark = pytest.mark.django_db

LISTS: dict[str, Callable[[], object]] = {
    "guests_event": make_event_promoter,
    "guests_guest": make_guest,
    "guests_guestrequest": make_request,
    "guests_team": make_team,
    "guests_promoter": make_promoter,
    "accounts_user": make_account,
    "accounts_blockedphone": lambda: BlockedPhone.objects.create(
        phone=f"+3519{BlockedPhone.objects.count()}", is_prefix=True, reason="tests"
    ),
    "notifications_email": make_guest,
}


@pytest.fixture
def admin(client: Client, manager: User) -> Client:
    client.force_login(manager)
    return client


def at(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def change_event(admin: Client, event: Event, **changes: Any) -> Any:
    """Send an event's form as a browser would, with some fields changed."""
    form: dict[str, Any] = {
        name: value
        for name, value in model_to_dict(event).items()
        if value not in {None, False} and name != "poster"
    }
    for name in ("starts_at", "ends_at", "list_opens_at", "list_closes_at"):
        local = timezone.localtime(form.pop(name))
        form |= {f"{name}_0": f"{local:%d/%m/%Y}", f"{name}_1": f"{local:%H:%M:%S}"}
    inline = {"eventpromoter_set-TOTAL_FORMS": 0, "eventpromoter_set-INITIAL_FORMS": 0}
    return admin.post(at("guests_event_change", event.pk), form | inline | changes)


# Who gets in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LISTS)
def test_strangers_and_guests_do_not_get_in(client: Client, name: str, guest: Guest) -> None:
    for account in (None, make_account(), guest.account):
        if account:
            client.force_login(account)
        for method in (client.get, client.post):
            response = method(at(f"{name}_changelist"))
            assert response.status_code == 302
            assert response.headers["Location"].startswith("/admin/login/")


def test_door_staff_see_guests_and_change_nothing(
    client: Client, door_staff: User, guest: Guest
) -> None:
    client.force_login(door_staff)
    assert client.get(at("guests_guest_changelist")).status_code == 200
    assert client.get(at("guests_guest_change", guest.pk)).status_code == 200
    assert client.post(at("guests_guest_change", guest.pk), {"name": "X"}).status_code == 403
    cancel = {"action": "cancel", "_selected_action": guest.pk, "confirmed": "yes"}
    client.post(at("guests_guest_changelist"), cancel)
    guest.refresh_from_db()
    assert guest.state == "on_list"
    assert client.get(at("accounts_user_changelist")).status_code == 403
    assert client.get(at("guests_event_add")).status_code == 403


MANY_GUESTS = """
WITH account AS (
    INSERT INTO accounts_user (password, is_superuser, phone, first_name, last_name, email,
                               language, is_active, is_staff, session_nonce)
    SELECT '!', false, '+35196' || lpad(n::text, 7, '0'), 'Rita', 'Exemplo ' || n, '', 'pt-pt',
           true, false, md5(n::text)
    FROM generate_series(1, %(size)s) AS n
    RETURNING id, phone, first_name
)
INSERT INTO guests_guest (event_id, account_id, phone, name, state, queue_number, listings)
SELECT %(event)s, id, phone, first_name, 'waiting', id, 0 FROM account
"""


def test_staff_sign_in_with_their_phone_as_they_write_it(client: Client) -> None:
    staff = make_staff(phone="+351912000999")
    form = {"username": "912 000 999", "password": "a long password", "next": "/admin/"}
    assert client.post("/admin/login/", form).headers["Location"] == "/admin/"
    assert client.session["_auth_user_id"] == str(staff.pk)


@pytest.mark.parametrize("name", LISTS)
def test_lists_cost_the_same_queries_at_any_size(
    admin: Client, name: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    counts = []
    for more in (3, 12):
        for _ in range(more):
            LISTS[name]()
        with django_assert_max_num_queries(20) as queries:
            assert admin.get(at(f"{name}_changelist")).context["cl"].result_count >= more
        counts.append(len(queries))
    assert counts[0] == counts[1]


def make_many_guests(size: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MANY_GUESTS, {"event": make_event().pk, "size": size})


def test_a_long_list_is_counted_so_far_and_no_further(admin: Client) -> None:
    make_many_guests(CappedPaginator.MAX_COUNT - 1)
    page = admin.get(at("guests_guest_changelist")).content.decode()
    assert f"{CappedPaginator.MAX_COUNT - 1} convidados" in page
    assert f"({CappedPaginator.MAX_COUNT - 1})" in page  # beside the state they are all in
    make_guest()
    page = admin.get(at("guests_guest_changelist")).content.decode()
    assert f"{CappedPaginator.MAX_COUNT}+ convidados" in page
    assert f"({CappedPaginator.MAX_COUNT - 1})" not in page
    page = admin.get(at("guests_guest_changelist"), {"_facets": "True"}).content.decode()
    assert f"({CappedPaginator.MAX_COUNT - 1})" in page


def test_searching_finds_by_name_phone_and_email(admin: Client) -> None:
    make_guest()
    account = make_account(
        phone="+351913456789", first_name="Leonor", last_name="Seixas", email="leonor@example.com"
    )
    make_guest(account=account)
    for text in ("leonor", "Leonor Seixas", "913 456 789", "+3519134", "leonor@"):
        for name in ("guests_guest", "accounts_user"):
            found = admin.get(at(f"{name}_changelist"), {"q": text}).context["cl"].result_list
            assert len(found) == 1, (text, name)


# Events ------------------------------------------------------------------------------------------


def test_more_places_go_to_those_who_wait(
    admin: Client,
    manager: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    event = make_event(capacity=1)
    make_guest(event)
    waiting = make_guest(event)
    event.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        assert change_event(admin, event, capacity=2).status_code == 302
    waiting.refresh_from_db()
    assert waiting.state == "on_list"
    assert waiting.has_waited()
    change = StateChange.objects.get(guest=waiting, to_state="on_list")
    assert change.actor == f"account:{manager.pk}"
    assert broken_invariants() == []


def test_fewer_places_than_are_taken_is_a_clear_error(admin: Client) -> None:
    event = make_event(capacity=3)
    for _ in range(2):
        make_guest(event)
    response = change_event(admin, event, capacity=1)
    assert response.status_code == 200
    assert "2 " in str(response.context["adminform"].form.errors["capacity"])
    event.refresh_from_db()
    assert event.capacity == 3


def test_saving_an_event_leaves_places_given_meanwhile(admin: Client) -> None:
    stale = make_event()
    make_guest(Event.objects.get())
    assert stale.places_taken == 0
    assert change_event(admin, stale, title="Outro título").status_code == 302
    event = Event.objects.get()
    assert (event.title, event.places_taken) == ("Outro título", 1)


def test_an_event_says_its_own_time_its_state_and_its_counts(admin: Client) -> None:
    event = make_event(capacity=1, time_zone="Atlantic/Azores")
    for _ in range(3):
        make_guest(event)
    page = admin.get(at("guests_event_changelist")).content.decode()
    for text in ("1/1", f"{event.local_start:%H:%M}", f"event__id__exact={event.pk}"):
        assert text in page
    assert '<td class="field-waiting">2</td>' in page


def test_events_that_end_before_they_start_are_refused(admin: Client) -> None:
    event = make_event()
    event.ends_at = event.starts_at - timedelta(hours=1)
    assert change_event(admin, event).status_code == 200
    assert admin.get(at("guests_event_add")).status_code == 200


# Guests ------------------------------------------------------------------------------------------


def test_a_guests_page_shows_code_emails_and_history_but_no_token(
    admin: Client, guest: Guest
) -> None:
    page = admin.get(at("guests_guest_change", guest.pk)).content.decode()
    assert guest.qr_token is not None
    assert guest.qr_token not in page
    assert "data:image/png;base64," in page
    assert "qr_code" in page
    assert f"guest:{guest.pk}/" in page
    assert f"– → {Guest.State.ON_LIST.label} ·" in page
    assert guest.phone[-3:] in page
    with default_storage.open(image_name(guest.qr_token)) as file:
        (code,) = zxingcpp.read_barcodes(Image.open(file).convert("L"))
    assert code.text == pass_url(guest.qr_token)


def test_the_list_counts_states_and_hides_phones(admin: Client) -> None:
    event = make_event(capacity=2)
    guests = [make_guest(event) for _ in range(3)]
    make_guest()
    response = admin.get(at("guests_guest_changelist"), {"event__id__exact": event.pk})
    assert response.context["cl"].result_count == 3
    page = response.content.decode()
    assert "(2)" in page
    assert all(guest.phone not in page for guest in guests)
    assert all((guest.qr_token or "no token") not in page for guest in guests)


def test_cancelling_asks_first_and_names_who_did_it(
    admin: Client, manager: User, guest: Guest
) -> None:
    form = {"action": "cancel", "_selected_action": guest.pk}
    asked = admin.post(at("guests_guest_changelist"), form)
    assert guest.name in asked.content.decode()
    guest.refresh_from_db()
    assert guest.state == "on_list"
    admin.post(at("guests_guest_changelist"), form | {"confirmed": "yes"})
    guest.refresh_from_db()
    assert (guest.state, guest.qr_token) == ("cancelled", None)
    assert StateChange.objects.first().actor == f"account:{manager.pk}"  # type: ignore[union-attr]
    assert broken_invariants() == []


def test_only_a_guests_name_can_be_edited_and_none_is_deleted(admin: Client, guest: Guest) -> None:
    form = {"name": "Nome Certo", "state": "cancelled", "phone": "+351910000009"}
    assert admin.post(at("guests_guest_change", guest.pk), form).status_code == 302
    changed = Guest.objects.get()
    assert changed.name == "Nome Certo"
    assert (changed.state, changed.phone) == (guest.state, guest.phone)
    assert admin.post(at("guests_guest_delete", guest.pk), {"post": "yes"}).status_code == 403
    assert admin.get(at("guests_guest_add")).status_code == 403


# Requests, teams, promoters, accounts ----------------------------------------------------------


def test_requests_can_be_read_and_dead_ones_tried_again(admin: Client) -> None:
    request = make_request()
    page = admin.get(at("guests_guestrequest_change", request.pk)).content.decode()
    assert 'name="_save"' not in page
    form = {"name": "Outro"}
    admin.post(at("guests_guestrequest_change", request.pk), form)
    GuestRequest.objects.update(state="dead", attempts=3, ended_at=timezone.now(), error="Oops")
    listed = admin.get(at("guests_guestrequest_changelist"), {"state__exact": "dead"})
    assert "Oops" in listed.content.decode()
    again = {"action": "replay", "_selected_action": request.pk}
    admin.post(at("guests_guestrequest_changelist"), again)
    request.refresh_from_db()
    assert (request.state, request.attempts, request.name == "Outro") == ("pending", 0, False)


def test_lists_are_audited(admin: Client, manager: User) -> None:
    well, unwell, other = make_guest(), make_guest(), make_guest()
    for guest in (unwell, other):
        default_storage.delete(image_name(guest.qr_token or ""))
    chosen = [well.event_id, unwell.event_id]
    data = {"action": "audit", "_selected_action": chosen}
    said = admin.post(at("guests_event_changelist"), data, follow=True).content.decode()
    assert f"Guest {unwell.pk}: the image" in said
    assert f"Guest {other.pk}: the image" not in said
    assert "1 com problemas, 0 em curso." in said
    assert {int(entry.object_id or 0) for entry in LogEntry.objects.all()} == set(chosen)
    assert {entry.user for entry in LogEntry.objects.all()} == {manager}


def test_a_promoters_page_shows_links_of_events_ahead(admin: Client) -> None:
    at_event = make_event_promoter(promoter=make_promoter(code="ana"))
    make_event_promoter(
        make_event(
            starts_at=timezone.now() - timedelta(days=2), ends_at=timezone.now() - timedelta(days=1)
        ),
        promoter=at_event.promoter,
    )
    make_guest(at_event.event, promoter=at_event.promoter)
    page = admin.get(at("guests_promoter_change", at_event.promoter.pk)).content.decode()
    assert page.count(f"http://localhost:8000/promo/{at_event.event.slug}/ana/") == 2
    assert page.count("http://localhost:8000/promo/") == 2
    listed = admin.get(at("guests_promoter_changelist")).content.decode()
    assert '<td class="field-guest_count">1</td>' in listed


def test_a_teams_members_are_edited_with_it(admin: Client) -> None:
    member = make_account()
    form = {
        "name": "Equipa Nova",
        "teammember_set-TOTAL_FORMS": 1,
        "teammember_set-INITIAL_FORMS": 0,
        "teammember_set-0-account": member.pk,
    }
    assert admin.post(at("guests_team_add"), form).status_code == 302
    assert TeamMember.objects.get().account == member
    assert Team.objects.get().members.get() == member


def test_an_account_is_added_without_a_password_under_one_phone(admin: Client) -> None:
    form = {
        "phone": "912 345 678",
        "first_name": "Marta",
        "last_name": "Exemplo",
        "email": "marta@example.com",
        "language": "pt-pt",
    }
    assert admin.post(at("accounts_user_add"), form).status_code == 302
    account = User.objects.get(phone="+351912345678")
    assert not account.has_usable_password()
    assert admin.post(at("accounts_user_add"), form).status_code == 200
    assert User.objects.filter(phone="+351912345678").count() == 1
    assert admin.post(at("accounts_user_add"), form | {"phone": "912"}).status_code == 200


def test_only_staff_are_given_passwords(admin: Client, stranger: User, door_staff: User) -> None:
    passwords = {"password1": "correct horse staple", "password2": "correct horse staple"}
    passwords |= {"usable_password": "true"}
    for account, status in ((stranger, 403), (door_staff, 302)):
        url = at("auth_user_password_change", account.pk)
        assert admin.post(url, passwords).status_code == status
    stranger.refresh_from_db()
    door_staff.refresh_from_db()
    assert not stranger.has_usable_password()
    assert door_staff.check_password("correct horse staple")


def test_staff_cannot_give_themselves_powers(client: Client) -> None:
    staff, boss = make_account(is_staff=True), make_staff()
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client.force_login(staff)
    form = {
        "phone": staff.phone,
        "first_name": "Novo",
        "last_name": "Nome",
        "email": staff.email,
        "language": "pt-pt",
        "is_active": "on",
        "is_superuser": "on",
        "is_staff": "on",
    }
    assert client.post(at("accounts_user_change", staff.pk), form).status_code == 403
    staff.refresh_from_db()
    assert (staff.first_name, staff.is_superuser) == ("Rita", False)
    assert client.post(at("accounts_user_change", boss.pk), form).status_code == 403
    assert client.get(at("auth_user_password_change", boss.pk)).status_code == 403
    assert client.post(at("accounts_user_delete", boss.pk), {"post": "yes"}).status_code == 403


def test_signing_out_everywhere_ends_sessions(admin: Client, stranger: User) -> None:
    visitor = Client()
    visitor.force_login(stranger)
    form = {"action": "sign_out_everywhere", "_selected_action": stranger.pk}
    admin.post(at("accounts_user_changelist"), form)
    session_hash = visitor.session["_auth_user_hash"]
    stranger.refresh_from_db()
    assert stranger.get_session_auth_hash() != session_hash


def test_a_blocked_phone_must_be_written_in_full(admin: Client) -> None:
    url, form = at("accounts_blockedphone_add"), {"phone": "+35191", "reason": "tests"}
    assert admin.post(url, form | {"phone": "91 000"}).status_code == 200
    assert admin.post(url, form | {"is_prefix": "on"}).status_code == 302
    assert is_blocked("+351912345678")


def test_emails_are_listed_for_staff(admin: Client, guest: Guest) -> None:
    response = admin.get(at("notifications_email_changelist"), {"q": f"guest:{guest.pk}/"})
    assert response.context["cl"].result_list[0] == Email.objects.get()


def test_a_dead_entry_of_the_journal_is_shown_and_tried_again(admin: Client, manager: User) -> None:
    dead = DeadEntry.objects.create(
        ticket_id=uuid4(),
        event_slug="festa",
        phone="+351912345678",
        error="LookupError",
        attempts=10,
        accepted_at=timezone.now(),
    )
    listed = admin.get(at("guests_deadentry_changelist")).content.decode()
    assert str(dead.ticket_id) in listed
    assert "+351912345678" not in listed
    data = {"action": "replay", "_selected_action": [dead.pk]}
    admin.post(at("guests_deadentry_changelist"), data)
    dead.refresh_from_db()
    assert dead.replay_by == f"account:{manager.pk}"
    assert LogEntry.objects.get().user == manager


def test_door_staff_see_nothing_of_dead_entries(client: Client, door_staff: User) -> None:
    client.force_login(door_staff)
    assert client.get(at("guests_deadentry_changelist")).status_code == 403


# In a browser ------------------------------------------------------------------------------------


@pytest.mark.browser
def test_admin_works_under_the_content_security_policy(browser: Browser, stack: Stack) -> None:
    password = make_password("a long password", hasher="pbkdf2_sha256")
    User.objects.filter(pk=make_staff(phone="+351912000999").pk).update(password=password)
    guest = make_guest(make_event_promoter().event)
    with browser.new_context(base_url=stack.url, locale="pt-PT") as context:
        page = context.new_page()
        errors = watched(page)
        page.goto("/admin/login/")
        page.fill("[name=username]", "912 000 999")
        page.fill("[name=password]", "a long password")
        page.click("[type=submit]")
        page.wait_for_selector("#user-tools")
        for path in (
            at("guests_guest_changelist"),
            at("guests_guest_change", guest.pk),
            at("guests_event_changelist"),
            at("guests_event_change", guest.event_id),
            at("accounts_user_change", guest.account_id),
            at("guests_promoter_add"),
            at("guests_guestrequest_changelist"),
        ):
            page.goto(path)
        assert errors == []
        _choose_a_promoter(page, guest.event)
        _write_a_title(page)
    assert errors == []


def watched(page: Page) -> list[str]:
    """Collect what the browser complains of: refused scripts and styles, errors, missing files."""
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda got: errors.append(got.url) if got.status >= 400 else None)
    return errors


def _choose_a_promoter(page: Page, event: Event) -> None:
    page.goto(at("guests_event_change", event.pk))
    page.click("#eventpromoter_set-group .add-row a")
    page.click("#eventpromoter_set-1 .field-promoter .select2-selection")
    name = Promoter.objects.get().name
    page.click(f".select2-results__option:has-text('{name}')")
    page.click("#eventpromoter_set-1 .field-promoter .select2-selection__rendered")


def _write_a_title(page: Page) -> None:
    page.goto(at("guests_event_add"))
    page.type("#id_title", "Noite Clara")
    assert page.input_value("#id_slug") == "noite-clara"
