"""The exception for refusals in this app."""


class AccountError(Exception):
    """A refusal that a person can cause and resolve, with a stable `code`.

    `retry_after`: seconds after which another try may succeed, 0 if unknown. `may_solve`: a solved
    challenge allows it now.

    Codes: phone_taken, email_taken, unknown_phone, refused, too_many_codes, codes_paused,
    wrong_code, code_expired, too_many_tries, too_many_claims, claim_waits (the code is right, and
    staff have to decide the claim that it belongs to), claim_decided, needs_superuser.
    Each surface maps the codes to its texts in one place.
    """

    def __init__(self, code: str, *, retry_after: int = 0, may_solve: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after
        self.may_solve = may_solve
