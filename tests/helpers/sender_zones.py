"""Zones of sender domains as the providers ask for them. The keys were made for these tests."""

from collections.abc import Callable

from notifications.sender_domains.findings import Finding
from tests.helpers.dns_server import Zone, text

# The fixture that checks the sender domain snap.example in a zone.
Check = Callable[..., list[Finding]]

KEY_512 = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALNhh70d3ZRTj2+1p6zkNVZCzb7ce+SuI5wwCv1vYXvMJXzPYPlMkMrrQCVskW"
    "zqAoHAudftngq+qAv+h9ktbH8CAwEAAQ=="
)
KEY_1024 = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCzob9gP3p+uly0a+X0awcqGY2GlU/MpYhXIkJQc0wFmEotMWb8orGBDZ"
    "3CCAMd9jl+AVDtXAfNAs6aFUdYS6N3HWyFcGUvf5fC7Ar9bEKWpGteJx5hraWsGtq9WFI27hH6dr0UYWNd15cOwvNba9ZT"
    "J1n2mHlTv2m5XC0NYy5yeQIDAQAB"
)
# Without the name of its algorithm, as some servers publish it (RFC 6376, section 3.6.1).
BARE_KEY_1024 = (
    "MIGJAoGBANdmXDbD9PBysHI48OM6MbwPuz2pstzrBn6qqcSXZbEK4jcAADzaKBxNassJPIlUnBe9Sl3IKWrSfD96QypEPm"
    "4Yf2kSFGs14B7nOUwRl/0+tRX8ozbdyWchQquWlkk5fT5E8jjO/USNKqD42C3M+heNI/kIS5291JWrl5rYu54xAgMBAAE="
)
KEY_2048 = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAhLZKi8AZ5No0MXLpnVrJ16G8obCFFNYU3ljdvAvHC1BDZNZmzl"
    "+V3XosPWahB1UnmlFRL+maGfZvG+YGH0DXTDSYMEqalzte5PsAwxDdGrGAfaRMqngIZiZjcUoUUK+493hPzrc0SSsc7rt9"
    "xxofbrG4F0jCLmbBrLGK4jR7UYHDAHe1GM8x4KVe8hOcNpPayE66rOaywWb8CxH5fk3UnIW+M22dzfAuLiZgePIGxF7h8k"
    "CASvP3CY4XXPR08Z/D/tRYqGCXm9FHy5RXznnd4rMULF6rlwF6Ssr8DBJgr6MaYeyzRRsjNErBE3ItmmNwNqH6+yLlmN9x"
    "PqnYKlByIwIDAQAB"
)
ED25519_KEY = "xaCXms7GgBJl+xKqnvpfPLUvRZSc8AniMiNpD2tQmr4="

DOMAIN = "snap.example"
DKIM = f"v=DKIM1; k=rsa; p={KEY_2048}"
DMARC = "v=DMARC1; p=quarantine; rua=mailto:dmarc@snap.example"
MX = {"MX": ["10 mx.snap.example."]}

SENT_BY_ALL: Zone = {
    DOMAIN: MX,
    "_dmarc.snap.example": {"TXT": [text(DMARC)]},
    "amazonses.com": {"TXT": [text("v=spf1 ip4:199.255.192.0/22 -all")]},
    "sendgrid.net": {"TXT": [text("v=spf1 ip4:167.89.0.0/17 ~all")]},
    "mailgun.org": {"TXT": [text("v=spf1 include:_spf.mailgun.org ~all")]},
    "_spf.mailgun.org": {"TXT": [text("v=spf1 ip4:209.61.151.0/24 ~all")]},
}
RESEND: Zone = {
    **SENT_BY_ALL,
    "resend._domainkey.snap.example": {"TXT": [text(DKIM)]},
    "send.snap.example": {
        "TXT": [text("v=spf1 include:amazonses.com ~all")],
        "MX": ["10 feedback-smtp.eu-west-1.amazonses.com."],
    },
}
SENDGRID: Zone = {
    **SENT_BY_ALL,
    "em1234.snap.example": {"CNAME": ["u1234.wl.sendgrid.net."]},
    "u1234.wl.sendgrid.net": {"TXT": [text("v=spf1 ip4:167.89.1.1 -all")]},
    "s1._domainkey.snap.example": {"CNAME": ["s1.domainkey.u1234.wl.sendgrid.net."]},
    "s2._domainkey.snap.example": {"CNAME": ["s2.domainkey.u1234.wl.sendgrid.net."]},
    "s1.domainkey.u1234.wl.sendgrid.net": {"TXT": [text(DKIM)]},
    "s2.domainkey.u1234.wl.sendgrid.net": {"TXT": [text(DKIM)]},
}
MAILGUN: Zone = {
    **SENT_BY_ALL,
    "mg.snap.example": {**MX, "TXT": [text("v=spf1 include:mailgun.org ~all")]},
    "mailo._domainkey.mg.snap.example": {"TXT": [text(DKIM)]},
}
OWN_SERVER: Zone = {
    **SENT_BY_ALL,
    DOMAIN: {**MX, "TXT": [text("v=spf1 mx ip6:2001:db8::/64 -all")]},
    "mx.snap.example": {"A": ["198.51.100.7"]},
    "7.100.51.198.in-addr.arpa": {"PTR": ["mx.snap.example."]},
    "s2027._domainkey.snap.example": {"TXT": [text(DKIM)]},
}
