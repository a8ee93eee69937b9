"""The demo: an event in every state, loaded once, always in the future."""

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User
from guests.demo import EVENTS
from guests.models import Event, EventPromoter, Guest, GuestRequest, PooledQr
from guests.posters.sizes import PosterSizes
from guests.requests.accepting import find_promoter
from notifications.models import Email
from tests.factories import make_event
from tests.helpers.images import stored_bytes, stored_image
from tests.helpers.invariants import broken_invariants

pytestmark = pytest.mark.django_db


def seed(**options: str | bool) -> str:
    """Load the demo, without its posters unless a test is about them."""
    output = StringIO()
    call_command("seed_demo", stdout=output, **{"without_posters": True, **options})
    return output.getvalue()


def test_it_loads_an_event_in_every_state() -> None:
    seed()
    states = {
        event.slug: event.list_state() for event in Event.objects.listed().with_database_time()
    }
    assert states == {
        "noite-de-abertura": "open",
        "tarde-de-vinil": "not_open_yet",
        "baile-da-baixa": "full",
        "jantar-no-escuro": "full",
        "festa-do-rio": "closed",
    }
    assert Guest.objects.filter(event__slug="baile-da-baixa", state="waiting").count() == 4
    assert not Event.objects.get(slug="jantar-no-escuro").has_waiting_list
    assert not GuestRequest.objects.pending().exists()
    assert not Email.objects.exists()
    assert broken_invariants() == []


def test_the_promo_link_it_prints_leads_to_a_promoter() -> None:
    assert "/promo/noite-de-abertura/ana/" in seed()
    promoter, team = find_promoter(Event.objects.get(slug="noite-de-abertura"), code="ana")
    assert promoter is not None
    assert team is not None
    assert Guest.objects.filter(promoter=promoter).exists()


@pytest.mark.slow
def test_posters_are_images_for_phones() -> None:
    seed(without_posters=False)
    for event in Event.objects.all():
        assert stored_image(event.poster.name).size == (1200, 1500)
        sizes = PosterSizes.of(event.poster.name)
        assert sizes is not None
        assert len(stored_bytes(sizes.name(720, "avif"))) < 25_000
    assert all((event.title + event.venue).isascii() for event in EVENTS)


def test_the_staff_password_is_printed_once_and_works() -> None:
    found = re.search(r"(\+351 910 000 000), password (\S+)", seed())
    assert found is not None
    staff = authenticate(HttpRequest(), username="+351910000000", password=found[2])
    assert staff == User.objects.get(is_staff=True)
    assert found[2] not in (again := seed())
    assert "changepassword" in again


def test_a_given_staff_password_is_printed_while_it_works() -> None:
    assert "password given-by-make-run" in seed(staff_password="given-by-make-run")
    assert "password given-by-make-run" in seed(staff_password="given-by-make-run")
    staff = User.objects.get(is_staff=True)
    staff.set_password("changed")
    staff.save()
    again = seed(staff_password="given-by-make-run")
    assert "given-by-make-run" not in again
    assert "changepassword" in again


def test_links_have_the_address_that_was_given() -> None:
    text = seed(url="http://localhost:8410")
    assert "http://localhost:8410/promo/noite-de-abertura/ana/" in text
    assert "http://localhost:8410/admin/" in text


def test_a_second_run_changes_nothing() -> None:
    seed()
    Event.objects.filter(slug="noite-de-abertura").update(title="O meu título", capacity=500)
    EventPromoter.objects.all().delete()
    Guest.objects.filter(event__slug="jantar-no-escuro").update(name="Outro nome")
    before = everything()
    seed()
    assert everything() == before


def test_past_events_get_new_dates_and_nothing_else() -> None:
    seed()
    Event.objects.filter(slug="noite-de-abertura").update(title="O meu título")
    for event in Event.objects.all():
        Event.objects.filter(pk=event.pk).update(
            starts_at=event.starts_at - timedelta(days=30),
            ends_at=event.ends_at - timedelta(days=30),
            list_opens_at=event.list_opens_at - timedelta(days=30),
            list_closes_at=event.list_closes_at - timedelta(days=30),
        )
    assert not Event.objects.listed().exists()
    seed()
    assert Event.objects.listed().count() == len(EVENTS)
    event = Event.objects.with_database_time().get(slug="noite-de-abertura")
    assert (event.title, event.list_state()) == ("O meu título", "open")
    assert event.starts_at > timezone.now() + timedelta(days=7)


def everything() -> list[object]:
    models = [Event, EventPromoter, Guest, GuestRequest, User]
    return [list(model.objects.order_by("pk").values()) for model in models]  # type: ignore[attr-defined]


# QR codes made ahead ---------------------------------------------------------------------------


def test_qr_codes_are_made_ahead_with_progress() -> None:
    event, output = make_event(capacity=120), StringIO()
    call_command("pregenerate_qr", event.slug, 120, stdout=output)
    assert output.getvalue().splitlines()[:2] == ["100 of 120", "120 of 120"]
    assert PooledQr.objects.count() == 120
    call_command("pregenerate_qr", event.slug, 5, stdout=output)
    assert PooledQr.objects.count() == 120


@pytest.mark.parametrize(("slug", "n"), [("nothing", 5), ("festa", 51), ("festa", 0)])
def test_an_unknown_event_or_an_invalid_number_of_codes_is_an_error(slug: str, n: int) -> None:
    make_event(slug="festa", capacity=50)
    with pytest.raises(CommandError):
        call_command("pregenerate_qr", slug, n)
    assert not PooledQr.objects.exists()
