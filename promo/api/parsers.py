"""Parsers of the JSON API."""

from typing import Any

from rest_framework.parsers import JSONParser

from promo.request_data import read_json


class BoundedJSONParser(JSONParser):
    """The JSON body as the limits read it too: of a bounded size and depth, in UTF-8 only."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return read_json(parser_context["request"]._request)
