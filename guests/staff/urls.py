from django.urls import path

from guests.staff.views import event, tonight
from snap.pages import register_page

app_name = "staff"

urlpatterns = [
    path("", tonight, name="tonight"),
    path("<slug:slug>/", event, name="event"),
]

register_page("tonight", "staff:tonight")
register_page("night_of_event", "staff:event")
