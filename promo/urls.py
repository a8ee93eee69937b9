from django.urls import path, register_converter

from . import claims, views


class PromoterConverter:
    """A promoter's code, or `-` where a step has none."""

    regex = "-|[a-z0-9][a-z0-9-]*"

    def to_python(self, value: str) -> str:
        return value.removeprefix("-") if value == "-" else value

    def to_url(self, value: str) -> str:
        return value or "-"


register_converter(PromoterConverter, "promoter")

app_name = "promo"
urlpatterns = [
    path("", views.events, name="events"),
    path("<slug:event>/", views.event, name="event"),
    path("<slug:event>/calendar.ics", views.calendar, name="calendar"),
    path("<slug:event>/ticket/<uuid:ticket_id>/", views.ticket, name="ticket"),
    path("<slug:event>/<promoter:promoter>/", views.event, name="event"),
    path("<slug:event>/<promoter:promoter>/phone/", views.phone, name="phone"),
    path("<slug:event>/<promoter:promoter>/code/", views.code, name="code"),
    path("<slug:event>/<promoter:promoter>/register/", views.register, name="register"),
    path("<slug:event>/<promoter:promoter>/claim/", claims.claim, name="claim"),
    path(
        "<slug:event>/<promoter:promoter>/claim/<int:claim_id>/",
        claims.claim_made,
        name="claim_made",
    ),
    path("<slug:event>/<promoter:promoter>/prove/", views.prove, name="prove"),
    path("<slug:event>/<promoter:promoter>/request/", views.request_access, name="request"),
]
