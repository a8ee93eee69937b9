"""Paths of the JSON API, and a client that speaks JSON."""

from django.test import Client

from tests.helpers.visitors import Response

CHECK = "/api/client-auth-v2/check-phone"
LOGIN = "/api/client-auth/login"
REGISTER = "/api/client-auth/register"
CREATE = "/api/client-auth/guests/create"
CREATE_ASYNC = "/api/client-auth/guests/create-async"
TICKETS = "/api/client-auth/guests/requests"


def post_json(browser: Client, path: str, body: object) -> Response:
    return browser.post(path, body, content_type="application/json")
