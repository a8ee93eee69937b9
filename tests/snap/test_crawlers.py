"""Search engines may index the pages of events, and nothing else."""

import re
from urllib.robotparser import RobotFileParser

import pytest
from django.conf import settings
from django.test import Client

from guests.passes.holders import link_for_holder
from snap.crawlers import ROBOTS
from tests.factories import make_event, make_guest
from tests.helpers.routes import all_routes, fill_route
from tests.helpers.visitors import Visitor

INDEXED = {
    "promo/",
    "promo/<event:event>/",
    "promo/<event:event>/<promoter:promoter>/",
    "media/previews/<str:name>",
    "^media/posters/(?P<name>\\w[\\w.-]*)$",
}
# Pages without our base template.
OTHER_PAGES = ("admin/", "api/", "inbox/")
META = '<meta name="robots" content="noindex, nofollow">'


@pytest.mark.django_db
def test_only_pages_of_events_may_be_indexed() -> None:
    event = make_event()
    client = Client()
    values = {"event": event.slug, "promoter": "-", "url": "guests", "app_label": "guests"}
    indexed = set()
    for route in all_routes():
        response = client.get(fill_route(route, values))
        header = response.headers["X-Robots-Tag"]
        if header == "all":
            indexed.add(route)
        else:
            assert header == "noindex, nofollow", route
        if response.status_code == 200 and not route.startswith(OTHER_PAGES):
            has_meta = META in response.content.decode()
            is_page = response.headers["Content-Type"].startswith("text/html")
            assert has_meta == (is_page and header != "all"), route
    assert indexed == {"promo/", "promo/<event:event>/", "promo/<event:event>/<promoter:promoter>/"}


@pytest.mark.django_db
def test_no_crawler_may_index_a_pass() -> None:
    """A crawler has no session: it reads `noindex`, also with the link from the email."""
    guest = make_guest()
    path = f"/guest/{guest.qr_token}"
    link = link_for_holder(guest).removeprefix(settings.PUBLIC_URL)
    for address in (path, f"{path}?proof=x", link):
        page = Client().get(address)
        assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert META in page.content.decode()


@pytest.mark.django_db
def test_nobody_keeps_a_copy_of_a_pass_that_its_holder_opens() -> None:
    guest = make_guest()
    holder = Visitor(guest.event).signed_in(guest.account)
    page = holder.browser.get(f"/guest/{guest.qr_token}")
    assert guest.name in page.content.decode()
    assert page.headers["X-Robots-Tag"] == "noarchive, nosnippet, noimageindex"
    link = link_for_holder(guest).removeprefix(settings.PUBLIC_URL)
    assert holder.browser.get(link).headers["X-Robots-Tag"] == "noindex, nofollow"


@pytest.mark.django_db
def test_an_unknown_event_is_not_indexed(client: Client) -> None:
    assert client.get("/promo/unknown/").headers["X-Robots-Tag"] == "noindex, nofollow"


def may_fetch(path: str) -> bool:
    """Say whether robots.txt allows a path. Python's parser knows no wildcards, so they are cut."""
    parser = RobotFileParser()
    parser.parse(line for line in ROBOTS.splitlines() if "*/" not in line)
    wildcards = re.findall(r"Disallow: (\S*\*/\S*)", ROBOTS)
    patterns = [re.escape(each).replace(r"\*", ".*") for each in wildcards]
    if any(re.match(pattern, path) for pattern in patterns):
        return False
    return parser.can_fetch("*", path)


@pytest.mark.django_db
def test_robots_txt_lets_crawlers_read_events_only(client: Client) -> None:
    response = client.get("/robots.txt")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.content.decode() == ROBOTS
    values = {"event": "x", "promoter": "-", "token": "t", "name": "n"}
    refused = {route for route in all_routes() if not may_fetch(fill_route(route, values))}
    read = {route for route in all_routes() if route not in refused}
    assert read >= INDEXED
    # They say `noindex` themselves, and a crawler must be able to read that.
    passes = {route for route in read if route.startswith("guest/")}
    others = {"", "favicon.ico", "healthz", "readyz", "metrics", "robots.txt", "privacy/"}
    redirects = {route for route in read if "untidy" in route}
    calendar = {"promo/<event:event>/calendar.ics"}
    webhooks = {route for route in read if route.startswith("webhooks/")}
    assert read - INDEXED - passes - others - redirects - calendar - webhooks == set()
    steps = {fill_route(route, values) for route in all_routes() if route.count("/") > 3}
    assert not any(may_fetch(step) for step in steps if step.startswith("/promo/"))
