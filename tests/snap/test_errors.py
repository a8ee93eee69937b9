"""Error pages that say what is true for whoever sees them."""

import pytest
from django.test import RequestFactory
from django.utils import translation

from snap.errors import unavailable


@pytest.mark.parametrize(
    ("method", "text"),
    [("GET", "QR codes that were given are safe"), ("POST", "Nothing was kept")],
)
def test_a_503_calls_only_a_form_not_kept(rf: RequestFactory, method: str, text: str) -> None:
    with translation.override("en"):
        answer = unavailable(rf.generic(method, "/guest/a-token"))
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert text in answer.content.decode()
