"""Links in emails to an account's own address: each proves it, and does one thing more."""

from django.urls import path

from promo import claim_views

app_name = "email_links"
urlpatterns = [
    path("welcome/<int:account_id>/", claim_views.welcome, name="welcome"),
    path("claim/<int:claim_id>/", claim_views.objection, name="claim"),
]
