"""All routes of HTTP. snap.asgi has the routes of websockets."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.utils.functional import lazy
from django.views.generic import RedirectView
from django.views.i18n import set_language

from notifications.webhooks import webhook_paths
from promo.privacy import privacy
from promo.views import sign_out, untidy_link
from snap.crawlers import robots
from snap.limits.policy import PAGES, limited, unlimited
from snap.observability import health, metrics

CONSTANT_REDIRECT = "A redirect to a constant address, without a query or a template."

urlpatterns = [
    path("", unlimited(CONSTANT_REDIRECT)(RedirectView.as_view(pattern_name="promo:events"))),
    path("promo/", include("promo.urls")),
    # All other paths that begin with the word, in any case.
    re_path(r"^(?P<untidy>[Pp][Rr][Oo][Mm][Oo]\b)", untidy_link),
    path("api/", include("promo.api.urls")),
    path("challenge/", include("promo.limits.urls")),
    path("from-email/", include("promo.email_link_urls")),
    path("", include("guests.passes.urls")),
    path("inbox/", include("notifications.urls")),
    path("privacy/", privacy, name="privacy"),
    path("sign-out/", sign_out, name="sign_out"),
    path("i18n/setlang/", limited(write=PAGES)(set_language), name="set_language"),
    path("admin/", admin.site.urls),
    path("staff/", include("guests.staff.urls")),
    path(
        "favicon.ico",
        unlimited(CONSTANT_REDIRECT)(RedirectView.as_view(url=lazy(static, str)("img/icon.svg"))),
    ),
    path("robots.txt", robots),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    *webhook_paths(),
]

handler400 = "snap.error_pages.bad_request"
handler403 = "snap.error_pages.forbidden"
handler404 = "snap.error_pages.not_found"
handler500 = "snap.error_pages.server_error"
