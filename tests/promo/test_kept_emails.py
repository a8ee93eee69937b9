"""An address that its person has confirmed is not asked about again."""

import pytest
from django.utils import timezone

from accounts.models import User
from tests.factories import make_event
from tests.helpers.visitors import PERSON, Visitor, html_of

pytestmark = pytest.mark.django_db

ALERT = "Did you mean <strong>"
TYPO = PERSON | {"email": "ines@gmial.com"}


def register(visitor: Visitor, **kept: str) -> str:
    """Register with a mistyped address. Return the page of the place."""
    visitor.give_phone()
    visitor.send("register", **TYPO | kept)
    return html_of(visitor.look())


@pytest.mark.parametrize("kept", [None, "", "rui@gmial.com", "ines@gmail.com"])
def test_only_the_address_that_was_kept_is_not_asked_about(kept: str | None) -> None:
    fields = {} if kept is None else {"kept_email": kept}
    assert ALERT in register(Visitor(make_event()), **fields)


def test_a_kept_address_is_not_asked_about() -> None:
    page = register(Visitor(make_event()), kept_email=" Ines@gmial.com")
    assert ALERT not in page
    assert "i•••@gmial.com" in page


def test_a_corrected_address_can_be_kept_too() -> None:
    visitor = Visitor(make_event())
    assert ALERT in register(visitor)
    visitor.open("email")
    visitor.send("email", email="ines@hotmial.com", kept_email="ines@hotmial.com")
    page = html_of(visitor.look())
    assert "i•••@hotmial.com" in page
    assert ALERT not in page


@pytest.mark.parametrize(("proven_by", "is_asked"), [("email", False), ("sms", True)])
def test_an_address_whose_email_was_read_is_not_asked_about(proven_by: str, is_asked: bool) -> None:
    visitor = Visitor(make_event())
    assert ALERT in register(visitor)
    User.objects.update(verified_at=timezone.now(), proven_by=proven_by)
    assert (ALERT in html_of(visitor.look())) is is_asked
