"""Limits of routes: every route has one, and failures of one client limit no other."""

from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from guests.models import Event, GuestRequest
from promo.steps import Step
from tests.factories import make_account, make_event
from tests.helpers.api import CHECK, CREATE_ASYNC, LOGIN, REGISTER, post_json
from tests.helpers.challenges import solve
from tests.helpers.visitors import Response, Visitor, location_of

pytestmark = pytest.mark.django_db


def statuses(responses: list[Response]) -> list[int]:
    return [response.status_code for response in responses]


# Every route --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", list(Step))
def test_every_step_is_limited(settings: Settings, step: Step) -> None:
    settings.LIMIT_IP = 3
    visitor = Visitor(make_event())
    assert statuses([visitor.send(step) for _ in range(4)])[3] == 429
    assert statuses([visitor.open(step) for _ in range(4)])[3] == 429


@pytest.mark.parametrize("path", ["/inbox/", "/sign-out/", "/api/nothing", "/admin/login/"])
def test_every_page_is_limited(settings: Settings, path: str) -> None:
    settings.LIMIT_IP = 3
    assert statuses([Client().get(path) for _ in range(4)])[3] == 429


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_monitoring_pages_are_limited_by_address(settings: Settings, path: str) -> None:
    settings.LIMIT_MONITORING = 2
    here = [Client().get(path).status_code for _ in range(3)]
    assert here == [200, 200, 429]
    assert Client(REMOTE_ADDR="192.0.2.9").get(path).status_code != 429
    assert Client().get("/promo/").status_code == 200, "pages have a limit of their own"


def test_passwords_are_limited_by_address(settings: Settings) -> None:
    settings.LIMIT_SIGN_IN = 3

    def sign_in(number: int, address: str = "127.0.0.1") -> int:
        form = {"username": f"+35196100{number:04}", "password": "a wrong password"}
        return Client(REMOTE_ADDR=address).post("/admin/login/", form).status_code

    assert [sign_in(number) for number in range(5)] == [200, 200, 200, 429, 429]
    assert sign_in(5, "192.0.2.9") == 200


def test_admin_is_limited_by_account(settings: Settings, manager: User) -> None:
    settings.LIMIT_STAFF = 3
    busy, colleague = Client(), Client()
    busy.force_login(manager, backend="django.contrib.auth.backends.ModelBackend")
    assert statuses([busy.get("/admin/") for _ in range(4)]) == [200, 200, 200, 429]
    colleague.force_login(make_account(is_staff=True, is_superuser=True))
    assert colleague.get("/admin/").status_code != 429


# Missing pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/promo/nothing-{n}/", "/nothing/{n}", "/guest/none-{n}", "/media/qr/none-{n}.png"],
)
def test_requests_for_missing_pages_are_limited(settings: Settings, path: str) -> None:
    settings.LIMIT_ROUTES = {**settings.LIMIT_ROUTES, "promo_pages": 3}
    robot = Client()
    seen = statuses([robot.get(path.format(n=number)) for number in range(5)])
    assert seen == [404, 404, 404, 429, 429]


def test_requests_for_missing_pages_limit_no_existing_page(settings: Settings) -> None:
    settings.LIMIT_ROUTES = {**settings.LIMIT_ROUTES, "promo_pages": 30}
    event, robot = make_event(), Client()
    for number in range(40):
        robot.get(f"/promo/nothing-{number}/")
        robot.post("/promo/")
        robot.post(f"/promo/{event.slug}/")
    neighbour = Visitor(event)
    assert neighbour.get("/promo/").status_code == 200
    assert neighbour.look().status_code == 200
    location_of(neighbour.give_phone())
    assert "/ticket/" in location_of(neighbour.register())
    assert robot.get("/promo/").status_code == 200, "the robot itself can open existing pages"


# Failures -----------------------------------------------------------------------------------------


@pytest.fixture
def strict(settings: Settings) -> None:
    settings.LIMIT_ROUTES = {"phone_check": 10, "guest_create": 3, "promo_pages": 30, "emails": 5}
    settings.CHALLENGE_COST = 1


def use_up_limits(robot: Client, event: Event) -> None:
    """Fail on every route that counts failures, without an account."""
    visitor = Visitor(event)
    visitor.browser = robot
    for _ in range(20):
        post_json(robot, CREATE_ASYNC, {})
        post_json(robot, CHECK, {"phone": "12"})
        post_json(robot, LOGIN, {})
        post_json(robot, REGISTER, {})
        visitor.give_phone("12")
        visitor.send("request")
        robot.post("/sign-out/", headers={"origin": "https://evil.example"})
        robot.post("/i18n/setlang/", headers={"origin": "https://evil.example"})


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("robot", [Client(), Client(enforce_csrf_checks=True)], ids=["csrf", "no"])
def test_failures_of_a_stranger_do_not_limit_neighbours(robot: Client) -> None:
    """All share one address: the stranger, a new visitor, a signed-in account and a script."""
    event = make_event()
    use_up_limits(robot, event)
    assert post_json(robot, CREATE_ASYNC, {}).status_code == 429, "the robot has met its limit"

    newcomer = Visitor(event)
    assert newcomer.get("/promo/").status_code == 200
    assert newcomer.look().status_code == 200
    location_of(newcomer.give_phone())
    assert "/ticket/" in location_of(newcomer.register())
    assert newcomer.browser.post("/i18n/setlang/", {"language": "en"}).status_code != 429
    assert newcomer.browser.post("/sign-out/").status_code == 302

    member = Client()
    member.force_login(make_account())
    assert post_json(member, CREATE_ASYNC, {"event_id": event.pk}).status_code == 202

    script = Client()
    known = make_account()
    assert post_json(script, CHECK, {"phone": known.phone}).status_code == 200
    assert post_json(script, LOGIN, {"phone": known.phone}).status_code == 202
    body = {"firstName": "Rui", "lastName": "Exemplo", "email": "rui@example.com"}
    assert post_json(script, REGISTER, {**body, "phone": "+351961000777"}).status_code == 201
    assert GuestRequest.objects.count() == 2


@pytest.mark.usefixtures("strict")
def test_failed_anonymous_creates_do_not_limit_signed_in_accounts() -> None:
    event = make_event()
    robot = Client()
    seen = statuses([post_json(robot, CREATE_ASYNC, {"event_id": event.pk}) for _ in range(4)])
    assert seen == [401, 401, 401, 429]
    member = Client()
    member.force_login(make_account())
    assert post_json(member, CREATE_ASYNC, {"event_id": event.pk}).status_code == 202


@pytest.mark.usefixtures("strict")
def test_failures_count_for_one_account_only() -> None:
    event = make_event()
    robot, member = Client(), Client()
    robot.force_login(make_account())
    member.force_login(make_account())
    seen = statuses(
        [post_json(robot, CREATE_ASYNC, {"event_id": event.pk + 1000}) for _ in range(4)]
    )
    assert seen == [404, 404, 404, 404], "a 404 does not count as a failure"
    seen = statuses([post_json(robot, CREATE_ASYNC, {"event_id": "x"}) for _ in range(4)])
    assert seen == [400, 400, 400, 429]
    assert post_json(member, CREATE_ASYNC, {"event_id": event.pk}).status_code == 202


@pytest.mark.usefixtures("strict")
def test_wrong_codes_for_one_phone_do_not_limit_another() -> None:
    event, victim, other = make_event(), make_account(), make_account()
    robot = Visitor(event)
    robot.give_phone(victim.phone or "")
    for _ in range(6):
        robot.send("code", code="000000")
    neighbour = Visitor(event)
    neighbour.give_phone(other.phone or "")
    assert "/ticket/" in location_of(neighbour.type_code(other))


@pytest.mark.usefixtures("strict")
def test_a_challenge_lifts_the_limit_of_failures() -> None:
    visitor = Visitor(make_event())
    # Failures count without a browser id at first, then for the id that the refusal sets.
    for _ in range(21):
        visitor.give_phone("12")
    assert visitor.give_phone("12").status_code == 429
    solve(visitor.browser)
    assert visitor.give_phone("12").status_code == 422


# Sockets ------------------------------------------------------------------------------------------


def test_handshakes_are_limited_before_a_ticket_is_looked_up(settings: Settings) -> None:
    from promo.limits.middleware import allows_handshake

    settings.LIMIT_SOCKETS, settings.LIMIT_SOCKETS_ADDRESS = 3, 8
    settings.TRUSTED_PROXIES = 1
    account = str(uuid4())

    def open_socket(address: str, session: dict[str, str]) -> bool:
        headers = [(b"x-forwarded-for", f"6.6.6.6, {address}".encode())]
        return allows_handshake({"headers": headers, "client": ("127.0.0.1", 1)}, session)

    own = [open_socket("203.0.113.1", {"_auth_user_id": account}) for _ in range(5)]
    assert own == [True] * 3 + [False] * 2
    other = {"_auth_user_id": str(uuid4())}
    assert open_socket("203.0.113.1", other), "another account at the same address"
    here = [open_socket("203.0.113.1", {}) for _ in range(6)]
    assert here == [True] * 4 + [False] * 2
    assert open_socket("203.0.113.2", {})
