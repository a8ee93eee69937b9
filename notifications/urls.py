from django.urls import path

from notifications import inbox

urlpatterns = [
    path("", inbox.inbox, name="inbox"),
    path("<str:name>/", inbox.inbox_message, name="inbox_message"),
    path("<str:name>/html/", inbox.inbox_html, name="inbox_html"),
    path("<str:name>/<str:content_id>", inbox.inbox_image, name="inbox_image"),
]
