"""The paths of links in emails. Opening one proves the account's email, and does one more thing."""

from django.urls import path

from promo import claim_views

app_name = "email_links"
urlpatterns = [
    path("welcome/<int:account_id>/", claim_views.welcome, name="welcome"),
    path("claim/<int:claim_id>/", claim_views.objection, name="claim"),
]
