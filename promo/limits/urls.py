from django.urls import path

from promo.limits import challenge

app_name = "challenge"
urlpatterns = [
    path("", challenge.page, name="page"),
    path("new", challenge.new, name="new"),
    path("wait/", challenge.wait, name="wait"),
    path("waited/", challenge.waited, name="waited"),
]
