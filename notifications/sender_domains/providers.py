"""What each mail provider asks a sender domain to publish. docs/email.md has the same in words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProviderRules:
    """The records of a provider.

    `include` is the domain in the SPF record. `selectors` are those of DKIM keys; all of them, or
    any one, must exist. `bounce_prefix` is the label before the sender's domain to which bounces
    go. `bounce_mx` is how the MX record there ends.
    """

    label: str
    include: str = ""
    selectors: tuple[str, ...] = ()
    needs_all_selectors: bool = True
    bounce_prefix: str = ""
    bounce_mx: str = ""

    @property
    def source(self) -> str:
        """Return who shows the records to add."""
        if not self.include:
            return "your mail server"
        return self.label


PROVIDERS = {
    "resend": ProviderRules(
        label="Resend",
        include="amazonses.com",
        selectors=("resend",),
        bounce_prefix="send",
        bounce_mx="amazonses.com",
    ),
    "sendgrid": ProviderRules(label="SendGrid", include="sendgrid.net", selectors=("s1", "s2")),
    "mailgun": ProviderRules(
        label="Mailgun",
        include="mailgun.org",
        selectors=("smtp", "mailo", "mx", "pic", "k1", "krs", "pdk1", "pdk2"),
        needs_all_selectors=False,
    ),
    "smtp": ProviderRules(label="the mail server"),
}
