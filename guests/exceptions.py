"""The refusals of guest lists, and the names of broken constraints."""

from django.db import IntegrityError


class GuestError(Exception):
    """A request that is refused, with a stable `code` for the reason.

    Codes: not_open_yet, closed, event_cancelled, list_full, refused, promoter_not_at_event,
    phone_on_list, key_reused. For the state of a ticket also: cancelled, given_back,
    moved_to_event, failed, unproven, email_taken, by_email, registered_elsewhere. Each surface has
    one place that turns codes into texts.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def constraint_of(error: IntegrityError) -> str:
    """Return the name of the constraint that a statement violated, "" if it is unknown."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) or ""
