"""Plays SendGrid: `POST /v3/mail/send`."""

import json
from collections.abc import Mapping
from email.utils import formataddr
from typing import Any
from uuid import uuid4

from tests.helpers.mail_providers.fields import Checks, ReceivedEmail, ReceivedFile
from tests.helpers.mail_providers.http_server import HTTPProvider, Reply, Request, json_reply

KEY = "SG.testkey.0123456789"
FIELDS = {
    "personalizations",
    "from",
    "reply_to",
    "reply_to_list",
    "subject",
    "content",
    "attachments",
    "template_id",
    "headers",
    "categories",
    "custom_args",
    "send_at",
    "batch_id",
    "asm",
    "ip_pool_name",
    "mail_settings",
    "tracking_settings",
}
PERSONAL_FIELDS = {
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "headers",
    "substitutions",
    "dynamic_template_data",
    "custom_args",
    "send_at",
}
FILE_FIELDS = {"content", "type", "filename", "disposition", "content_id"}
TRACKING_FIELDS = {"click_tracking", "open_tracking", "subscription_tracking", "ganalytics"}
# SendGrid sets these headers itself, and refuses them in a request.
RESERVED_HEADERS = {
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
}
MAX_CUSTOM_ARGS = 10_000  # bytes

ERRORS = {
    400: "Bad Request",
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "The from address does not match a verified Sender Identity.",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "The JSON payload you have included in your request is too large.",
    429: "too many requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class SendGrid(HTTPProvider):
    name = "sendgrid"

    def settings(self) -> dict[str, str]:
        return {"SENDGRID_API_KEY": KEY, "SENDGRID_API_URL": f"{self.url}/v3/"}

    def sign_in(self, request: Request) -> Reply | None:
        """Return the rights of a key."""
        if request.path != "/v3/scopes":
            return None
        if request.headers.get("authorization") == f"Bearer {KEY}":
            return json_reply(200, {"scopes": ["2fa_required", "mail.send"]})
        return json_reply(401, {"errors": [{"message": "authorization required"}]})

    def handle(self, request: Request) -> Reply:
        checks = Checks()
        if request.path != "/v3/mail/send":
            raise self.refuse(checks, 404, "")
        if request.headers.get("authorization") != f"Bearer {KEY}":
            raise self.refuse(checks, 401, "")
        content_type = request.headers.get("content-type")
        checks.require(content_type == "application/json", "the content type is not JSON")
        email = self._read(json.loads(request.body), checks)
        self.accept(email, checks)
        return Reply(202, b"", (("X-Message-Id", email.provider_id),))

    def _read(self, given: Mapping[str, Any], checks: Checks) -> ReceivedEmail:
        checks.only(given, FIELDS, "the body")
        people = given.get("personalizations")
        if not isinstance(people, list) or len(people) != 1:
            raise self.refuse(checks, 400, "")
        person = people[0]
        checks.only(person, PERSONAL_FIELDS, "a personalization")
        to = person.get("to") or [{}]
        checks.require(len(to) == 1, f"the body has {len(to)} recipients")
        checks.only(to[0], {"email", "name"}, "a recipient")
        headers = checks.headers(given.get("headers"), "headers")
        headers |= checks.headers(person.get("headers"), "the personal headers")
        if RESERVED_HEADERS & set(headers) or not to[0].get("email"):
            raise self.refuse(checks, 400, "")
        custom = given.get("custom_args", {}) | person.get("custom_args", {})
        are_texts = all(isinstance(value, str) for value in custom.values())
        if not are_texts or len(json.dumps(custom)) > MAX_CUSTOM_ARGS:
            raise self.refuse(checks, 400, "")
        text, html = self._content(given, checks)
        sender = given.get("from") or {}
        checks.only(sender, {"email", "name"}, "the sender")
        files = [self._file(each, checks) for each in given.get("attachments", [])]
        return ReceivedEmail(
            provider=self.name,
            provider_id=uuid4().hex[:22],
            sender=formataddr((sender.get("name", ""), checks.text(sender, "email", "from"))),
            to=to[0]["email"],
            subject=checks.text(given, "subject", "the body"),
            text=text,
            html=html,
            headers=headers,
            files=tuple(files),
            tags=given.get("categories"),
            metadata=custom,
            tracks_opens=self._tracks_opens(given, checks),
        )

    def _content(self, given: Mapping[str, Any], checks: Checks) -> tuple[str, str]:
        """Return text and HTML. The documentation has them in this order."""
        parts = given.get("content") or []
        types = [part.get("type") for part in parts]
        if types[:2] != ["text/plain", "text/html"] or not all(part["value"] for part in parts):
            raise self.refuse(checks, 400, "")
        checks.require(len(parts) == 2, f"the content has the types {types}")
        for part in parts:
            checks.only(part, {"type", "value"}, "a content")
        return parts[0]["value"], parts[1]["value"]

    def _file(self, given: Mapping[str, Any], checks: Checks) -> ReceivedFile:
        checks.only(given, FILE_FIELDS, "an attachment")
        disposition = given.get("disposition", "attachment")
        checks.require(disposition in {"inline", "attachment"}, f"{disposition} is no disposition")
        is_inline = disposition == "inline"
        checks.require(
            is_inline == bool(given.get("content_id")), "only inline files have a content_id"
        )
        content_type = given.get("type", "")
        if not given.get("content") or not given.get("filename") or "\n" in content_type:
            raise self.refuse(checks, 400, "")
        return ReceivedFile(
            name=given["filename"],
            content_type=content_type,
            content=checks.base64(given["content"], f"the attachment {given['filename']}"),
            content_id=given.get("content_id", ""),
        )

    def _tracks_opens(self, given: Mapping[str, Any], checks: Checks) -> bool | None:
        tracking = given.get("tracking_settings", {})
        checks.only(tracking, TRACKING_FIELDS, "tracking_settings")
        opens = tracking.get("open_tracking", {}).get("enable")
        checks.require(opens is None or isinstance(opens, bool), "open_tracking is no boolean")
        return opens if isinstance(opens, bool) else None

    def error(self, status: int, error: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
        if status not in ERRORS:
            return Reply(status, b"<html>Bad gateway</html>", (("Content-Type", "text/html"),))
        body = {"errors": [{"message": error or ERRORS[status], "field": None, "help": None}]}
        return json_reply(status, body, *headers)
