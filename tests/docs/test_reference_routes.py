"""docs/reference.md names every route, with its methods and limits, and every API field."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory
from django.urls import URLResolver, get_resolver
from pytest_django import Settings

from notifications.report_formats import PARSERS
from notifications.webhooks import webhook_paths
from promo.api.schema import SchemaView
from promo.sockets.routing import websocket_urlpatterns
from promo.steps import Step
from snap.limits.policy import Policy, policy_of
from tests.docs.reference_tables import Row, assert_same, codes_in, table_of, tables_with
from tests.helpers.mail_reports import SIGNERS

# Django admin has hundreds of routes. The page names it as a whole.
ADMIN = "/admin/"
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# A parameter of a regular expression, like `(?P<name>\w[\w.-]*)`.
NAMED_GROUP = re.compile(r"\(\?P<(\w+)>[^()]*\)")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes(settings: Settings) -> list[tuple[str, Any]]:
    """Return path and view of all routes but admin's, with those that need a setting."""
    found = list(walk(get_resolver().url_patterns))
    settings.MAIL_WEBHOOK_SECRET = "name:password"
    settings.ANYMAIL = settings.ANYMAIL | SIGNERS
    for provider in PARSERS:
        settings.EMAIL_PROVIDER = provider
        found.extend(walk(webhook_paths()))
    return [(path, callback) for path, callback in found if not path.startswith(ADMIN)]


def walk(patterns: Iterable[Any], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Yield the path and the view of each route, as the page writes paths."""
    for pattern in patterns:
        path = prefix + readable(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, path)
        else:
            yield path, pattern.callback


def readable(pattern: str) -> str:
    without_groups = NAMED_GROUP.sub(r"<\1>", pattern.removeprefix("^").removesuffix("$"))
    return PARAMETER.sub(r"<\1>", without_groups)


def test_paths_are_written_as_people_read_them() -> None:
    assert readable("<slug:event>/ticket/<uuid:ticket_id>/") == "<event>/ticket/<ticket_id>/"
    assert readable(r"^media/posters/(?P<name>\w[\w.-]*)$") == "media/posters/<name>"


def rows() -> list[Row]:
    return [row for table in tables_with("Path", "Methods", "Limits") for row in table.rows]


def path_of(row: Row) -> str:
    return row["Path"].strip("`")


def test_every_route_is_on_the_page(settings: Settings) -> None:
    in_code = {path for path, _ in routes(settings)}
    assert_same("paths", [path_of(row) for row in rows()], in_code)


def test_each_route_takes_the_methods_that_the_page_names(settings: Settings) -> None:
    callbacks = dict(routes(settings))
    documented = [f"{path_of(row)} {row['Methods']}" for row in rows()]
    in_code = [f"{path} {methods_of(callback)}" for path, callback in callbacks.items()]
    assert_same("methods", documented, in_code)


def methods_of(callback: Any) -> str:
    """Return the methods that a view takes, without HEAD and OPTIONS; "any" without a restriction.

    A class of an API call names them. Other views respond to an unknown method.
    """
    restricted = getattr(callback, "cls", None)
    if restricted is not None:
        allowed = {method.upper() for method in restricted.http_method_names}
    else:
        request: WSGIRequest = RequestFactory().generic("BREW", "/")
        request.session = {}  # type: ignore[assignment]
        response = callback(request)
        if response.status_code != 405:
            return "any"
        allowed = set(response["Allow"].split(", "))
    named = [method for method in METHODS if method in allowed]
    return "any" if len(named) > 2 else ", ".join(named)


def test_each_route_has_the_limits_that_the_page_names(settings: Settings) -> None:
    callbacks = dict(routes(settings))
    documented = [f"{path_of(row)} {row['Limits']}" for row in rows()]
    in_code = [f"{path} {limits_of(callback)}" for path, callback in callbacks.items()]
    assert_same("limits of paths", documented, in_code)


def limits_of(callback: Any) -> str:
    """Return the layers and the allowance of a view, and how writing differs from reading."""
    declared = policy_of(callback)
    assert declared, f"{callback} has no policy"
    reading, writing = words_for(declared.read), words_for(declared.write)
    return reading if reading == writing else f"{reading} / {writing}"


def words_for(policy: Policy | None) -> str:
    if policy is None:
        return "none"
    words = [policy.layer]
    if policy.phone:
        words.append("phone")
    if policy.route:
        words.append(policy.route)
    return ", ".join(words)


def test_every_limit_of_a_route_is_explained() -> None:
    named = {word for row in rows() for word in re.findall(r"\w+", row["Limits"])} - {"none"}
    layers, allowances = table_of("Limits", "Layer"), table_of("Limits", "Allowance")
    explained = {*layers.codes("Layer"), *allowances.codes("Allowance")}
    unexplained = named - explained
    assert not unexplained, f"docs/reference.md, Limits: explain {', '.join(unexplained)}."


def test_every_websocket_is_on_the_page() -> None:
    table = table_of("Websockets", "Path")
    in_code = [path for path, _ in walk(websocket_urlpatterns)]
    assert_same("websockets", table.codes("Path"), in_code)


def test_every_step_is_on_the_page() -> None:
    assert_same("steps", table_of("Steps", "Step").codes("Step"), list(Step))


# The JSON API ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> Any:
    view: Any = SchemaView
    return view.generator_class().get_schema(request=None, public=True)


def documented_path(path: str) -> str:
    """Return a path of the schema, like `/requests/{ticket_id}`, as the page writes it."""
    return path.replace("{", "<").replace("}", ">")


def calls(schema: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            yield documented_path(path), operation


def resolve(part: Any, schema: Any) -> Any:
    """Return a part of the schema itself, where it is only referred to."""
    for wrapped in part.get("allOf", []) + part.get("oneOf", []):
        if "$ref" in wrapped:
            part = wrapped
    if "$ref" not in part:
        return part
    return schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]


def fields_of(part: Any, schema: Any, prefix: str = "") -> Iterator[str]:
    """Yield the fields of an object by their paths, with `?` where one may be absent."""
    part = resolve(part, schema)
    for name, described in part["properties"].items():
        nested, inner = resolve(described, schema), f"{prefix}{name}"
        if nested.get("type") == "array" and "properties" in resolve(nested["items"], schema):
            yield from fields_of(nested["items"], schema, f"{inner}[].")
        elif "properties" in nested:
            yield from fields_of(nested, schema, f"{inner}.")
        else:
            is_required = name in part.get("required", [])
            yield inner if is_required else f"{inner}?"


def json_of(described: Any) -> Any:
    return described["content"]["application/json"]["schema"]


def test_each_call_takes_the_fields_that_the_page_names(schema: Any) -> None:
    documented, in_code = [], []
    for row in table_of("JSON API", "Body").rows:
        documented += [f"{path_of(row)} {field}" for field in codes_in(row["Body"])]
    for path, operation in calls(schema):
        if "requestBody" in operation:
            body = json_of(operation["requestBody"])
            in_code += [f"{path} {field}" for field in fields_of(body, schema)]
    assert_same("fields of bodies", documented, in_code)


def test_each_call_has_the_statuses_that_the_page_names(schema: Any) -> None:
    documented, in_code = [], []
    for row in table_of("JSON API", "Statuses").rows:
        documented += [f"{path_of(row)} {code}" for code in row["Statuses"].split(", ") if code]
    for path, operation in calls(schema):
        in_code += [f"{path} {status}" for status in operation["responses"]]
    assert_same("statuses of calls", documented, in_code)


def test_each_successful_response_has_the_fields_that_the_page_names(schema: Any) -> None:
    documented, in_code = [], []
    for row in table_of("Successful responses", "Fields").rows:
        call = f"{codes_in(row['Call'])[0]} {row['Status']}"
        documented += [f"{call} {field}" for field in codes_in(row["Fields"])]
    for path, operation in calls(schema):
        for status, response in operation["responses"].items():
            if status < "300":
                fields = list(fields_of(json_of(response), schema))
                fields.remove("success")
                in_code += [f"{path} {status} {field}" for field in fields]
    assert_same("fields of responses", documented, in_code)
