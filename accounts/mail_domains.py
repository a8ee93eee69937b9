"""Domains of email addresses: those of many guests, and those that only look like a mistake.

`static/js/email_hint.js` has the same lists and rules, for the hint while a person types.
"""

# Domains of many guests, the most frequent first. A domain that differs in one slip means one of
# them.
COMMON_DOMAINS = (
    "gmail.com",
    "hotmail.com",
    "outlook.com",
    "sapo.pt",
    "live.com.pt",
    "outlook.pt",
    "icloud.com",
    "yahoo.com",
    "live.com",
    "msn.com",
    "me.com",
    "iol.pt",
    "netcabo.pt",
    "clix.pt",
    "mail.telepac.pt",
    "telepac.pt",
    "portugalmail.pt",
    "vodafone.pt",
    "nos.pt",
    "meo.pt",
    "googlemail.com",
    "yahoo.com.br",
    "uol.com.br",
    "bol.com.br",
    "terra.com.br",
    "hotmail.co.uk",
    "yahoo.co.uk",
    "hotmail.fr",
    "yahoo.fr",
    "orange.fr",
    "wanadoo.fr",
    "laposte.net",
    "hotmail.es",
    "yahoo.es",
    "gmx.net",
    "gmx.de",
    "web.de",
    "t-online.de",
    "libero.it",
    "hotmail.it",
    "yahoo.it",
    "ziggo.nl",
    "proton.me",
    "protonmail.com",
    "aol.com",
)

# Mail providers, and other domains with much email, that are one slip away from a common domain.
RIGHT_DOMAINS = frozenset(
    {
        "alive.com",
        "em.com",
        "email.com",
        "fmail.com",
        "hotmail.be",
        "hotmail.de",
        "hotmail.pt",
        "hotmail.se",
        "life.com",
        "like.com",
        "line.com",
        "love.com",
        "mail.com",
        "man.com",
        "olive.com",
        "outlook.co",
        "outlook.it",
        "qmail.com",
        "rmail.com",
        "sap.pt",
        "sapo.tl",
        "tmail.com",
        "vodafone.it",
        "yahoo.com.ar",
        "yahoo.de",
        "yahoo.ie",
        "yahoo.in",
        "yahoo.se",
        "ymail.com",
    }
)

# Domains without a mail provider that many people write for another one.
MISTAKEN_DOMAINS = {
    "gmail.com.br": "gmail.com",
    "gmail.com.pt": "gmail.com",
    "gmail.fr": "gmail.com",
    "gmail.pt": "gmail.com",
    "icloud.com.pt": "icloud.com",
    "icloud.pt": "icloud.com",
}
