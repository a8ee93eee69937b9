"""Switches as staff turn them, for the process of the tests."""

from waffle.models import Switch

from snap.control import snapshot


def turn(name: str, *, on: bool) -> None:
    """Turn a switch off or on in the database and in this process."""
    Switch.objects.update_or_create(name=name, defaults={"active": on})
    snapshot.refresh()


def turn_off(*names: str) -> None:
    for name in names:
        turn(name, on=False)


def turn_on(*names: str) -> None:
    for name in names:
        turn(name, on=True)
