"""How many bytes a phone loads for a page, with an empty cache."""

import random
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image
from playwright.sync_api import Browser, Page

from guests.posters.sizes import store_poster
from tests.factories import make_event
from tests.helpers.browser import PHONE_SCREEN, watched
from tests.helpers.images import files_of, stored_bytes
from tests.helpers.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.processes]

POSTERS = 5
LARGEST_PAGE = 150_000  # bytes


def busy_posters(number: int) -> list[str]:
    """Store posters that are harder to compress than a photo. All have the same pixels."""
    small = random.Random(1).randbytes(180 * 225 * 3)
    name = store_poster(Image.frombytes("RGB", (180, 225), small).resize((720, 900)))
    return [name, *(copy_poster(name, copy) for copy in range(1, number))]


def copy_poster(name: str, number: int) -> str:
    for each in files_of(name):
        copy = f"posters/{number:016x}{each.removeprefix('posters/')[16:]}"
        default_storage.save(copy, ContentFile(stored_bytes(each)))
    return f"posters/{number:016x}_720.jpg"


def load_all(page: Page, path: str) -> dict[str, int]:
    """Open a page, scroll to its end, and return the bytes of each response by its address."""
    addresses: dict[str, str] = {}
    sizes: dict[str, int] = {}

    def note_address(event: dict[str, Any]) -> None:
        addresses[event["requestId"]] = event["response"]["url"]

    def note_size(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = event["encodedDataLength"]

    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.responseReceived", note_address)
    session.on("Network.loadingFinished", note_size)
    page.goto(path)
    page.locator(".card").last.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    return {addresses[request]: size for request, size in sizes.items()}


@pytest.mark.slow
def test_five_posters_weigh_less_than_150_kilobytes(browser: Browser, stack: Stack) -> None:
    """A screen with three pixels to a point loads no more than one with two."""
    for poster in busy_posters(POSTERS):
        make_event(poster=poster)
    screen = PHONE_SCREEN | {"device_scale_factor": 3}
    with browser.new_context(**screen, base_url=stack.url) as context:
        page = context.new_page()
        errors = watched(page)
        loaded = load_all(page, "/promo/")
        assert errors == []
    posters = [address for address in loaded if address.endswith("-720.avif")]
    assert len(posters) == POSTERS, loaded
    assert sum(loaded.values()) < LARGEST_PAGE, loaded
