"""The lines that Celery's workers write past logging."""

import logging
from collections.abc import Iterator

import pytest
from celery.utils.log import get_multiprocessing_logger

from snap.celery import app, write_line
from snap.observability.logs import LineHandler, make_formatter


@pytest.fixture
def other_handler() -> Iterator[None]:
    """Another handler of all records, as reports of errors have it."""
    root = logging.getLogger()
    lines, other = LineHandler(), logging.NullHandler()
    lines.setFormatter(make_formatter("ecs"))
    before = root.handlers
    root.handlers = [other, lines]
    yield
    root.handlers = before


@pytest.mark.usefixtures("other_handler")
def test_a_word_of_celery_is_one_line_whoever_else_listens(
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_line("\nworker: Warm shutdown (MainProcess)\n")
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith('{"@timestamp"')


def test_how_a_process_ended_is_a_line_of_ours() -> None:
    logger = get_multiprocessing_logger()
    assert logger is not None
    before = list(logger.handlers)
    try:
        app.log.setup_handlers(logger, None, "%(message)s", colorize=False)
        added = [each for each in logger.handlers if each not in before]
    finally:
        logger.handlers = before
    assert any(isinstance(each, LineHandler) for each in before)
    assert not added
