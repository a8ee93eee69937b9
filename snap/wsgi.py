import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from snap.limits.policy import require_policies
from snap.resilience.overload import BufferedBody

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")

application = BufferedBody(
    get_wsgi_application(), turns=settings.WEB_THREADS, patience=settings.WEB_PATIENCE
)

# All that views need is loaded before anybody asks: a process's first visitor would wait for it, a
# third of a second on a machine that has nothing else to do.
require_policies(get_resolver().url_patterns)
