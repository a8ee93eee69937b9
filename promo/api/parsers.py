"""Parsers of the JSON API."""

from typing import Any

from rest_framework.parsers import JSONParser

from promo.request_data import read_json


class BoundedJSONParser(JSONParser):
    """Parses a body by `read_json`, as the limits do: UTF-8 only, with a maximum of size."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return read_json(parser_context["request"]._request)
