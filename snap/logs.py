"""How log lines look."""

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What ends a line or drives a terminal: nobody's name or address begins a line of its own.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029)}


class PlainFormatter(logging.Formatter):
    """One line an event: time, level, logger, event name, then the extra fields as key=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        fields = "".join(
            f" {key}={value}" for key, value in vars(record).items() if key not in _STANDARD
        )
        return (super().formatMessage(record) + fields).translate(_CONTROLS)
