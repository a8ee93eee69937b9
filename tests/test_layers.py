"""Apps use other apps one way only, also where no import shows it: by names of routes."""

import ast
import re
from pathlib import Path

import pytest
from django.urls import get_resolver

from snap.pages import page_path

ROOT = Path(__file__).resolve().parent.parent
# From the lowest app up. An app may name its own routes and those of the apps before it.
LAYERS = ["snap", "notifications", "accounts", "guests", "promo"]
OWNERS = {
    "promo": "promo",
    "challenge": "promo",
    "email_links": "promo",
    "guests": "guests",
}
OF_DJANGO = {"admin"}
# The wiring of all apps.
WIRING = {"snap/urls.py", "snap/asgi.py"}
ROUTE = re.compile(r"(?P<namespace>[a-z_]+):[a-z_]+")
URL_TAG = re.compile(r"{% url ['\"](?P<namespace>[a-z_]+):")


def reaches_up(app: str, namespace: str) -> bool:
    owner = OWNERS.get(namespace)
    return owner is not None and LAYERS.index(owner) > LAYERS.index(app)


def routes_named_in(source: str) -> set[str]:
    """Return the namespaces of all routes that are named in calls or keywords of a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = ROUTE.fullmatch(node.value)
            if match:
                found.add(match["namespace"])
    return found


@pytest.mark.parametrize("app", LAYERS)
def test_no_module_names_a_route_of_an_app_above_it(app: str) -> None:
    wrong = []
    for path in sorted((ROOT / app).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in WIRING or "migrations" in name:
            continue
        for namespace in routes_named_in(path.read_text()):
            if reaches_up(app, namespace):
                wrong.append(f"{name} names a route of {OWNERS[namespace]}: use snap.pages")
    assert not wrong


@pytest.mark.parametrize("app", ["notifications", "accounts", "guests"])
def test_no_template_names_a_route_of_an_app_above_it(app: str) -> None:
    wrong = []
    for path in sorted((ROOT / "templates" / app).rglob("*.*")):
        for match in URL_TAG.finditer(path.read_text()):
            if reaches_up(app, match["namespace"]):
                wrong.append(f"{path.relative_to(ROOT)} names a route of {match['namespace']}")
    assert not wrong


def test_the_owner_of_every_namespace_is_known() -> None:
    assert set(get_resolver().namespace_dict) == OWNERS.keys() | OF_DJANGO


def test_a_route_in_a_string_is_found() -> None:
    assert routes_named_in('reverse("promo:event", args=[slug])') == {"promo"}
    assert reaches_up("guests", "promo")
    assert not reaches_up("promo", "guests")


def test_every_registered_page_has_an_address() -> None:
    assert page_path("events") == "/promo/"
    assert page_path("event", "fado", "ana") == "/promo/fado/ana/"
    assert page_path("sign_in", "fado", "") == "/promo/fado/-/phone/"
    assert page_path("welcome_link", 7) == "/from-email/welcome/7/"
    assert page_path("claim_link", 7) == "/from-email/claim/7/"


def test_an_unregistered_page_is_an_error() -> None:
    with pytest.raises(KeyError):
        page_path("no_such_page")
