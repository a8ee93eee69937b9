"""The backend of sessions that began with a code. It decides what such a session may do."""

from django.contrib.auth.backends import BaseBackend

from accounts.models import User


class CodeBackend(BaseBackend):
    """Authenticates sessions that began with a code or a registration.

    Such a session never opens admin, even if its account is staff: a code only proves a mailbox.
    Admin requires the password and the second factor.
    """

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()
