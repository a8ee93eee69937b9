"""The WSGI application, which serves HTTP."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from snap.control import snapshot
from snap.limits.policy import require_policies
from snap.observability import tracing
from snap.resilience.overload import BufferedBody

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "snap.settings")

application = BufferedBody(
    get_wsgi_application(), turns=settings.WEB_THREADS, patience=settings.WEB_PATIENCE
)

# This also loads all views and what they import. Otherwise the first visitor of a process would
# wait for that, about 0.3 s on an idle machine.
require_policies(get_resolver().url_patterns)

tracing.start()
snapshot.start()
