from django.urls import path

from . import api

urlpatterns = [
    path("client-auth/guests/create", api.create),
    path("client-auth/guests/create-async", api.create_async),
    path("client-auth/guests/requests/<uuid:ticket_id>", api.ticket),
]
