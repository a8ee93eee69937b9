from django.db import IntegrityError


class GuestError(Exception):
    """A wish that cannot be granted, for a reason a person can understand: a stable `code`.

    Codes: not_open_yet, closed, cancelled, list_full, refused, promoter_not_at_event,
    phone_on_list, key_reused. How a ticket stands has the codes failed, unproven, email_taken,
    by_email and registered_elsewhere too. Each surface turns the code into its own words in one
    place.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def constraint_of(error: IntegrityError) -> str:
    """Return the name of the constraint that a statement has broken, "" if it is not known."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) or ""
