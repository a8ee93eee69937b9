"""The actions of the list of guests that check guests in, and undo that."""

from collections.abc import Callable
from functools import partial

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from guests.admin.base import acting_user
from guests.door.services import check_in_guest, undo_check_in
from guests.exceptions import GuestError
from guests.models import Guest
from guests.refusals import staff_refusal_text
from snap.admin_output import run_batches, show_results

Change = Callable[[Guest], Guest]


class CheckInActions(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    @admin.action(description=_("Check in"), permissions=["change"])
    def check_in(self, request: HttpRequest, queryset: QuerySet[Guest]) -> None:
        check_in = partial(check_in_guest, acting_user=acting_user(request))
        done, refused, is_all = _change_each(queryset, check_in)
        show_results(
            request,
            done=done,
            done_text=ngettext(
                "%(n)d guest is checked in.", "%(n)d guests are checked in.", len(done)
            ),
            refused=refused,
            refused_text=ngettext(
                "%(n)d guest was not checked in.", "%(n)d guests were not checked in.", len(refused)
            ),
            is_all=is_all,
        )

    @admin.action(description=_("Undo the check-in"), permissions=["change"])
    def undo_check_in(self, request: HttpRequest, queryset: QuerySet[Guest]) -> None:
        undo = partial(undo_check_in, acting_user=acting_user(request))
        done, refused, is_all = _change_each(queryset, undo)
        show_results(
            request,
            done=done,
            done_text=ngettext(
                "%(n)d guest is not inside any more.",
                "%(n)d guests are not inside any more.",
                len(done),
            ),
            refused=refused,
            refused_text=ngettext(
                "%(n)d guest was not changed.", "%(n)d guests were not changed.", len(refused)
            ),
            is_all=is_all,
        )


def _change_each(queryset: QuerySet[Guest], change: Change) -> tuple[list[str], list[str], bool]:
    """Change guests one by one. Return the names of those changed, the refusals, and if all ran."""
    done: list[str] = []
    refused: list[str] = []

    def change_one(guest: Guest) -> int:
        try:
            change(guest)
        except GuestError as error:
            refused.append(f"{guest.name}: {staff_refusal_text(error.code)}")
        else:
            done.append(guest.name)
        return 1

    guests = queryset.select_related("event").order_by("event", "pk")
    _ran, is_all = run_batches([partial(change_one, guest) for guest in guests])
    return done, refused, is_all
