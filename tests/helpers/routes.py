"""All routes of the site, and addresses that they match."""

from collections.abc import Iterator, Mapping

from django.urls import URLPattern, URLResolver, get_resolver


def all_routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Yield each route of the URL configuration, as its patterns write it."""
    for pattern in (resolver or get_resolver()).url_patterns:
        where = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from all_routes(pattern, where)
        elif isinstance(pattern, URLPattern):
            yield where


def fill_route(route: str, values: Mapping[str, str], *, default: str = "1") -> str:
    """Return a path of a route, with a value in the place of each converter, by its name."""
    path = ""
    while "<" in route:
        before, _, rest = route.partition("<")
        converter, _, route = rest.partition(">")
        path += before + values.get(converter.rpartition(":")[2], default)
    return "/" + (path + route).strip("^$").replace("\\", "")
