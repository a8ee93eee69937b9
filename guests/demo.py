"""What `seed_demo` shows: made-up nights in Lisboa and Porto, and posters drawn for them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Literal

from django.utils import timezone
from PIL import Image, ImageDraw

POSTER_SIZE = (1200, 1500)
# Drawn larger and scaled down, which smooths the edges.
SCALE = 2

ListState = Literal["open", "opens_tomorrow", "closed"]
Shape = Literal["rings", "sun", "bars", "tiles", "waves"]


@dataclass(frozen=True)
class DemoEvent:
    """An event relative to now: in so many days, at an hour of its own zone.

    Title and venue have no accents: they are written on the poster, in Pillow's own font.
    """

    slug: str
    title: str
    description: str
    venue: str
    address: str
    list_state: ListState
    days: int
    hour: int
    hours: int
    capacity: int
    people: int = 0  # how many of the demo's people ask for a place
    has_waiting_list: bool = True
    shows_places_left: bool = False
    colours: tuple[str, str, str] = ("#1b1035", "#e0457b", "#ffd166")
    shape: Shape = "rings"

    def times(self, now: datetime) -> dict[str, datetime]:
        """Return the event's times as if it were announced now."""
        midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        starts_at = midnight + timedelta(days=self.days, hours=self.hour)
        opens_at, closes_at = midnight - timedelta(days=2), starts_at
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
# Code, name, team, and the events they work for.
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
    """Return phones, first and last names of made-up people, the same ones every time."""
    return [
        (
            f"+3519120001{number:02d}",
            FIRST_NAMES[number % len(FIRST_NAMES)],
            LAST_NAMES[number % len(LAST_NAMES)],
        )
        for number in range(size)
    ]


# Posters -----------------------------------------------------------------------------------------


def draw_poster(event: DemoEvent) -> bytes:
    """Return a JPEG for a phone's screen: an abstract shape, for the page writes the title."""
    dark, middle, light = (Image.new("RGB", POSTER_SIZE, colour) for colour in event.colours)
    image = Image.composite(middle, dark, Image.linear_gradient("L").resize(POSTER_SIZE))
    width, height = (side * SCALE for side in POSTER_SIZE)
    shape = Image.new("L", (width, height), 0)
    _draw_shape(ImageDraw.Draw(shape), event.shape, width)
    image.paste(light, mask=shape.reduce(SCALE))
    jpeg = BytesIO()
    image.save(jpeg, "JPEG", quality=82)
    return jpeg.getvalue()


def _draw_shape(draw: ImageDraw.ImageDraw, shape: Shape, width: int) -> None:
    """Draw in the upper two thirds; the mask's grey is how much of the light colour shows."""
    step = width // 24
    match shape:
        case "rings":
            for ring in range(9):
                radius = step * (10 - ring)
                centre = (width // 2, step * 10)
                draw.circle(centre, radius, outline=60 + 20 * ring, width=step // 3)
            draw.circle((width // 2, step * 10), step, fill=255)
        case "sun":
            draw.circle((width // 2, step * 12), step * 7, fill=235)
            for line in range(6):
                top = step * (12 + line) + step // 3
                draw.rectangle((0, top, width, top + step * (line + 2) // 7), fill=0)
        case "bars":
            for bar in range(12):
                tall = step * (3 + (bar * 7) % 11)
                left = step * (1 + 2 * bar) - step // 4
                box = (left, step * 10 - tall // 2, left + step, step * 10 + tall // 2)
                draw.rounded_rectangle(box, step // 2, fill=70 + (bar * 37) % 180)
        case "tiles":
            for row in range(4):
                for column in range(6):
                    left, top = step * (4 * column), step * (1 + 4 * row)
                    start = 90 * ((row * 3 + column * 5) % 4)
                    box = (left - 2 * step, top - 2 * step, left + 6 * step, top + 6 * step)
                    cell = (left, top, left + 4 * step, top + 4 * step)
                    shade = 60 + (row * 50 + column * 30) % 160
                    draw.pieslice(cell, start, start + 180, fill=shade)
                    if (row + column) % 3 == 0:
                        draw.arc(box, start, start + 90, fill=40, width=step // 5)
        case "waves":
            for wave in range(10):
                top = step * (3 + 2 * wave)
                points = [
                    (x, top + step * (1 if (x // (2 * step) + wave) % 2 else -1) * _arch(x, step))
                    for x in range(0, width + 8, 8)
                ]
                draw.line(points, fill=40 + 18 * wave, width=step // 2, joint="curve")


def _arch(x: int, step: int) -> float:
    """Return the height of a half circle over each stretch of two steps, from 0 to 1."""
    along = (x % (2 * step)) / step - 1
    return float((1 - along * along) ** 0.5)
