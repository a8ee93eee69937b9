"""The paths of the pages under /promo/."""

from django.urls import path, register_converter

from promo import claim_views, holder_views, views
from promo.steps import Step


class EventConverter:
    """The slug of an event. `promo/untidy_links.py` leads other spellings here."""

    regex = "[a-z0-9][a-z0-9-]{0,59}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class PromoterConverter:
    """The code of a promoter. A step without a promoter has `-` in its path, for ""."""

    regex = "-|[a-z0-9][a-z0-9-]{0,39}"

    def to_python(self, value: str) -> str:
        if value == "-":
            return ""
        return value

    def to_url(self, value: str) -> str:
        return value or "-"


register_converter(EventConverter, "event")
register_converter(PromoterConverter, "promoter")

STEP_VIEWS = {
    Step.PHONE: views.phone,
    Step.CODE: views.code,
    Step.REGISTER: views.register,
    Step.CLAIM: claim_views.claim,
    Step.PROVE: views.prove,
    Step.EMAIL: holder_views.email,
    Step.REQUEST: views.request_access,
}

app_name = "promo"
urlpatterns = [
    path("", views.events, name="events"),
    path("<event:event>/", views.event, name="event"),
    path("<event:event>/calendar.ics", views.calendar, name="calendar"),
    path("<event:event>/ticket/<uuid:ticket_id>/", views.ticket, name="ticket"),
    path("<event:event>/ticket/<uuid:ticket_id>/place/", holder_views.place, name="place"),
    path("<event:event>/<promoter:promoter>/", views.event, name="event"),
    *(
        path(f"<event:event>/<promoter:promoter>/{step}/", STEP_VIEWS[step], name=step)
        for step in Step
    ),
    path(
        "<event:event>/<promoter:promoter>/claim/<int:claim_id>/",
        claim_views.claim_made,
        name="claim_made",
    ),
]
