"""Values that code keeps on a request."""

from django.test import RequestFactory

from snap.request_values import RequestValue


def test_a_value_belongs_to_one_request(rf: RequestFactory) -> None:
    phone: RequestValue[str] = RequestValue("phone")
    first, second = rf.get("/"), rf.get("/")
    assert phone.get(first) is None
    phone.set(first, "+351961234567")
    assert phone.get(first) == "+351961234567"
    assert phone.get(second) is None


def test_values_with_different_names_do_not_meet(rf: RequestFactory) -> None:
    phone: RequestValue[str] = RequestValue("phone")
    body: RequestValue[str] = RequestValue("body")
    request = rf.get("/")
    phone.set(request, "")
    assert phone.get(request) == ""
    assert body.get(request) is None
