from django.urls import path

from guests.staff.views import event, tonight

app_name = "staff"

urlpatterns = [
    path("", tonight, name="tonight"),
    path("<slug:slug>/", event, name="event"),
]
