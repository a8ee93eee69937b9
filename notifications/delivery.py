"""Hand one email to a mail provider, and say what became of it.

`notifications.sending` decides whether another attempt follows.

Rows and logs name an error and where it arose, never its text: mail servers repeat the address, and
an exception can quote its arguments.
"""

from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic

from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMessage
from django.db import InterfaceError, OperationalError

from notifications.messages import RelatedMessage
from notifications.models import Email
from notifications.providers import Provider
from notifications.replies import Fate, code_of, fate_of, retry_after
from notifications.suppressions import UnsubscribedError
from snap.observability.error_reports import report_error
from snap.observability.logs import describe_error


class Result(Enum):
    """The result of one attempt. Kept outcomes store the names of some of these on the disk."""

    SENT = auto()
    NOT_WANTED = auto()  # the reason for the email is gone
    REFUSED = auto()  # the address never accepts it
    FAILED = auto()  # an error of this email; another attempt may succeed
    UNAVAILABLE = auto()  # the mail provider, the database or the network does not respond
    LIMITED = auto()  # the provider accepts no more for now
    NEEDS_MENDING = auto()  # the provider refuses our key, sender or domain
    UNSURE = auto()  # the response was lost: the provider may have accepted the email
    POSTPONED = auto()  # not handed over: no provider can be used now
    RELEASED = auto()  # not handed over: there was no time left


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt. `wait` is the least number of seconds until the next one."""

    result: Result
    provider_id: str = ""
    error: str = ""
    provider: str = ""
    wait: float = 0.0
    # A second attempt at this provider after a lost response sends no second copy.
    has_key: bool = False


FATES = {
    Fate.REFUSED: Result.REFUSED,
    Fate.FAILED: Result.FAILED,
    Fate.UNAVAILABLE: Result.UNAVAILABLE,
    Fate.LIMITED: Result.LIMITED,
    Fate.NEEDS_MENDING: Result.NEEDS_MENDING,
    Fate.UNSURE: Result.UNSURE,
    Fate.ACCEPTED: Result.SENT,
}


def outcome_without_message(built: Exception | None) -> Outcome:
    """Return the outcome of an email for which `build_messages` gave no message."""
    match built:
        case None:
            return Outcome(Result.NOT_WANTED)
        case UnsubscribedError():
            return Outcome(Result.NOT_WANTED, error=str(built))
        case ValidationError() | BadHeaderError():
            result = Result.REFUSED
        case InterfaceError() | OperationalError() | ConnectionError() | TimeoutError():
            result = Result.UNAVAILABLE
        case _:
            result = Result.FAILED
            report_error(built)
    return Outcome(result, error=describe_error(built))


def hand_over(email: Email, message: RelatedMessage, provider: Provider) -> Outcome:
    """Hand one email to a provider. Every error becomes an outcome; none is raised."""
    began = monotonic()
    try:
        provider.send(message)
    except Exception as error:  # noqa: BLE001 (one bad email must not block the others)
        return _outcome_of_error(email, error, provider, began)
    _record_success(provider, began)
    return Outcome(Result.SENT, provider_id=_id_of(message), provider=provider.name)


def _outcome_of_error(email: Email, error: Exception, provider: Provider, began: float) -> Outcome:
    was_unsure = email.unsure_provider == provider.name
    fate = fate_of(error, is_known_by_key=was_unsure and provider.has_idempotency_keys)
    wait = 0.0
    match fate:
        case Fate.UNAVAILABLE | Fate.UNSURE:
            provider.breaker.failed(began)
            provider.breaker.suspect()
        case Fate.LIMITED:
            provider.breaker.succeeded()
            wait = provider.pace.limited(retry_after(error))
        case Fate.NEEDS_MENDING:
            provider.breaker.succeeded()
            provider.mending.failed(code_of(error))
        case _:
            provider.breaker.succeeded()
    result = FATES[fate]
    if result is Result.SENT:
        return Outcome(result, provider=provider.name)
    return Outcome(
        result,
        error=_describe(error),
        provider=provider.name,
        wait=wait,
        has_key=provider.has_idempotency_keys,
    )


def _record_success(provider: Provider, began: float) -> None:
    provider.breaker.succeeded()
    provider.mending.succeeded(began)
    provider.pace.accepted()


def _id_of(message: EmailMessage) -> str:
    """Return the provider's id of an accepted message, "" if it has none."""
    status = getattr(message, "anymail_status", None)
    its_id = getattr(status, "message_id", None)
    return str(its_id or "")


def _describe(error: Exception) -> str:
    """Return an error without its text, and the code of an SMTP reply in full."""
    described = describe_error(error)
    code = code_of(error)
    number, _, enhanced = code.partition(" ")
    if not enhanced:
        return described
    return described.replace(f" {number} ", f" {code} ", 1)
