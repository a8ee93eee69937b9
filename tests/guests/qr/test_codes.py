"""QR codes: readable by other software, unguessable, and never given twice."""

from io import BytesIO
from itertools import chain

import pytest
import zxingcpp
from django.core.files.storage import default_storage
from django.db import transaction
from PIL import Image

from guests.models import PooledQr
from guests.qr import codes
from guests.qr.codes import draw_image, fill_pool, image_name, make_token, pass_url, take_from_pool
from tests.helpers.guards import at_once, slow, without_locks

pytestmark = pytest.mark.django_db
# Threads have their own connections and see only committed rows.
committed = pytest.mark.django_db(transaction=True)


def test_another_reader_reads_the_code_at_200_pixels() -> None:
    url = pass_url(make_token())
    image = Image.open(BytesIO(draw_image(url)))
    assert image.format == "PNG"
    (code,) = zxingcpp.read_barcodes(image.convert("L").resize((200, 200)))
    assert code.text == url
    assert code.ec_level in {"M", "Q", "H"}


@pytest.mark.parametrize("length", [1, 14, 62, 90, 152, 200])
def test_texts_of_any_length_fit(length: int) -> None:
    text = "x" * length
    image = Image.open(BytesIO(draw_image(text))).convert("L")
    (code,) = zxingcpp.read_barcodes(image)
    assert code.text == text


def test_the_quiet_zone_is_four_modules_wide() -> None:
    image = Image.open(BytesIO(draw_image(pass_url(make_token())))).convert("L")
    dark = image.point(lambda value: 255 - value).getbbox()
    assert dark is not None
    margin = codes.QUIET_ZONE * codes.MODULE_PIXELS
    assert dark == (margin, margin, image.width - margin, image.height - margin)


def test_tokens_are_long_and_all_different() -> None:
    tokens = {make_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {24}


def test_filling_the_pool_adds_missing_codes_with_images() -> None:
    assert fill_pool(3) == 3
    assert fill_pool(5) == 2
    assert fill_pool(2) == 0
    for pooled in PooledQr.objects.all():
        with default_storage.open(image_name(pooled.token)) as file:
            (code,) = zxingcpp.read_barcodes(Image.open(file).convert("L"))
        assert code.text == pass_url(pooled.token)


@committed
def test_taken_codes_leave_the_pool_at_the_commit() -> None:
    fill_pool(3)
    assert len(take(2)) == 2
    assert PooledQr.objects.count() == 1
    assert len(take(2)) == 1
    assert take(2) == []


@committed
def test_taken_codes_are_back_after_a_rollback() -> None:
    fill_pool(2)
    with transaction.atomic():
        take_from_pool(2)
        transaction.set_rollback(True)
    assert PooledQr.objects.count() == 2


@committed
def test_without_row_locks_two_transactions_take_the_same_tokens() -> None:
    fill_pool(3)
    with slow("guests_pooledqr", "DELETE"):
        taken = at_once([without_locks(lambda: take(3))] * 2)
    assert set(taken[0]) == set(taken[1])


@committed
def test_with_row_locks_each_token_is_taken_once() -> None:
    fill_pool(30)
    with slow("guests_pooledqr", "DELETE", seconds=0.05):
        taken = at_once([lambda: take(5)] * 6)
    tokens = list(chain.from_iterable(taken))
    assert len(tokens) == len(set(tokens)) == 30


def take(count: int) -> list[str]:
    with transaction.atomic():
        return take_from_pool(count)
