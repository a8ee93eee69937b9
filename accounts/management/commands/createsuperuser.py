"""Django's command, for people with one name too."""

import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Take an account without a last name. Django refuses an empty text; a space is cleaned."""
        given = options["last_name"] or os.environ.get("DJANGO_SUPERUSER_LAST_NAME")
        if not given and not options["interactive"]:
            options["last_name"] = " "
        super().handle(*args, **options)
