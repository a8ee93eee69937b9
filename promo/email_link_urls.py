"""The paths of links in emails.

Opening one proves the account's email, and does one more thing. Only the link that signs in does
nothing before its button is pressed.
"""

from django.urls import path

from promo import claim_views, sign_in_views

app_name = "email_links"
urlpatterns = [
    path("welcome/<int:account_id>/", claim_views.welcome, name="welcome"),
    path("claim/<int:claim_id>/", claim_views.objection, name="claim"),
    path("sign-in/<int:code_id>/", sign_in_views.sign_in_link, name="sign_in"),
]
