"""Has psycopg, Redis and Celery record spans. Imported only by `tracing.start`.

Requests of HTTP are recorded by `request_traces`, not by OpenTelemetry's package for Django: that
resolves each address a second time, reads addresses and headers of visitors, and costs 70 µs also
for a request that is not recorded.
"""

from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider


def instrument(provider: TracerProvider, *, runs_tasks: bool) -> None:
    PsycopgInstrumentor().instrument(tracer_provider=provider)
    RedisInstrumentor().instrument(tracer_provider=provider)
    if runs_tasks:
        # A task is a trace of its own. The wake-up that it answers stands for many requests.
        celery = CeleryInstrumentor()  # type: ignore[no-untyped-call]
        celery.instrument(tracer_provider=provider, use_span_links=True)
