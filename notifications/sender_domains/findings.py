"""What a check of a sender domain finds: one sentence for each fact."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much a finding matters. The texts are the words that the command prints."""

    GOOD = "good"
    ADVICE = "advice"  # emails arrive without it
    UNKNOWN = "not checked"  # the name server does not say it, or SNAP lacks a value
    MISSING = "missing"  # large mailbox providers refuse emails without it, or take them for spam


@dataclass(frozen=True)
class Finding:
    level: Level
    about: str  # "SPF", "DKIM", "DMARC" and so on
    text: str


def good(about: str, text: str) -> Finding:
    return Finding(Level.GOOD, about, text)


def advice(about: str, text: str) -> Finding:
    return Finding(Level.ADVICE, about, text)


def unknown(about: str, text: str) -> Finding:
    return Finding(Level.UNKNOWN, about, text)


def missing(about: str, text: str) -> Finding:
    return Finding(Level.MISSING, about, text)
