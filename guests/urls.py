from django.urls import path

from . import views

app_name = "guests"
urlpatterns = [
    path("guest/<str:token>", views.guest_pass, name="pass"),
    path("media/qr/<str:token>.png", views.qr_image, name="qr_image"),
    path("media/posters/<str:name>", views.poster, name="poster"),
]
