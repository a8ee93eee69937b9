"""Texts that forms and headers must refuse or clean."""

LONG = "9" * 10_000
EMOJI = "🎉"
DIRECTION_MARKS = "\u200f\u202e\u2066"
CONTROL_CHARACTERS = "\x07\x1b\x7f"
HALF_A_SURROGATE = "\ud800"
MARKUP = "<script>alert(1)</script>"
SQL = "'; DROP TABLE guests_guest; --"
