"""What has guests is not deleted: the page says what to do instead."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from guests.models import Guest, GuestRequest


class KeptWithGuests(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Deletes only rows without guests and requests. For others it names what to do instead."""

    # The field of guests and requests that points to the row.
    guests_field = ""
    delete_confirmation_template = "admin/guests/delete_confirmation.html"
    delete_selected_confirmation_template = "admin/guests/delete_selected_confirmation.html"

    def instead_of_deleting(self, row: Any) -> SafeString:
        """Return a link to what staff can do instead."""
        raise NotImplementedError

    def has_guests(self, row: Any) -> bool:
        condition = {self.guests_field: row}
        if Guest.objects.filter(**condition).exists():
            return True
        return GuestRequest.objects.filter(**condition).exists()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the rows that have guests, without reading these. Else Django asks, as usual."""
        kept = [self.instead_of_deleting(row) for row in objs if self.has_guests(row)]
        if kept:
            return [], {}, set(), kept
        return super().get_deleted_objects(objs, request)
