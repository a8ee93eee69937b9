from django.urls import path
from drf_spectacular.views import SpectacularSwaggerSplitView

from promo.api import accounts as api_accounts
from promo.api import guests as api
from promo.api.schema import SchemaView
from snap.error_pages import no_such_call
from snap.limits.policy import PAGES, limited

pages = limited(read=PAGES)

urlpatterns = [
    path("events", api.events),
    path("client-auth-v2/check-phone", api_accounts.check_phone),
    path("client-auth/login", api_accounts.login),
    path("client-auth/register", api_accounts.register),
    path("client-auth/guests/create", api.create),
    path("client-auth/guests/create-async", api.create_async),
    path("client-auth/guests/requests/<uuid:ticket_id>", api.ticket),
    path("schema/", pages(SchemaView.as_view()), name="api_schema"),
    path(
        "docs/",
        pages(SpectacularSwaggerSplitView.as_view(url_name="api_schema")),
        name="api_docs",
    ),
    path("", no_such_call),
    path("<path:anything>", no_such_call),
]
