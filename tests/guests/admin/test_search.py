"""Search and order in admin: names without accents, and phones by their last digits."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.db import connection
from django.db.models import CharField, TextField
from django.test import Client

from guests.admin.guest_forms import AttributionField, attribution_text
from guests.admin.sharing import links_of
from guests.models import Guest, GuestRequest, Promoter, Team
from snap.admin import SnapAdmin
from snap.search import NAME_FIELDS
from tests.factories import (
    make_account,
    make_event,
    make_event_promoter,
    make_guest,
    make_promoter,
)
from tests.helpers.admin import admin_url

pytestmark = pytest.mark.django_db

OUR_APPS = {"accounts", "guests", "notifications"}
# Texts that are searched as they are, or not at all. A new text field belongs here or in
# NAME_FIELDS.
NOT_NAMES = {
    "actor", "address", "address_hash", "arrival", "attempts", "browser", "cause", "channel",
    "code", "decided_by", "description", "detail", "email", "email_key", "ending", "error",
    "event_slug", "field", "from_email", "from_state", "from_to", "from_value",
    "idempotency_key", "key", "kind", "language", "network_hash", "nonce", "note", "origin",
    "page", "password", "payload", "phone", "phone_hash", "phone_prefix", "place", "poster",
    "proof", "proven_by", "provider", "provider_id", "qr_token", "reason", "recipient",
    "refusal", "replay_by", "request_id", "session_nonce", "slug", "state", "subject_en",
    "subject_pt",
    "text_en", "text_pt", "time_zone", "to", "to_email", "to_state", "to_value", "token",
    "ticket_id", "traceparent", "unsure_provider", "venue_networks", "what",
}  # fmt: skip


def found(admin: Client, name: str, **query: str) -> list[Any]:
    response = admin.get(admin_url(f"{name}_changelist"), query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("João da Conceição", ["joao", "CONCEICAO", "conceição", "joao conceicao", "nceic"]),
        ("Ana D´Almeida", ["d'almeida", "d’almeida", "D`Almeida", "dalmeida", "almeida"]),
        ("Ana D’Almeida", ["d'almeida", "D´Almeida", "dalmeida"]),
        ("Marie–Claire Sá", ["marie-claire", "marie claire", "sa", "m", "cl"]),
        ("Łukasz Żółć", ["lukasz", "zolc"]),
        ("Nguyễn Ngọc", ["nguyen", "ngoc"]),
        ("Joa\u0303o", ["joao", "joão"]),
        ("Σίσυφος Παπάς", ["ΣΊΣΥΦΟΣ", "σισυφος παπασ"]),
        ("Straße 100%", ["strasse", "100%"]),
        ("محمد علي", ["محمد", "علي"]),
    ],
)
def test_names_are_found_as_people_type_them(admin: Client, name: str, words: list[str]) -> None:
    first, _, last = name.partition(" ")
    account = make_account(first_name=first, last_name=last)
    guest = make_guest(account=account, name=name)
    request = GuestRequest.objects.get(account=account)
    GuestRequest.objects.filter(pk=request.pk).update(name=name)
    make_guest(name="Rui Xavier")
    for word in words:
        assert found(admin, "guests_guest", q=word) == [guest], word
        assert found(admin, "guests_guestrequest", q=word) == [request], word
        assert found(admin, "accounts_user", q=word) == [account], word


def test_a_short_word_begins_a_word_of_the_name(admin: Client) -> None:
    guest = make_guest(name="Eva Oliveira")
    assert found(admin, "guests_guest", q="ol") == [guest]
    assert found(admin, "guests_guest", q="ve") == []
    assert found(admin, "guests_guest", q='"eva oli"') == [guest]


@pytest.mark.parametrize("digits", ["7890", "890", "912 347 890", "91234", "+351 912", "347890"])
def test_a_phone_is_found_by_its_digits(admin: Client, digits: str) -> None:
    account = make_account(phone="+351912347890", first_name="Leonor")
    guest = make_guest(account=account)
    make_guest(account=make_account(phone="+351967111222", first_name="Rui"))
    assert found(admin, "guests_guest", q=digits) == [guest]
    assert found(admin, "accounts_user", q=digits) == [account]


def test_a_name_and_digits_are_found_together(admin: Client) -> None:
    guest = make_guest(account=make_account(phone="+351912347890"), name="João Sá")
    make_guest(account=make_account(phone="+351912357890"), name="Rui Sá")
    assert found(admin, "guests_guest", q="joao 7890") == [guest]
    assert found(admin, "guests_guest", q="rui joao") == []


@pytest.mark.parametrize("sign", ["%", "_", "\\", "'", '"', "''", "´", "-", "\x00"])
def test_signs_stand_for_themselves(admin: Client, sign: str) -> None:
    make_guest(name="Ana Sá")
    url = admin_url("guests_guest_changelist")
    assert admin.get(url, {"q": f"x{sign}y"}).status_code in {200, 400}
    assert admin.get(url, {"q": sign}).status_code in {200, 400}


def test_events_promoters_and_teams_are_found(admin: Client) -> None:
    event = make_event(title="Verão às Sextas", venue="Praça do Comércio")
    promoter = make_promoter(name="Inês Araújo")
    team = Team.objects.create(name="Associação")
    assert found(admin, "guests_event", q="verao") == [event]
    assert found(admin, "guests_event", q="praca comercio") == [event]
    assert found(admin, "guests_promoter", q="ines araujo") == [promoter]
    assert found(admin, "guests_team", q="associacao") == [team]


NAMES_IN_ORDER = ["Álvaro", "ana", "D´Almeida", "Élia", "Zé"]


def test_lists_sort_names_as_people_do(admin: Client) -> None:
    event = make_event()
    for name in reversed(NAMES_IN_ORDER):
        make_guest(event=event, name=name, account=make_account(first_name=name, last_name=""))
        Promoter.objects.create(name=name, code=f"p{len(name)}-{ord(name[0])}")
        Team.objects.create(name=name)
    accounts = found(admin, "accounts_user", o="1")
    assert [each.first_name for each in accounts if each.first_name in NAMES_IN_ORDER] == (
        NAMES_IN_ORDER
    )
    assert [each.name for each in found(admin, "guests_guest", o="1")] == NAMES_IN_ORDER
    assert [each.name for each in found(admin, "guests_guest", o="-1")] == NAMES_IN_ORDER[::-1]
    # In the order of the list itself, which choices and filters have too.
    assert [each.name for each in found(admin, "guests_promoter")] == NAMES_IN_ORDER
    assert [each.name for each in found(admin, "guests_team")] == NAMES_IN_ORDER


def test_promoters_are_sorted_as_people_do_wherever_they_are_listed(admin: Client) -> None:
    event = make_event()
    for number, name in enumerate(reversed(NAMES_IN_ORDER)):
        promoter = Promoter.objects.create(name=name, code=f"code-{number}")
        make_event_promoter(event=event, promoter=promoter)
        make_guest(event=event, promoter=promoter)
    listed = found(admin, "guests_guest", o="5")
    assert [each.promoter.name for each in listed] == NAMES_IN_ORDER
    assert [link.name for link in links_of(event)][1:] == NAMES_IN_ORDER
    field = AttributionField()
    field.set_event(event)
    offered = [attribution_text(*each) for each in field.attributions.values()]
    assert offered == ["–", *NAMES_IN_ORDER]


@pytest.mark.parametrize("term", ["… 3411", "joao & 3411", "joao - sa"])
def test_signs_that_stand_alone_are_left_out(admin: Client, term: str) -> None:
    guest = make_guest(name="João Sá", account=make_account(phone="+351912123411"))
    make_guest(name="Rui Xavier")
    assert found(admin, "guests_guest", q=term) == [guest]


def test_every_text_field_is_a_name_or_is_not() -> None:
    fields = set()
    for model in apps.get_models():
        if model._meta.app_label in OUR_APPS:
            for field in model._meta.concrete_fields:
                if isinstance(field, CharField | TextField):
                    fields.add(field.name)
    assert fields - NAME_FIELDS <= NOT_NAMES


def test_every_list_finds_and_sorts_names_in_this_way() -> None:
    for model, model_admin in django_admin.site._registry.items():
        if model._meta.app_label in OUR_APPS:
            assert isinstance(model_admin, SnapAdmin), model
            for field in [*model_admin.search_fields]:
                is_name = field.rpartition("__")[2] in NAME_FIELDS
                assert is_name or "__" in field, f"{field} of {model} is no lookup"


@pytest.mark.parametrize("model", [Guest, GuestRequest])
@pytest.mark.parametrize("word", ["conceicao", "xq", "4321"])
def test_the_search_uses_the_index(model: Any, word: str) -> None:
    """PostgreSQL reads the trigram index when reading the whole table is forbidden."""
    name_query = model.objects.order_by().filter(name__folded=word).values("pk")
    phone_query = model.objects.order_by().filter(phone__endswith=word).values("pk")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    for query in (name_query, phone_query):
        assert "_search" in query.explain()
