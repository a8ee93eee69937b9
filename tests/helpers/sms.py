"""SMS channels for tests, which settings name by their dotted path."""

from accounts.sms import ChannelError


class FakeChannel:
    """Plays an SMS provider: keeps the texts, or refuses them."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.texts: list[tuple[str, str]] = []

    def send(self, phone: str, text: str) -> None:
        if self.fails:
            raise ChannelError("no")
        self.texts.append((phone, text))


working, failing = FakeChannel(), FakeChannel(fails=True)
WORKING = "tests.helpers.sms.working"
FAILING = "tests.helpers.sms.failing"
