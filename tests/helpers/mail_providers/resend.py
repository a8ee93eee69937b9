"""Plays Resend: `POST /emails`, with idempotency keys."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from tests.helpers.mail_providers.fields import Checks, ReceivedEmail, ReceivedFile, Refusal
from tests.helpers.mail_providers.http_server import HTTPProvider, Reply, Request, json_reply

KEY = "re_testkey_0123456789"
FIELDS = {
    "from",
    "to",
    "subject",
    "bcc",
    "cc",
    "reply_to",
    "html",
    "text",
    "headers",
    "attachments",
    "tags",
    "scheduled_at",
    "topic_id",
}
FILE_FIELDS = {"content", "filename", "path", "content_type", "content_id"}
TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
MAX_KEY = 256
KEY_LIFETIME = 24 * 60 * 60.0

# The name and the text of the error of each status; a status with several has the default first.
ERRORS = {
    400: {"validation_error": "We found an error with one or more fields in the request."},
    401: {"missing_api_key": "Missing API key in the authorization header."},
    403: {"validation_error": "The domain is not verified. Please, add and verify your domain."},
    404: {"not_found": "The requested endpoint does not exist."},
    405: {"method_not_allowed": "Method is not allowed for the requested path."},
    409: {
        "concurrent_idempotent_requests": "Same idempotency key used while original request is"
        " still in progress.",
        "invalid_idempotent_request": "Same idempotency key used with a different request payload.",
    },
    422: {
        "validation_error": "Invalid `to` field. The email address needs to follow the format.",
        "missing_required_field": "The request body is missing one or more required fields.",
        "invalid_attachment": "Attachment must have either a `content` or `path`.",
    },
    429: {
        "rate_limit_exceeded": "Too many requests. Please limit the number of requests per second.",
        "daily_quota_exceeded": "You have reached your daily email sending quota.",
        "monthly_quota_exceeded": "You have reached your monthly email sending quota.",
    },
    500: {"application_error": "An unexpected error occurred."},
}


class Resend(HTTPProvider):
    name = "resend"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._keys: dict[str, tuple[float, str, str]] = {}
        self._in_flight: set[str] = set()

    def settings(self) -> dict[str, str]:
        return {"RESEND_API_KEY": KEY, "RESEND_API_URL": self.url}

    def sign_in(self, request: Request) -> Reply | None:
        """Refuse the list of domains to a key that may only send, by its own error."""
        if request.path != "/domains":
            return None
        if request.headers.get("authorization") == f"Bearer {KEY}":
            return json_reply(401, {"statusCode": 401, "name": "restricted_api_key"})
        return json_reply(403, {"statusCode": 403, "name": "invalid_api_key"})

    def handle(self, request: Request) -> Reply:
        checks = Checks()
        if request.path != "/emails":
            raise self.refuse(checks, 404, "not_found")
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise self.refuse(checks, 401, "missing_api_key")
        is_json = request.headers.get("content-type", "").startswith("application/json")
        checks.require(is_json, "the content type is not JSON")
        key = request.headers.get("idempotency-key", "")
        checks.require(0 < len(key) <= MAX_KEY, "there is no idempotency key of 1 to 256 letters")
        email_id, is_new = self._email_id(key, request, checks)
        if is_new:
            try:
                email = self._read(json.loads(request.body), email_id, checks)
            except BaseException:
                self._keys.pop(key, None)
                raise
            checks.require(key == email.message_id, "the idempotency key is not the Message-ID")
            self.accept(email, checks)
        limits = (("ratelimit-limit", "2"), ("ratelimit-remaining", "1"), ("ratelimit-reset", "1"))
        return json_reply(200, {"id": email_id}, *limits)

    def _email_id(self, key: str, request: Request, checks: Checks) -> tuple[str, bool]:
        """Return the id for a key, and whether the key is new."""
        with self._lock:
            known = self._keys.get(key)
            is_busy = key in self._in_flight
            self._in_flight.add(key)
            if known is None or time.time() - known[0] > KEY_LIFETIME:
                email_id = str(uuid4())
                self._keys[key] = (time.time(), request.digest, email_id)
                return email_id, True
        if is_busy:
            raise Refusal(409, "concurrent_idempotent_requests")
        _, digest, email_id = known
        if digest != request.digest:
            raise self.refuse(checks, 409, "invalid_idempotent_request")
        return email_id, False

    def finished(self, request: Request) -> None:
        self._in_flight.discard(request.headers.get("idempotency-key", ""))

    def _read(self, given: Mapping[str, Any], email_id: str, checks: Checks) -> ReceivedEmail:
        checks.only(given, FIELDS, "the body")
        for name in ("from", "to", "subject"):
            if not given.get(name):
                raise self.refuse(checks, 422, "missing_required_field")
        to = given["to"]
        if isinstance(to, str):
            to = [to]
        checks.require(len(to) == 1, f"the body has {len(to)} recipients")
        for tag in given.get("tags", []):
            is_right = set(tag) == {"name", "value"} and all(map(TAG.fullmatch, tag.values()))
            if not is_right:
                raise self.refuse(checks, 422, "validation_error")
        files = [self._file(each, checks) for each in given.get("attachments", [])]
        return ReceivedEmail(
            provider=self.name,
            provider_id=email_id,
            sender=checks.text(given, "from", "the body"),
            to=to[0],
            subject=checks.text(given, "subject", "the body"),
            text=checks.text(given, "text", "the body"),
            html=checks.text(given, "html", "the body"),
            headers=checks.headers(given.get("headers"), "headers"),
            files=tuple(files),
            tags=given.get("tags"),
        )

    def _file(self, given: Mapping[str, Any], checks: Checks) -> ReceivedFile:
        checks.only(given, FILE_FIELDS, "an attachment")
        if not given.get("content") or not given.get("filename"):
            raise self.refuse(checks, 422, "invalid_attachment")
        return ReceivedFile(
            name=given["filename"],
            content_type=checks.text(given, "content_type", "an attachment"),
            content=checks.base64(given["content"], f"the attachment {given['filename']}"),
            content_id=given.get("content_id", ""),
        )

    def error(self, status: int, error: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
        if status not in ERRORS:
            return Reply(status, b"<html>Bad gateway</html>", (("Content-Type", "text/html"),))
        texts = ERRORS[status]
        error = error or next(iter(texts))
        body = {"statusCode": status, "name": error, "message": texts[error]}
        return json_reply(status, body, *headers)
