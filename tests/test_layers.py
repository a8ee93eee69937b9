"""Apps use other apps one way only, also where no import shows it: by names of routes. The domain
does not know HTTP.
"""

import ast
import re
from pathlib import Path

import pytest
from django.template import engines
from django.urls import get_resolver

from snap.pages import page_path

ROOT = Path(__file__).resolve().parent.parent
# The domain has no requests and responses. import-linter cannot forbid one module of an external
# package, so a test reads the imports. guests/passes has the views of a pass.
DOMAIN = [
    "guests/models",
    "guests/requests",
    "guests/claims",
    "guests/qr",
    "guests/emergency",
    "accounts/models",
    "accounts/services.py",
    "accounts/claims.py",
    "accounts/login_codes.py",
    "accounts/code_budgets.py",
]
HTTP_MODULES = ("django.http", "django.shortcuts", "rest_framework")
# From the lowest app up. An app may name its own routes and those of the apps before it.
LAYERS = ["snap", "notifications", "accounts", "guests", "promo"]
OWNERS = {
    "promo": "promo",
    "challenge": "promo",
    "email_links": "promo",
    "guests": "guests",
    "staff": "guests",
}
# Routes without a namespace.
ROUTE_OWNERS = {
    "sign_out": "promo",
    "privacy": "promo",
    "api_docs": "promo",
    "api_schema": "promo",
    "inbox": "notifications",
    "inbox_message": "notifications",
    "inbox_html": "notifications",
    "inbox_image": "notifications",
    "set_language": "snap",
}
OF_DJANGO = {"admin"}
# The wiring of all apps.
WIRING = {"snap/urls.py", "snap/asgi.py"}
ROUTE = re.compile(r"(?P<namespace>[a-z_]+):[a-z_]+")
# Functions whose first argument, and the keyword whose value, is the name of a route.
ROUTE_FUNCTIONS = {"reverse", "reverse_lazy", "redirect", "resolve_url"}
ROUTE_KEYWORD = "pattern_name"
URL_TAG = re.compile(r"{%-?\s*url\s+['\"](?P<route>[a-z_:]+)['\"]")


def owner_of(route: str) -> str | None:
    """Return the app that serves a route, None for a route of Django."""
    namespace, colon, _ = route.partition(":")
    if colon:
        return OWNERS.get(namespace)
    return ROUTE_OWNERS.get(route)


def reaches_up(app: str, route: str) -> bool:
    owner = owner_of(route)
    return owner is not None and LAYERS.index(owner) > LAYERS.index(app)


def routes_named_in(source: str) -> set[str]:
    """Return the names of all routes in a module: each with a namespace, and those that are an
    argument of a function which takes a route.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if ROUTE.fullmatch(node.value):
                found.add(node.value)
        elif isinstance(node, ast.Call):
            found.update(_route_arguments(node))
    return found


def _route_arguments(call: ast.Call) -> set[str]:
    values = [keyword.value for keyword in call.keywords if keyword.arg == ROUTE_KEYWORD]
    if ast.unparse(call.func).rpartition(".")[2] in ROUTE_FUNCTIONS:
        values += call.args[:1]
    return {
        value.value
        for value in values
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def app_of_template(path: Path) -> str:
    """Return the app whose routes a template may name: the app of its folder.

    Templates that apps share, or that belong to no app, may name routes of snap only: base.html,
    error pages, emails and the templates of admin.
    """
    folder = path.relative_to(ROOT / "templates").parts[0]
    if folder in LAYERS:
        return folder
    return "snap"


def routes_named_in_template(text: str) -> set[str]:
    return {match["route"] for match in URL_TAG.finditer(text)}


@pytest.mark.parametrize("app", LAYERS)
def test_no_module_names_a_route_of_an_app_above_it(app: str) -> None:
    wrong = []
    for path in sorted((ROOT / app).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in WIRING or "migrations" in name:
            continue
        for route in sorted(routes_named_in(path.read_text())):
            if reaches_up(app, route):
                wrong.append(f"{name} names {route}, a route of {owner_of(route)}: use snap.pages")
    assert not wrong


def test_no_template_names_a_route_of_an_app_above_it() -> None:
    wrong = []
    for path in sorted((ROOT / "templates").rglob("*.*")):
        name = path.relative_to(ROOT).as_posix()
        for route in sorted(routes_named_in_template(path.read_text())):
            if reaches_up(app_of_template(path), route):
                wrong.append(f"{name} names {route}, a route of {owner_of(route)}: use page_path")
    assert not wrong


def test_all_templates_are_in_one_folder() -> None:
    assert not [app for app in LAYERS if (ROOT / app / "templates").exists()]


def test_the_owner_of_every_namespace_is_known() -> None:
    assert set(get_resolver().namespace_dict) == OWNERS.keys() | OF_DJANGO


def test_the_owner_of_every_route_without_a_namespace_is_known() -> None:
    names = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
    assert names == ROUTE_OWNERS.keys()


def test_a_route_in_a_string_is_found() -> None:
    assert routes_named_in('reverse("promo:event", args=[slug])') == {"promo:event"}
    assert routes_named_in('partial(reverse, "promo:event")') == {"promo:event"}
    assert routes_named_in('urls.reverse("sign_out")') == {"sign_out"}
    assert routes_named_in('as_view(pattern_name="sign_out")') == {"sign_out"}
    assert routes_named_in('say("sign_out")') == set()


def test_a_route_in_a_template_is_found() -> None:
    text = """<a href="{% url 'promo:event' slug %}"><a href='{% url "sign_out" %}'>"""
    assert routes_named_in_template(text) == {"promo:event", "sign_out"}
    assert app_of_template(ROOT / "templates" / "base.html") == "snap"
    assert app_of_template(ROOT / "templates" / "emails" / "claim.html") == "snap"
    assert app_of_template(ROOT / "templates" / "promo" / "event.html") == "promo"


def test_a_lower_app_reaches_up_and_a_higher_one_does_not() -> None:
    assert reaches_up("guests", "promo:event")
    assert reaches_up("snap", "sign_out")
    assert not reaches_up("promo", "guests:pass")
    assert not reaches_up("promo", "sign_out")
    assert not reaches_up("snap", "admin:index")


def test_every_registered_page_has_an_address() -> None:
    assert page_path("events") == "/promo/"
    assert page_path("event", "fado", "ana") == "/promo/fado/ana/"
    assert page_path("sign_in", "fado", "") == "/promo/fado/-/phone/"
    assert page_path("sign_out") == "/sign-out/"
    assert page_path("welcome_link", 7) == "/from-email/welcome/7/"
    assert page_path("claim_link", 7) == "/from-email/claim/7/"


def test_an_unregistered_page_is_an_error() -> None:
    with pytest.raises(KeyError):
        page_path("no_such_page")


def test_a_template_gets_the_address_of_a_page() -> None:
    template = engines["django"].from_string("{% page_path 'event' 'fado' 'ana' %}")
    assert template.render() == "/promo/fado/ana/"


def imports_of(source: str) -> set[str]:
    """Return the full names of all modules and names that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def http_imports_of(source: str) -> set[str]:
    found: set[str] = set()
    for name in imports_of(source):
        for module in HTTP_MODULES:
            if name == module or name.startswith(f"{module}."):
                found.add(name)
    return found


def files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path]


@pytest.mark.parametrize("place", DOMAIN)
def test_the_domain_does_not_know_http(place: str) -> None:
    files = files_of(ROOT / place)
    assert files
    wrong = []
    for path in files:
        for name in sorted(http_imports_of(path.read_text())):
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_an_import_of_http_is_found() -> None:
    assert http_imports_of("from django.http import HttpRequest")
    assert http_imports_of("from django import http")
    assert http_imports_of("from django.http.request import QueryDict")
    assert http_imports_of("import rest_framework.serializers")
    assert not http_imports_of("from django.utils.http import urlencode")
