"""The paths of links in emails.

Opening the first two proves the account's email. The third signs in by its button only. The last
one is for a mailbox with any account or none.
"""

from django.urls import path

from promo import claim_views, sign_in_views, unsubscribe_views

app_name = "email_links"
urlpatterns = [
    path("welcome/<int:account_id>/", claim_views.welcome, name="welcome"),
    path("claim/<int:claim_id>/", claim_views.objection, name="claim"),
    path("sign-in/<int:code_id>/", sign_in_views.sign_in_link, name="sign_in"),
    path("unsubscribe/<str:token>/", unsubscribe_views.unsubscribe, name="unsubscribe"),
]
