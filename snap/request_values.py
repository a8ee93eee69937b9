"""Values that code keeps on a request, with their types."""

from typing import Generic, TypeVar

from django.http import HttpRequest

T = TypeVar("T")


class RequestValue(Generic[T]):
    """A value that is computed at most once a request, such as a parsed body."""

    def __init__(self, name: str) -> None:
        self.attribute = f"snap_{name}"

    def get(self, request: HttpRequest) -> T | None:
        """Return the value, None before it is set."""
        return vars(request).get(self.attribute)

    def set(self, request: HttpRequest, value: T) -> None:
        vars(request)[self.attribute] = value
