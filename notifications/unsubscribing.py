"""Links with which a person stops bulk emails: in headers (RFC 8058) and in the text.

A link works without signing in and does not expire. It holds the id of the email, a keyed hash of
the mailbox that the email went to, and a signature. So when staff have sent an email again to
another address, each link stands for the mailbox that received it.
"""

from dataclasses import dataclass
from email.utils import parseaddr
from urllib.parse import quote

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.utils.crypto import constant_time_compare, salted_hmac

from notifications.kinds import bulk_kinds
from notifications.models import Email
from notifications.recipients import recipient_key
from snap.mail_addresses import ascii_address
from snap.pages import page_url

SALT = "notifications.unsubscribing"
SEPARATOR = "."
HASH_LENGTH = 16  # hexadecimal digits of the mailbox's hash; the signature protects the link


@dataclass(frozen=True)
class Subscriber:
    """The mailbox that a link stands for, and the email with that link."""

    email: Email
    address: str


def unsubscribe_url(email: Email) -> str:
    """Return the address of the page with which the recipient of an email stops bulk emails.

    It is the same for every attempt to send the email.
    """
    return page_url("unsubscribe_link", _token(email.pk, email.to))


def unsubscribe_headers(email: Email) -> dict[str, str]:
    """Return the headers for the unsubscribe button of mail programs: none but for bulk kinds."""
    if email.kind not in bulk_kinds():
        return {}
    ways = [f"<{unsubscribe_url(email)}>"]
    if settings.EMAIL_UNSUBSCRIBE_ADDRESS:
        address = parseaddr(ascii_address(settings.EMAIL_UNSUBSCRIBE_ADDRESS))[1]
        subject = quote(f"unsubscribe {_token(email.pk, email.to)}")
        ways.append(f"<mailto:{address}?subject={subject}>")
    return {
        "List-Unsubscribe": ", ".join(ways),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def find_subscriber(token: str) -> Subscriber | None:
    """Return for whom a link is, None for a link that SNAP has not made.

    A guessed link costs no query. Links with keys of SECRET_KEY_FALLBACKS are valid.
    """
    try:
        number, mailbox = _signer().unsign(token).split(SEPARATOR)
        email = Email.objects.filter(pk=int(number)).first()
    except (BadSignature, ValueError):
        return None
    if email is None:
        return None
    for address in _addresses_of(email):
        if _is_hash_of(mailbox, email.pk, address):
            return Subscriber(email, address)
    return None


def _token(pk: int, address: str) -> str:
    mailbox = _mailbox_hash(pk, address, settings.SECRET_KEY)
    return _signer().sign(f"{pk}{SEPARATOR}{mailbox}")


def _signer() -> Signer:
    return Signer(salt=SALT, sep="~")


def _mailbox_hash(pk: int, address: str, secret: str) -> str:
    """Return a hash that tells the mailboxes of one email apart, and nothing about them."""
    about = f"{pk} {recipient_key(address)}"
    digest = salted_hmac(f"{SALT}.mailbox", about, secret=secret, algorithm="sha256")
    return digest.hexdigest()[:HASH_LENGTH]


def _is_hash_of(mailbox: str, pk: int, address: str) -> bool:
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if constant_time_compare(mailbox, _mailbox_hash(pk, address, secret)):
            return True
    return False


def _addresses_of(email: Email) -> list[str]:
    """Return all addresses that an email has been sent to, the present one first."""
    addresses = [email.to]
    for resend in email.resends.all():
        addresses += [resend.to, resend.from_to]
    return list(filter(None, dict.fromkeys(addresses)))
