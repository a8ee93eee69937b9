class GuestError(Exception):
    """A wish that cannot be granted, for a reason a person can understand: a stable `code`.

    Codes: not_open_yet, closed, cancelled, list_full, refused, promoter_not_at_event,
    phone_on_list. Each surface turns the code into its own words in one place.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
