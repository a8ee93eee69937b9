from django.urls import path

from .consumers import PageConsumer, UpdatesConsumer

websocket_urlpatterns = [
    path("ws/promo/<uuid:ticket_id>/", PageConsumer.as_asgi()),
    path("ws/guest-updates/<uuid:ticket_id>/", UpdatesConsumer.as_asgi()),
]
