"""Upkeep of stored posters: sizes for older ones, and files that no event uses."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db.models.functions import Now
from django.utils import timezone

from guests.models import Event
from guests.posters.flattening import flatten_image
from guests.posters.palettes import colour_of
from guests.posters.sizes import FOLDER, NAME, image_name, store_poster
from guests.posters.uploads import delete_unused, image_slots

log = logging.getLogger(__name__)

# A file that no event uses may be of a form that is being saved, or on a page that was loaded
# before a poster was replaced.
UNUSED_AGE = timedelta(days=1)


def add_missing_sizes(must_stop: Callable[[], bool]) -> None:
    """Make the sizes of posters that were stored without them, for events that are not over.

    An earlier release stored only one file. Raises BusyError while other images are encoded.
    """
    events = Event.objects.filter(ends_at__gt=Now()).exclude(poster="")
    for event in events.exclude(poster__regex=f"^{NAME.pattern}$").only("slug", "poster"):
        if must_stop():
            return
        try:
            _store_again(event)
        except (FileNotFoundError, ValidationError) as error:
            error_name = type(error).__name__
            log.warning("poster_unreadable", extra={"event_id": event.pk, "error": error_name})


def _store_again(event: Event) -> None:
    """Store the poster with its sizes under a new name, unless it is replaced meanwhile."""
    old = str(event.poster.name)
    with default_storage.open(old) as file, image_slots.hold_one():
        new = store_poster(flatten_image(file, colour_of(event.slug)))
    if not Event.objects.filter(pk=event.pk, poster=old).update(poster=new):
        delete_unused(new)


def delete_unused_posters(must_stop: Callable[[], bool]) -> None:
    """Delete files in the posters' folder that no event has used for a day."""
    used = set(Event.objects.exclude(poster="").values_list("poster", flat=True))
    before = timezone.now() - UNUSED_AGE
    for name in stored_files(FOLDER):
        if must_stop():
            return
        if image_name(name) not in used and default_storage.get_modified_time(name) < before:
            default_storage.delete(name)


def stored_files(folder: str) -> list[str]:
    """Return the names of the files in a folder of the storage."""
    try:
        _folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return []
    return [f"{folder}/{file}" for file in files]
