"""The paths of links in emails.

Opening the first two proves the account's email. The last one is for a mailbox with any account or
none.
"""

from django.urls import path

from promo import claim_views, unsubscribe_views

app_name = "email_links"
urlpatterns = [
    path("welcome/<int:account_id>/", claim_views.welcome, name="welcome"),
    path("claim/<int:claim_id>/", claim_views.objection, name="claim"),
    path("unsubscribe/<str:token>/", unsubscribe_views.unsubscribe, name="unsubscribe"),
]
