import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from .bodies import BodiesFirst

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")

application = BodiesFirst(
    get_wsgi_application(), turns=settings.WEB_THREADS, patience=settings.WEB_PATIENCE
)
