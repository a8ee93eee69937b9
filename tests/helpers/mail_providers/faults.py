"""The ways in which a mail provider fails."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Fault:
    """What a provider does with one request in place of a good response.

    `accepts`: the email is accepted all the same, and will be delivered. `wait` is in seconds. With
    `cuts` the connection ends without a response. `status` with an empty `body` is the provider's
    own error for that status; `error` chooses one of several. `half`: the body ends in its middle.
    """

    name: str
    accepts: bool = False
    wait: float = 0.0
    cuts: bool = False
    status: int = 0
    error: str = ""
    body: bytes = b""
    half: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name


# Longer than EMAIL_TIMEOUT; a client that gives up earlier ends the wait.
HANG_SECONDS = 30.0

HANGS_BEFORE = Fault("hangs before it accepts", wait=HANG_SECONDS, cuts=True)
HANGS_AFTER = Fault("hangs after it accepted", accepts=True, wait=HANG_SECONDS, cuts=True)
CUTS_BEFORE = Fault("cuts before it accepts", cuts=True)
CUTS_AFTER = Fault("cuts after it accepted", accepts=True, cuts=True)
SLOW = Fault("responds after 50 ms", accepts=True, wait=0.05)
GARBAGE = Fault("garbage for a body", accepts=True, status=200, body=b"\x00\xff\x80 not JSON")
WRONG_JSON = Fault("another JSON", accepts=True, status=200, body=b'[{"ok": "yes"}, null]')
HALF_BODY = Fault("half a body", accepts=True, half=True)


def refuses(status: int, error: str = "", **headers: str) -> Fault:
    """Return the provider's own error with a status. It has not accepted the email."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    name = f"{status} {error}".strip()
    return Fault(name, status=status, error=error, headers=named)


def accepts_with(status: int) -> Fault:
    """Return an error with a status, of a provider that accepted the email all the same."""
    return replace(refuses(status), name=f"{status} after it accepted", accepts=True)


def redirects(location: str, status: int = 302) -> Fault:
    """Return a redirect to another address."""
    return Fault(f"redirects with {status}", status=status, headers=(("Location", location),))


def retry_after(seconds: int) -> Fault:
    return replace(refuses(429, Retry_After=str(seconds)), name="429 with Retry-After")


# Every way in which an HTTP provider fails while it listens.
ALL = [
    HANGS_BEFORE,
    HANGS_AFTER,
    CUTS_BEFORE,
    CUTS_AFTER,
    GARBAGE,
    WRONG_JSON,
    HALF_BODY,
    refuses(500),
    refuses(502),
    refuses(503),
    refuses(504),
    accepts_with(500),
    accepts_with(502),
    accepts_with(504),
    retry_after(1),
]
