"""The data of `seed_demo`: invented events in Lisboa and Porto, people, and drawn posters."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.utils import timezone
from PIL import Image, ImageDraw

STAFF_PHONE = "+351910000000"
GUEST_PHONE = "+351910000001"

POSTER_SIZE = (1200, 1500)
SCALE = 2  # Shapes are drawn larger and then reduced, which smooths their edges.

DemoListState = Literal["open", "opens_tomorrow", "closed"]
Shape = Literal["rings", "sun", "bars", "tiles", "waves"]


@dataclass(frozen=True)
class DemoEvent:
    """An event that starts in `days` days at `hour`, and lasts `hours` hours.

    `people` is the number of invented people who request a place.
    """

    slug: str
    title: str
    description: str
    venue: str
    address: str
    list_state: DemoListState
    days: int
    hour: int
    hours: int
    capacity: int
    people: int = 0
    has_waiting_list: bool = True
    shows_places_left: bool = False
    colours: tuple[str, str, str] = ("#1b1035", "#e0457b", "#ffd166")
    shape: Shape = "rings"

    def times(self, now: datetime) -> dict[str, datetime]:
        """Return the fields of the event's times, relative to now."""
        midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        starts_at = midnight + timedelta(days=self.days, hours=self.hour)
        opens_at = midnight - timedelta(days=2)
        closes_at = starts_at
        if self.list_state == "opens_tomorrow":
            opens_at = midnight + timedelta(days=1, hours=12)
        if self.list_state == "closed":
            closes_at = midnight - timedelta(hours=1)
        return {
            "starts_at": starts_at,
            "ends_at": starts_at + timedelta(hours=self.hours),
            "list_opens_at": opens_at,
            "list_closes_at": closes_at,
        }


EVENTS = [
    DemoEvent(
        slug="noite-de-abertura",
        title="Noite de Abertura",
        description=(
            "A temporada começa aqui: duas salas, som até de manhã e a primeira bebida por nossa"
            " conta para quem chegar antes da uma.\n\nEntrada pela lista até às 2h00."
        ),
        venue="Cave 27",
        address="Rua da Cordoaria Velha 27, Lisboa",
        list_state="open",
        days=9,
        hour=23,
        hours=7,
        capacity=200,
        people=14,
        shows_places_left=True,
        colours=("#190b3d", "#d6336c", "#ffc857"),
        shape="rings",
    ),
    DemoEvent(
        slug="tarde-de-vinil",
        title="Tarde de Vinil",
        description="Discos antigos, petiscos e o Douro lá em baixo. Traz um casaco.",
        venue="Jardim da Encosta",
        address="Calçada da Encosta 3, Porto",
        list_state="opens_tomorrow",
        days=12,
        hour=18,
        hours=5,
        capacity=120,
        shows_places_left=True,
        colours=("#2b2d6e", "#f4743b", "#ffe3a3"),
        shape="sun",
    ),
    DemoEvent(
        slug="baile-da-baixa",
        title="Baile da Baixa",
        description="Um baile como os de antigamente, com banda, pista pequena e lista curta.",
        venue="Estrela Polar",
        address="Travessa do Forno Novo 8, Lisboa",
        list_state="open",
        days=5,
        hour=22,
        hours=5,
        capacity=12,
        people=16,
        colours=("#06302e", "#1f9e89", "#f6f1d1"),
        shape="tiles",
    ),
    DemoEvent(
        slug="jantar-no-escuro",
        title="Jantar no Escuro",
        description="Oito lugares, sete pratos e nenhuma luz. Quando esgota, esgota.",
        venue="Cozinha Sem Janelas",
        address="Rua do Poço Antigo 41, Porto",
        list_state="open",
        days=7,
        hour=20,
        hours=4,
        capacity=8,
        people=8,
        has_waiting_list=False,
        shows_places_left=True,
        colours=("#0d0d12", "#3b3b58", "#e8c547"),
        shape="bars",
    ),
    DemoEvent(
        slug="festa-do-rio",
        title="Festa do Rio",
        description="A última festa do verão, à beira da água. A lista já fechou.",
        venue="Cais Dez",
        address="Cais da Pedra Solta 10, Lisboa",
        list_state="closed",
        days=2,
        hour=21,
        hours=8,
        capacity=150,
        colours=("#03254c", "#1167b1", "#b8f2e6"),
        shape="waves",
    ),
]

TEAMS = ["Equipa Lisboa", "Equipa Porto"]
# The code, name and team of each promoter, and the slugs of their events.
PROMOTERS = [
    ("ana", "Ana Meireles", "Equipa Lisboa", ["noite-de-abertura", "baile-da-baixa"]),
    ("tiago", "Tiago Fontes", "Equipa Porto", ["noite-de-abertura", "tarde-de-vinil"]),
    ("joana", "Joana Salgueiro", "Equipa Lisboa", ["festa-do-rio", "jantar-no-escuro"]),
]
FIRST_NAMES = [
    "Marta",
    "Duarte",
    "Inês",
    "Rui",
    "Leonor",
    "Tomás",
    "Beatriz",
    "Hugo",
    "Clara",
    "Nuno",
    "Sofia",
    "Vasco",
]
LAST_NAMES = ["Valadares", "Seixas", "Monteverde", "Quintela"]


def people(size: int) -> list[tuple[str, str, str]]:
    """Return the phones, first names and last names of invented people, always the same ones."""
    found = []
    for number in range(size):
        first_name = FIRST_NAMES[number % len(FIRST_NAMES)]
        last_name = LAST_NAMES[number % len(LAST_NAMES)]
        found.append((f"+3519120001{number:02d}", first_name, last_name))
    return found


# Posters -----------------------------------------------------------------------------------------


def draw_poster(event: DemoEvent) -> Image.Image:
    """Return an image of an abstract shape. It has no text, since the page shows the title."""
    dark, middle, light = map(_plain_image, event.colours)
    image = Image.composite(middle, dark, Image.linear_gradient("L").resize(POSTER_SIZE))
    width, height = POSTER_SIZE
    mask = Image.new("L", (width * SCALE, height * SCALE), 0)
    draw_shape = SHAPES[event.shape]
    draw_shape(ImageDraw.Draw(mask), width * SCALE)
    image.paste(light, mask=mask.reduce(SCALE))
    return image


def _plain_image(colour: str) -> Image.Image:
    return Image.new("RGB", POSTER_SIZE, colour)


# The shapes fill the upper two thirds of a mask. The brighter a pixel of the mask, the more of the
# light colour shows.


def _draw_rings(draw: ImageDraw.ImageDraw, width: int) -> None:
    step = width // 24
    centre = (width // 2, step * 10)
    for ring in range(9):
        radius = step * (10 - ring)
        draw.circle(centre, radius, outline=60 + 20 * ring, width=step // 3)
    draw.circle(centre, step, fill=255)


def _draw_sun(draw: ImageDraw.ImageDraw, width: int) -> None:
    step = width // 24
    draw.circle((width // 2, step * 12), step * 7, fill=235)
    for line in range(6):
        top = step * (12 + line) + step // 3
        draw.rectangle((0, top, width, top + step * (line + 2) // 7), fill=0)


def _draw_bars(draw: ImageDraw.ImageDraw, width: int) -> None:
    step = width // 24
    for bar in range(12):
        height = step * (3 + (bar * 7) % 11)
        left = step * (1 + 2 * bar) - step // 4
        box = (left, step * 10 - height // 2, left + step, step * 10 + height // 2)
        draw.rounded_rectangle(box, step // 2, fill=70 + (bar * 37) % 180)


def _draw_tiles(draw: ImageDraw.ImageDraw, width: int) -> None:
    step = width // 24
    for row in range(4):
        for column in range(6):
            left = step * (4 * column)
            top = step * (1 + 4 * row)
            start = 90 * ((row * 3 + column * 5) % 4)
            cell = (left, top, left + 4 * step, top + 4 * step)
            shade = 60 + (row * 50 + column * 30) % 160
            draw.pieslice(cell, start, start + 180, fill=shade)
            if (row + column) % 3 == 0:
                box = (left - 2 * step, top - 2 * step, left + 6 * step, top + 6 * step)
                draw.arc(box, start, start + 90, fill=40, width=step // 5)


def _draw_waves(draw: ImageDraw.ImageDraw, width: int) -> None:
    step = width // 24
    for wave in range(10):
        middle = step * (3 + 2 * wave)
        points = []
        for x in range(0, width + 8, 8):
            height = step * _arch(x, step)
            if (x // (2 * step) + wave) % 2 == 0:
                height = -height
            points.append((x, middle + height))
        draw.line(points, fill=40 + 18 * wave, width=step // 2, joint="curve")


def _arch(x: int, step: int) -> float:
    """Return the height of a half circle over each stretch of two steps, from 0 to 1."""
    along = (x % (2 * step)) / step - 1
    return float((1 - along * along) ** 0.5)


SHAPES: dict[Shape, Callable[[ImageDraw.ImageDraw, int], None]] = {
    "rings": _draw_rings,
    "sun": _draw_sun,
    "bars": _draw_bars,
    "tiles": _draw_tiles,
    "waves": _draw_waves,
}
