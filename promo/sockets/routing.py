from typing import Any

from django.urls import path

from promo.sockets.consumers import PageConsumer, PassConsumer, UpdatesConsumer
from promo.sockets.staff import StaffConsumer

# Django's path() is typed for views; Channels hands it ASGI applications.
page: Any = PageConsumer.as_asgi()
updates: Any = UpdatesConsumer.as_asgi()
open_pass: Any = PassConsumer.as_asgi()
dashboard: Any = StaffConsumer.as_asgi()

websocket_urlpatterns: list[Any] = [
    path("ws/promo/<uuid:ticket_id>/", page),
    path("ws/guest-updates/<uuid:ticket_id>/", updates),
    path("ws/pass/<str:token>/", open_pass),
    path("ws/staff/<slug:page>/", dashboard),
]
