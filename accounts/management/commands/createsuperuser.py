"""Django's command, for people with one name too, and with a phone in any spelling."""

import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.exceptions import ValidationError
from django.core.management import CommandError

from accounts.models import User


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Clean the phone, and take an account without a last name.

        Django cleans only the fields besides the phone, and refuses an empty text for a last name.
        A space is cleaned to an empty text.
        """
        phone = options["phone"] or os.environ.get("DJANGO_SUPERUSER_PHONE")
        if phone:
            options["phone"] = clean_phone(phone)
        last_name = options["last_name"] or os.environ.get("DJANGO_SUPERUSER_LAST_NAME")
        if not last_name and not options["interactive"]:
            options["last_name"] = " "
        super().handle(*args, **options)


def clean_phone(typed: str) -> str:
    """Return the E.164 form of a phone. Raises CommandError."""
    try:
        return str(User._meta.get_field("phone").clean(typed, None))
    except ValidationError as error:
        raise CommandError("\n".join(error.messages)) from error
