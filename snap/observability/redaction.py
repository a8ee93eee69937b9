"""Removes secrets and personal data from texts that leave a process: log lines and reports.

Our own lines hold none. Lines of libraries, addresses of requests and texts of exceptions can, so
each rule knows one form in which they appear. A rule that needs a rare character looks for it
first: most lines are clean, and cost a few microseconds. Repetitions have limits, so that no text
takes a time that grows with its square.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

HIDDEN = "[hidden]"

# Tokens ------------------------------------------------------------------------------------------

# In a URL or a file name, also where a URL is quoted in another one.
_PATH = re.compile(r"((?:/|%2F)(?:guest|qr|unsubscribe)(?:/|%2F))[^\s/'\"?&<>]+", re.IGNORECASE)
# Values of a query string, also of one that is quoted in another URL: codes, keys, proofs, searches
# of staff, phones and emails.
_QUERY = re.compile(r"((?:[?&]|%3F|%26)[\w.\[\]-]+(?:=|%3D))[^\s&'\"<>]+", re.IGNORECASE)
_QR_TOKEN = re.compile(r"(qr_token\)?=\(?'?)[\w-]+")
# A token without a URL, such as a QR token or an API key: at least one digit, capital and small
# letter.
_TOKEN = re.compile(
    r"()(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{22,}(?![\w-])", re.ASCII
)
SHORTEST_TOKEN = 22
# Base64 that ends with padding.
_BASE64 = re.compile(r"()(?<![\w+/-])[A-Za-z0-9+/_-]{10,}={1,2}(?![\w=])")
# A value signed by django.core.signing: the value, in most cases a time, and the signature. The
# search for a signature costs a tenth of the search for a signed value.
_SIGNATURE = re.compile(r":[\w-]{27,}", re.ASCII)
_SIGNED = re.compile(r"()(?<![\w.-])[\w.-]+(?::[A-Za-z0-9]{6})?:[\w-]{27,}", re.ASCII)

# Persons -----------------------------------------------------------------------------------------

# User and password of an address of a server.
_CREDENTIALS = re.compile(r"(://)[^\s@'\"<>]{0,300}@")
_AT = r"(?:@|%(?:25){0,2}40|\uff20|\ufe6b|\(at\)|\[at\])"
_PART = r"[^\s@<>\"'(),:;=&?\[\]{}|/\\\uff20\ufe6b]"
_EMAIL = re.compile(
    rf"(?:\"[^\"\n]{{1,64}}\"|{_PART}{{1,64}}){_AT}(?:{_PART}{{1,255}}|\[[^\]\s]{{1,64}}\])"
)
# The address of a recipient in the address of a bounce, which `_EMAIL` ends at the equals sign.
_BOUNCE = re.compile(r"()(?<![\w.+-])[\w.-]{1,40}\+[\w.-]{1,64}=\[hidden\]")
# The name of a Celery worker.
_WORKER = re.compile(r"(?:worker|emails)@[\w-]+")
_HAS_AT = re.compile(_AT)
# Any digits of Unicode, in groups. `_hide_phone` decides.
# Characters that nobody sees count as separators, also where a URL quotes them.
_SEPARATOR = (
    r"(?:[ .,_()/\u00a0\u00ad\u2009\u200b-\u200f\u202f\u2010-\u2015\u2060\ufeff-]{0,3}"
    r"|%2[0CDEF]|\+|%C2%A[0D]|%E2%80%[89][0-9A-F])"
)
_DIGITS = re.compile(
    r"(?<!\w)(?<![0-9a-f]{4}-)(?<!\d[.:])(?P<plus>\+|\uff0b|%(?:25){0,2}2B|00)?[( ]{0,2}"
    rf"\d(?:{_SEPARATOR}\d){{5,18}}(?![\w-]|[.:]\d)",
    re.IGNORECASE,
)
_HAS_DIGITS = re.compile(r"\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d\D{0,3}\d")
# A word with a phone and something else, such as `tel912345678`. `_hide_in_word` decides.
_WORD_WITH_DIGITS = re.compile(r"(?<!\w)\w*?\d{9,15}(?!\d)\w*")
_NINE_DIGITS = re.compile(r"\d(?:_?\d){8}")
# Ids in hexadecimal digits have 12 or more, and addresses of objects begin with 0x.
_HEXADECIMAL = re.compile(r"[0-9a-f]{12,}|0x[0-9a-f]+")
_GROUP_OF_UUID = re.compile(r"[0-9a-fA-F]{4}-")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DECIMAL = re.compile(r"\d+\.\d+")
# Digits that make a phone, with a plus and without.
LEAST_WITH_PLUS = 7
LEAST = 9

# Fields ------------------------------------------------------------------------------------------

_NAMES = (
    "phone|telephone|mobile|e-?mail|recipient|rcpt|(?:first|last|full|user)[_-]?name|name|password"
    "|passwd|secret|api[_-]?key|token|proof|signature|session(?:id)?|csrf[a-z_]*|otp|dsn"
)
_KEYS = rf"{_NAMES}|to|q|note|code|message|body|subject"
_STRING = r"b?\"(?:[^\"\\\n]|\\.)*\"?|b?'(?:[^'\\\n]|\\.)*'?"
# `"phone": "…"` and `'first_name': ['…']`, in bodies and representations.
_KEY = re.compile(
    rf"([\"'](?:\w{{0,30}}_)?(?:{_KEYS})[\"']\s*:\s*[\[(]?\s*)(?:{_STRING}|[\w+.-]+)", re.IGNORECASE
)
# `phone=…` and `First name: …`, up to the next field.
_FIELD = re.compile(
    rf"((?<![A-Za-z])(?:\w{{0,30}}_)?(?:{_NAMES})\)?\s*(?:=|:|%3D)\s*[\[(]?)"
    rf"(?:{_STRING}|(?![\[(\s\"'])[^,;&)}}\]\"'\n]+?(?=\s{{1,3}}[\w.-]{{1,40}}[=:]|[,;&)}}\]\"'\n]|$))",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(\b(?:code|c[o\u00f3]digo|otp|pin)\b(?:[^\w\n]{1,4}(?:is|\u00e9))?[^\w\n]{1,4})\d{6}(?!\d)",
    re.IGNORECASE,
)
# As the subject of the email with a code begins.
_CODE_FIRST = re.compile(r"()(?<!\d)\d{6}(?= (?:is your|\u00e9 o teu) )")
_HEADER = re.compile(r"((?:cookie|authorization)\s*[:=]\s*)[^'\"\n]+", re.IGNORECASE)
# PostgreSQL quotes rows and statements in the texts of its errors.
_ROW = re.compile(
    r"((?:Key \([^)\n]{0,200}\)=|Failing row contains )\().*?(?:\)(?=[\s.,]|$)|$)", re.M
)
_STATEMENT = re.compile(r"^((?:LINE \d+|QUERY|CONTEXT|STATEMENT):).*", re.M)
_DATABASE_NAME = re.compile(
    r"((?:relation|constraint|column|index|table|function|type) \"[a-z_][a-z0-9_]*\")"
)
# From the first quotation mark to the last one: a quoted value can have more of them.
_QUOTED = re.compile(r"()(?<!\w)[bru]?[\"'\u201c](?:.*[\"'\u201d]|.*$)")
# The representation of an exception, such as ValueError('…').
_ERROR_OBJECT = re.compile(r"((?:Error|Exception|Warning)\()(?!\))(?:.*(?=\))|.*)")

# The first line of an exception in a traceback. A group of exceptions has a margin.
_EXCEPTION = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?::(?P<text>.*))?$")
_MARGIN = re.compile(r"\s*(?:\|\s|\+-\+-+|\+[ -])")
_LINK = ("Traceback (", "During handling of", "The above exception", "Exception Group Traceback")
# Errors of code, whose texts quote names in the code.
_CODE_ERRORS = (
    "AttributeError",
    "ImportError",
    "IndexError",
    "ModuleNotFoundError",
    "NameError",
    "NoReverseMatch",
    "RuntimeError",
    "SyntaxError",
    "TemplateDoesNotExist",
    "TemplateSyntaxError",
    "TypeError",
    "UnboundLocalError",
    "ImproperlyConfigured",
    "FieldError",
)


class _Process:
    """The secrets of this process's settings, in one pattern."""

    secrets: re.Pattern[str] | None = None


def hide_values(secrets: Iterable[str]) -> None:
    """Hide these secrets in all texts from now on: keys and passwords of the settings."""
    known = sorted({re.escape(each) for each in secrets if len(each) >= 6}, key=len, reverse=True)
    _Process.secrets = re.compile(f"()(?:{'|'.join(known)})") if known else None


def hide_in_value(value: str) -> str:
    """Return a value of one of our own fields without secrets. A word or a name is none."""
    is_word = value.isidentifier() and (len(value) < SHORTEST_TOKEN or value.islower())
    if is_word and not _NINE_DIGITS.search(value):
        return value
    return hide_secrets(value)


def hide_secrets(text: str) -> str:
    """Return a text without tokens, phones, emails and keys. Takes 2 to 20 µs."""
    if _Process.secrets is not None:
        text = _Process.secrets.sub(_keep_context, text)
    text = _PATH.sub(_keep_context, text)
    if "=" in text or "%3" in text:
        text = _QUERY.sub(_keep_context, text)
        text = _QR_TOKEN.sub(_keep_context, text)
        text = _BASE64.sub(_keep_context, text)
    text = _TOKEN.sub(_keep_context, text)
    if _SIGNATURE.search(text):
        text = _SIGNED.sub(_keep_context, text)
    if _HAS_AT.search(text):
        text = _CREDENTIALS.sub(r"\1[hidden]@", text)
        text = _EMAIL.sub(_hide_email, text)
        if f"={HIDDEN}" in text:
            text = _BOUNCE.sub(_keep_context, text)
    if _HAS_DIGITS.search(text):
        text = _DIGITS.sub(_hide_phone, text)
        if _NINE_DIGITS.search(text):
            text = _WORD_WITH_DIGITS.sub(_hide_in_word, text)
    return text


def hide_personal_data(text: str) -> str:
    """Return a library's text without what `hide_secrets` hides, and without values of fields.

    These are fields whose names say that they have a person's data or a secret.
    """
    text = _ROW.sub(_keep_context, text)
    text = _STATEMENT.sub(rf"\1 {HIDDEN}", text)
    for field in (_HEADER, _KEY, _FIELD, _CODE, _CODE_FIRST):
        text = field.sub(_keep_context, text)
    if "(" in text:
        text = _ERROR_OBJECT.sub(_keep_context, text)
    return hide_secrets(text)


def hide_in_error(kind: str, text: str) -> str:
    """Return the text of an exception without what it quotes, unless that is a name of the code."""
    if kind.rpartition(".")[2] not in _CODE_ERRORS:
        parts = _DATABASE_NAME.split(text)
        parts[::2] = [_QUOTED.sub(_keep_context, part) for part in parts[::2]]
        text = "".join(parts)
    return hide_personal_data(text)


def hide_in_traceback(traceback: str) -> str:
    """Return a formatted traceback whose exceptions have no values in their texts.

    Lines of code stay as they are.
    """
    lines = []
    kind = ""
    for line in traceback.split("\n"):
        margin = ""
        if found := _MARGIN.match(line):
            margin = found[0]
        body = line.removeprefix(margin)
        if body.startswith(_LINK) or (margin and not body.strip("- 0123456789")):
            kind = ""
            lines.append(line)
        elif kind:
            lines.append(margin + _hide_further_line(kind, body))
        elif body.startswith("  "):
            lines.append(line)
        elif exception := _EXCEPTION.match(body):
            kind = exception["type"]
            lines.append(margin + _hide_first_line(exception))
        else:
            lines.append(margin + hide_personal_data(body))
    return "\n".join(lines)


def _hide_first_line(exception: re.Match[str]) -> str:
    if exception["text"] is None:
        return exception[0]
    return f"{exception['type']}:{hide_in_error(exception['type'], exception['text'])}"


def _hide_further_line(kind: str, line: str) -> str:
    """Return a line of a text of several lines. Databases and mail servers quote values there."""
    if not line:
        return line
    if kind.rpartition(".")[2] in _CODE_ERRORS:
        return hide_personal_data(line)
    return HIDDEN


def _keep_context(match: re.Match[str]) -> str:
    return match[1] + HIDDEN


def _hide_email(match: re.Match[str]) -> str:
    if _WORKER.fullmatch(match[0]):
        return match[0]
    return HIDDEN


def _hide_phone(match: re.Match[str]) -> str:
    text = match[0]
    digits = sum(map(str.isdigit, text))
    least = LEAST_WITH_PLUS if match["plus"] else LEAST
    if digits < least or _DATE.match(text) or _DECIMAL.fullmatch(text) or _is_address(text):
        return text
    return HIDDEN


def _hide_in_word(match: re.Match[str]) -> str:
    """Hide a word with the digits of a phone.

    `_hide_phone` has seen words of digits alone, but for those at a hyphen, as UUIDs have it.
    """
    word = match[0]
    begin, end = match.span()
    if word.isdigit() and "-" in match.string[max(0, begin - 1) : end + 1]:
        before = match.string[max(0, begin - 5) : begin]
        return word if _GROUP_OF_UUID.fullmatch(before) else HIDDEN
    if word.isdigit() or _HEXADECIMAL.fullmatch(word):
        return word
    return HIDDEN


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
