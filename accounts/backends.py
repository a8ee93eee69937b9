"""How somebody signed in decides what the session may do."""

from django.contrib.auth.backends import BaseBackend

from accounts.models import User


class CodeBackend(BaseBackend):
    """Sessions that began with a code or a registration: a guest's, also when staff own it.

    A code goes to a mailbox; admin asks for the password, and for what it may ask beside it.
    """

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()
