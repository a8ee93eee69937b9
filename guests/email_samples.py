"""Examples of the emails about an event, for staff. The event is real, and the guest invented."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageDraw

from guests.calendars import CANCEL, PUBLISH, calendar_attachment
from guests.event_values import event_values
from guests.models import Event
from guests.qr.codes import draw_image
from guests.typesetting import font_for
from notifications.causes import Recipient, Subject, register_causes
from notifications.kinds import EmailContent
from notifications.previews import Sample, email_samples, register_preview_subject, subject_id
from snap.pages import page_url

FIRST_NAME = "Inês"
POSITION = "7"
# The word on the QR code is this part of it high. Error correction M still reads the code.
WORD_SIZE = 14


@email_samples("qr_code")
def qr_code_samples(event: Event) -> Sequence[Sample]:
    flags = {"has_code": True, "has_calendar": True, "has_begun": False, "begins_soon": False}
    samples = []
    for name, label, from_waiting_list in (
        ("usual", _("On the list at once"), False),
        ("promoted", _("From the waiting list"), True),
    ):
        context = {**event_values(event), **flags, "from_waiting_list": from_waiting_list}
        content = EmailContent(
            context,
            _personal(event),
            {"qr": example_qr(event)},
            [calendar_attachment(event, PUBLISH)],
        )
        samples.append(Sample(name, label, content))
    return samples


@email_samples("waitlisted")
def waitlisted_samples(event: Event) -> Sequence[Sample]:
    personal = {"first_name": FIRST_NAME, "position": POSITION}
    return [Sample("usual", _("Usual"), EmailContent(event_values(event), personal))]


@email_samples("event_changed")
def event_changed_samples(event: Event) -> Sequence[Sample]:
    moved = {
        "is_moved": True,
        "old_starts_at": event.local_start - timedelta(days=1),
        "old_venue": gettext("The venue before"),
        "old_address": "",
    }
    changes: list[tuple[str, Any, dict[str, Any]]] = [
        ("moved", _("Another time and place"), moved),
        ("renamed", _("Another title"), {"is_renamed": True, "old_title": gettext("Old title")}),
        ("end", _("Another end"), {"has_other_end": True}),
        ("reinstated", _("Takes place after all"), {"is_reinstated": True}),
    ]
    ends = {"ends_at": event.local_end, "old_ends_at": event.local_end - timedelta(hours=1)}
    shared = {**event_values(event), **ends, "has_code": True, "has_calendar": True}
    files = [calendar_attachment(event, PUBLISH)]
    samples = []
    for name, label, change in changes:
        content = EmailContent({**shared, **change}, _personal(event), attachments=files)
        samples.append(Sample(name, label, content))
    waiting = {**event_values(event), **moved, "is_waiting": True}
    content = EmailContent(waiting, _personal(event))
    return [*samples, Sample("waiting", _("To the waiting list"), content)]


@email_samples("event_cancelled")
def event_cancelled_samples(event: Event) -> Sequence[Sample]:
    on_list = {**event_values(event), "has_code": True, "has_calendar": True}
    waiting = {**event_values(event), "is_waiting": True}
    files = [calendar_attachment(event, CANCEL)]
    return [
        Sample("usual", _("To the list"), EmailContent(on_list, _personal(event), {}, files)),
        Sample("waiting", _("To the waiting list"), EmailContent(waiting, _personal(event))),
    ]


@email_samples("reminder")
def reminder_samples(event: Event) -> Sequence[Sample]:
    context = {**event_values(event), "has_code": True}
    return [Sample("usual", _("Usual"), EmailContent(context, _personal(event)))]


@email_samples("place_to_prove")
def place_to_prove_samples(event: Event) -> Sequence[Sample]:
    samples = []
    for name, label, from_waiting_list in (
        ("promoted", _("From the waiting list"), True),
        ("usual", _("On the list at once"), False),
    ):
        context = {**event_values(event), "from_waiting_list": from_waiting_list}
        personal = {"first_name": FIRST_NAME, "proof_url": page_url("event", event.slug)}
        samples.append(Sample(name, label, EmailContent(context, personal)))
    return samples


@email_samples("list_message")
def list_message_samples(event: Event) -> Sequence[Sample]:
    context = {
        **event_values(event),
        "subject": gettext("News for the list"),
        "paragraphs": [
            gettext("This is what a message to everyone on the list looks like."),
            gettext("Addresses become links: %(url)s") % {"url": page_url("event", event.slug)},
        ],
    }
    return [Sample("usual", _("Usual"), EmailContent(context, _personal(event)))]


def example_qr(event: Event) -> bytes:
    """Return a QR code that leads to the page of the event, with a word that says what it is."""
    with Image.open(BytesIO(draw_image(page_url("event", event.slug)))) as drawn:
        image = drawn.convert("L")
    middle = (image.width // 2, image.height // 2)
    font = font_for(word := gettext("EXAMPLE"), image.width // WORD_SIZE)
    canvas = ImageDraw.Draw(image)
    left, top, right, bottom = canvas.textbbox(middle, word, font=font, anchor="mm")
    canvas.rectangle((left - 8, top - 8, right + 8, bottom + 8), fill="white")
    canvas.text(middle, word, fill="black", font=font, anchor="mm")
    png = BytesIO()
    image.save(png, "PNG")
    return png.getvalue()


def _personal(event: Event) -> dict[str, str]:
    """Return the values of an invented guest. The links open no pass."""
    url = page_url("event", event.slug)
    return {
        "first_name": FIRST_NAME,
        "code": gettext("EXAMPLE"),
        "guest_url": url,
        "qr_url": url,
    }


def _find_event(event_id: str) -> Event | None:
    if not event_id.isdecimal():
        return None
    return Event.objects.with_database_time().filter(pk=event_id).first()


def _describe_tests(causes: Iterable[str]) -> Mapping[str, Subject]:
    by_event: dict[int, list[str]] = {}
    for cause in causes:
        event_id = subject_id(cause)
        if event_id.isdecimal():
            by_event.setdefault(int(event_id), []).append(cause)
    subjects = {}
    for event in Event.objects.filter(pk__in=by_event):
        text = gettext("Test: %(event)s") % {"event": event}
        for cause in by_event[event.pk]:
            subjects[cause] = Subject(text, "guests_event_change", event.pk)
    return subjects


def _find_recipient(kind: str, cause: str) -> Recipient | None:
    """Return None: a test goes to the address of the staff member who sent it."""
    return None


register_preview_subject(_find_event)
register_causes("preview", find_recipient=_find_recipient, describe=_describe_tests, refusals={})
