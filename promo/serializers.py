"""What the JSON API takes."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

BIGGEST_ID = 2**63 - 1


class PlaceSerializer(serializers.Serializer[Any]):
    """What a create call may say. The old front end also sends who it thinks is signed in."""

    event_id = serializers.IntegerField(min_value=1, max_value=BIGGEST_ID)
    promoter_id = serializers.IntegerField(
        min_value=1, max_value=BIGGEST_ID, required=False, allow_null=True
    )
    team_id = serializers.IntegerField(
        min_value=1, max_value=BIGGEST_ID, required=False, allow_null=True
    )
    name = serializers.CharField(max_length=121, required=False, allow_blank=True)
    client_user_id = serializers.IntegerField(required=False, allow_null=True)
    phone = serializers.CharField(max_length=40, required=False, allow_blank=True)
    email = serializers.CharField(max_length=254, required=False, allow_blank=True)


def read_place(request: Request, account_id: int) -> dict[str, Any]:
    """Return the checked body of a create call by that account. Raises APIException."""
    serializer = PlaceSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    if data.get("client_user_id") not in {None, account_id}:
        raise PermissionDenied(code="not_yours")
    return data
