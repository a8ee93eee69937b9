"""`manage.py seed_demo`: load demo data. A second run only gives new dates to past events."""

import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.phones import readable_phone
from guests.demo import (
    EVENTS,
    GUEST_PHONE,
    PROMOTERS,
    STAFF_PHONE,
    TEAMS,
    DemoEvent,
    draw_poster,
    people,
)
from guests.models import Event, EventPromoter, GuestRequest, Promoter, Team
from guests.posters.sizes import store_poster
from guests.requests.accepting import request_place
from guests.requests.creating import create_due_guests


class Command(BaseCommand):
    help = "Load demo events, promoters, guests and a staff account; give past events new dates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", help="address of SNAP for the links (default: PUBLIC_URL)")
        parser.add_argument(
            "--staff-password", help="password of a new staff account (default: a random one)"
        )

        parser.add_argument(
            "--without-posters",
            action="store_true",
            help="do not draw posters, which takes a second",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        posters: dict[str, str] = {}
        if not options["without_posters"]:
            posters = store_posters()
        with transaction.atomic():
            new = [event for event in EVENTS if seed_event(event, posters)]
            seed_promoters(new)
            password = seed_staff(options["staff_password"])
            seed_guest()
        for event in new:
            seed_requests(event)
        create_due_guests()
        for event in EVENTS:
            renew_dates(event)
        self.print_links(options["url"] or settings.PUBLIC_URL, password)

    def print_links(self, url: str, password: str | None) -> None:
        staff = readable_phone(STAFF_PHONE)
        self.stdout.write(f"Promo link    {url}/promo/noite-de-abertura/ana/")
        self.stdout.write(
            f"Demo guest    {readable_phone(GUEST_PHONE)}, codes by email (in the inbox)"
        )
        self.stdout.write(f"Admin         {url}/admin/")
        if password:
            self.stdout.write(f"              phone {staff}, password {password}")
        else:
            self.stdout.write(f"              phone {staff}; for a new password:")
            self.stdout.write(
                f"              .venv/bin/python manage.py changepassword {STAFF_PHONE}"
            )
        self.stdout.write(f"Dashboard     {url}/staff/")


def store_posters() -> dict[str, str]:
    """Draw and store the posters of events that do not exist yet. Return their names by slug."""
    existing = set(Event.objects.values_list("slug", flat=True))
    names = {}
    for demo in EVENTS:
        if demo.slug not in existing:
            names[demo.slug] = store_poster(draw_poster(demo))
    return names


def seed_event(demo: DemoEvent, posters: dict[str, str]) -> bool:
    """Create an event unless it exists. Return whether it was created."""
    if Event.objects.filter(slug=demo.slug).exists():
        return False
    event = Event(
        slug=demo.slug,
        title=demo.title,
        description=demo.description,
        venue=demo.venue,
        address=demo.address,
        capacity=demo.capacity,
        has_waiting_list=demo.has_waiting_list,
        shows_places_left=demo.shows_places_left,
        is_published=True,
        **demo.times(timezone.now()),
    )
    event.poster = posters.get(demo.slug, "")
    event.save()
    return True


def seed_promoters(events: list[DemoEvent]) -> None:
    """Create the promoters and teams, and assign them to the new events."""
    for name in TEAMS:
        Team.objects.get_or_create(name=name)
    new = {event.slug for event in events}
    for code, name, team, slugs in PROMOTERS:
        promoter, _ = Promoter.objects.get_or_create(code=code, defaults={"name": name})
        for event in Event.objects.filter(slug__in=new.intersection(slugs)):
            EventPromoter.objects.get_or_create(
                event=event, promoter=promoter, team=Team.objects.get(name=team)
            )


def seed_staff(password: str | None) -> str | None:
    """Create the staff account unless it exists. Return its password if that is known."""
    account = User.objects.filter(phone=STAFF_PHONE).first()
    if account is not None:
        if password and account.check_password(password):
            return password
        return None
    password = password or secrets.token_hex(8)
    User.objects.create_superuser(
        STAFF_PHONE,
        password,
        first_name="Equipa",
        last_name="SNAP",
        email="equipa@example.com",
        verified_at=timezone.now(),
    )
    return password


def seed_guest() -> None:
    """Create an account to sign in with that is on no list, unless it exists."""
    if not User.objects.filter(phone=GUEST_PHONE).exists():
        User.objects.create_user(
            GUEST_PHONE,
            first_name="Carolina",
            last_name="Convidada",
            email="carolina@example.com",
            verified_at=timezone.now(),
        )


def seed_requests(demo: DemoEvent) -> None:
    """Make requests of invented people for an event. They have no email, so none is sent."""
    event = Event.objects.with_database_time().get(slug=demo.slug)
    promoter = None
    team = None
    at_event = EventPromoter.objects.filter(event=event).select_related("promoter", "team").first()
    if at_event:
        promoter = at_event.promoter
        team = at_event.team
    for phone, first_name, last_name in people(demo.people):
        account = User.objects.filter(phone=phone).first()
        if account is None:
            account = User.objects.create_user(phone, first_name=first_name, last_name=last_name)
        if not GuestRequest.objects.filter(event=event, account=account).exists():
            request_place(event, account, promoter=promoter, team=team)


def renew_dates(demo: DemoEvent) -> None:
    """Give an event new dates if it is over, or if a list that should be open has closed."""
    now = timezone.now()
    event = Event.objects.get(slug=demo.slug)
    should_be_open = demo.list_state != "closed"
    if event.ends_at <= now or (should_be_open and event.list_closes_at <= now):
        Event.objects.filter(pk=event.pk).update(**demo.times(now))
