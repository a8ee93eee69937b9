"""Request bodies that are too large or malformed."""

import pytest
from django.test import Client

from accounts.models import User
from tests.factories import make_event
from tests.helpers.images import upload


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/promo/festa/-/phone/", "/i18n/setlang/", "/sign-out/", "/"])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_is_refused_by_its_content_length(client: Client, path: str, kind: str) -> None:
    response = client.generic(
        "POST", path, b"", f"{kind}; boundary=x", headers={"content-length": "10000000000"}
    )
    assert response.status_code == 413
    assert "errors/413.html" in [template.name for template in response.templates]


@pytest.mark.parametrize("length", ["-1", "1e9", "0x10", "9" * 400, "9" * 5000, "1,1", "²"])
def test_malformed_content_lengths_are_refused(client: Client, length: str) -> None:
    response = client.generic("POST", "/promo/", b"", headers={"content-length": length})
    assert response.status_code == 413


@pytest.mark.django_db
def test_only_staff_can_send_a_body_as_large_as_a_poster(client: Client, manager: User) -> None:
    event = make_event()
    client.force_login(manager)
    addresses = {
        f"/admin/guests/event/{event.pk}/change/": 200,
        f"/promo/{event.slug}/-/phone/": 413,
    }
    for address, status in addresses.items():
        large = {"poster": upload(b"x" * 3_000_000)}
        assert client.post(address, large).status_code == status


@pytest.mark.django_db
def test_a_form_with_thousands_of_fields_is_refused(client: Client) -> None:
    event = make_event()
    fields = {f"field{n}": "1" for n in range(1500)}
    assert client.post(f"/promo/{event.slug}/-/phone/", fields).status_code == 400
