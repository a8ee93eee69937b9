"""Plays Mailgun: `POST /v3/<domain>/messages` as a form."""

import re
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from tests.helpers.mail_providers.fields import Checks, ReceivedEmail, ReceivedFile
from tests.helpers.mail_providers.http_server import HTTPProvider, Reply, Request, json_reply

KEY = "key-testkey-0123456789"
DOMAIN = "mail.example"
FIELDS = {"from", "to", "cc", "bcc", "subject", "text", "html", "amp-html", "template"}
FILE_FIELDS = {"attachment", "inline"}
# Options (`o:`) of the documentation.
OPTIONS = {
    "o:tag",
    "o:dkim",
    "o:deliverytime",
    "o:testmode",
    "o:tracking",
    "o:tracking-clicks",
    "o:tracking-opens",
    "o:require-tls",
    "o:skip-verification",
}
YES_NO = {"yes": True, "true": True, "True": True, "no": False, "false": False, "False": False}
PARAMETER = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')

ERRORS = {
    400: "to parameter is not a valid address. please check documentation",
    401: "Invalid private key",
    403: "Domain mail.example is not allowed to send: Please activate your account.",
    404: "Domain not found: mail.example",
    405: "Method not allowed",
    413: "Message is too large",
    429: "Too many requests. Please retry later.",
    500: "Internal Server Error",
    503: "Service unavailable",
}

Files = list[tuple[str, ReceivedFile]]


class Mailgun(HTTPProvider):
    name = "mailgun"

    def settings(self) -> dict[str, str]:
        return {
            "MAILGUN_API_KEY": KEY,
            "MAILGUN_SENDER_DOMAIN": DOMAIN,
            "MAILGUN_API_URL": f"{self.url}/v3",
        }

    def handle(self, request: Request) -> Reply:
        checks = Checks()
        if request.path != f"/v3/{DOMAIN}/messages":
            raise self.refuse(checks, 404, "")
        expected = b64encode(f"api:{KEY}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            raise self.refuse(checks, 401, "")
        form, files = read_form(request, checks)
        email = self._read(form, files, checks)
        self.accept(email, checks)
        return json_reply(200, {"id": email.provider_id, "message": "Queued. Thank you."})

    def _read(self, form: dict[str, list[str]], files: Files, checks: Checks) -> ReceivedEmail:
        plain = [name for name in form if name[:2] not in {"h:", "v:", "o:", "t:"}]
        checks.only(plain, FIELDS, "the form")
        checks.only([name for name in form if name.startswith("o:")], OPTIONS, "the form")
        checks.only([name for name, _ in files], FILE_FIELDS, "the form")
        for name in ("from", "to", "subject", "text", "html"):
            if len(form.get(name, [])) != 1 or not form[name][0].strip():
                raise self.refuse(checks, 400, f"{name} parameter is missing")
        headers = {name[2:]: values[-1] for name, values in form.items() if name[:2] == "h:"}
        opens = form.get("o:tracking-opens", [""])[0]
        checks.require(opens in {"", *YES_NO}, f"o:tracking-opens is {opens}")
        metadata = {name[2:]: values[-1] for name, values in form.items() if name[:2] == "v:"}
        received = [self._file(kind, file) for kind, file in files]
        return ReceivedEmail(
            provider=self.name,
            provider_id=f"<{uuid4().hex}@{DOMAIN}>",
            sender=form["from"][0],
            to=form["to"][0],
            subject=form["subject"][0],
            # A form has its line breaks as CRLF; the text of an email has them as LF here.
            text=form["text"][0].replace("\r\n", "\n"),
            html=form["html"][0].replace("\r\n", "\n"),
            headers=checks.headers(headers, "h:"),
            files=tuple(received),
            tags=form.get("o:tag"),
            metadata=metadata,
            tracks_opens=YES_NO.get(opens),
        )

    def _file(self, kind: str, file: ReceivedFile) -> ReceivedFile:
        """Return a file. The name of an inline file is its Content-ID."""
        content_id = file.name if kind == "inline" else ""
        return ReceivedFile(file.name, file.content_type, file.content, content_id)

    def error(self, status: int, error: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
        if status == 401:
            return Reply(401, b"Forbidden", (("Content-Type", "text/plain"),))
        if status not in ERRORS:
            return Reply(status, b"<html>Bad gateway</html>", (("Content-Type", "text/html"),))
        return json_reply(status, {"message": error or ERRORS[status]}, *headers)


def read_form(request: Request, checks: Checks) -> tuple[dict[str, list[str]], Files]:
    """Return the fields and files of a form, which is urlencoded or multipart (RFC 7578)."""
    content_type = request.headers.get("content-type", "")
    form: dict[str, list[str]] = {}
    if content_type == "application/x-www-form-urlencoded":
        for name, value in parse_qsl(request.body.decode(), strict_parsing=True):
            form.setdefault(name, []).append(value)
        return form, []
    found = re.fullmatch(r'multipart/form-data; boundary="?([^"]+)"?', content_type)
    if found is None:
        checks.require(False, f"{content_type} is no form")  # noqa: FBT003
        return form, []
    files: Files = []
    delimiter = b"\r\n--" + found[1].encode()
    for part in (b"\r\n" + request.body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            break
        _read_part(part.removeprefix(b"\r\n"), form, files)
    return form, files


def _read_part(part: bytes, form: dict[str, list[str]], files: Files) -> None:
    head, _, content = part.partition(b"\r\n\r\n")
    headers: dict[str, Any] = {}
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    parameters = dict(PARAMETER.findall(headers["content-disposition"]))
    if "filename" in parameters:
        file = ReceivedFile(parameters["filename"], headers.get("content-type", ""), content)
        files.append((parameters["name"], file))
    else:
        form.setdefault(parameters["name"], []).append(content.decode())
