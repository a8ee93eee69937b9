"""Routes of passes and of images."""

from django.urls import path, re_path

from guests.passes import views

app_name = "guests"
urlpatterns = [
    path("guest/<str:token>", views.guest_pass, name="pass"),
    path("guest/<str:token>/image.png", views.pass_image, name="pass_image"),
    path("guest/<str:token>/place", views.pass_place, name="place"),
    path("media/qr/<str:token>.png", views.qr_image, name="qr_image"),
    path("media/previews/<str:name>", views.preview, name="preview"),
    re_path(r"^media/posters/(?P<name>\w[\w.-]*)$", views.poster, name="poster"),
]
