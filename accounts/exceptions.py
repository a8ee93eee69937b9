class AccountError(Exception):
    """Something a person can cause and mend: a stable `code`, and seconds to wait where that helps.

    `may_solve`: a solved challenge helps at once.

    Codes: phone_taken, email_taken, unknown_phone, refused, too_many_codes, wrong_code,
    code_expired, too_many_tries, too_many_claims, claim_waits (the code is right, and staff have to
    decide the claim that it belongs to), claim_decided, needs_superuser.
    Each surface turns the code into its own words in one place.
    """

    def __init__(self, code: str, *, retry_after: int = 0, may_solve: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after
        self.may_solve = may_solve
