"""Routes of passes and of images."""

from django.urls import path, re_path

from guests.passes import views

app_name = "guests"
urlpatterns = [
    path("guest/<str:token>", views.guest_pass, name="pass"),
    path("media/qr/<str:token>.png", views.qr_image, name="qr_image"),
    path("media/previews/<str:name>", views.preview, name="preview"),
    re_path(r"^media/posters/(?P<name>\w[\w.-]*)$", views.poster, name="poster"),
]
