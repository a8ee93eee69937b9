from django.urls import path
from drf_spectacular.views import SpectacularSwaggerSplitView

from promo.api import accounts, guests
from promo.api.schema import SchemaView
from snap.error_pages import no_such_call
from snap.limits.policy import PAGES, limited

pages = limited(read=PAGES)

urlpatterns = [
    path("events", guests.events),
    path("client-auth-v2/check-phone", accounts.check_phone),
    path("client-auth/login", accounts.login),
    path("client-auth/register", accounts.register),
    path("client-auth/guests/create", guests.create),
    path("client-auth/guests/create-async", guests.create_async),
    path("client-auth/guests/requests/<uuid:ticket_id>", guests.ticket),
    path("schema/", pages(SchemaView.as_view()), name="api_schema"),
    path(
        "docs/",
        pages(SpectacularSwaggerSplitView.as_view(url_name="api_schema")),
        name="api_docs",
    ),
    path("", no_such_call),
    path("<path:anything>", no_such_call),
]
