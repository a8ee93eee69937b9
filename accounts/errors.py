class AccountError(Exception):
    """Something a person can cause and mend: a stable `code`, and seconds to wait where that helps.

    Codes: phone_taken, email_taken, unknown_phone, refused, too_many_codes, wrong_code,
    code_expired, too_many_tries.
    Each surface turns the code into its own words in one place.
    """

    def __init__(self, code: str, *, retry_after: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after
