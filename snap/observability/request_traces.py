"""The middleware that records each request of HTTP as a span, named by its route."""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from snap.observability import tracing
from snap.observability.context import current, set_traceparent
from snap.request_values import RequestValue

Handler = Callable[[HttpRequest], HttpResponse]

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER_METHOD = "_OTHER"  # OpenTelemetry's word
# Paths that supervisors and Prometheus ask for all the time.
UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})

error_type: RequestValue[str] = RequestValue("error_type")


class TraceRequests:
    """Begins or continues a trace. Rows that the request stores, and its log lines, name it."""

    def __init__(self, get_response: Handler) -> None:
        if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        spans = tracing.current()
        if spans is None or request.path in UNTRACED:
            return self.get_response(request)
        with spans.request(known_method(request), request.headers) as span:
            set_traceparent(tracing.current_traceparent())
            response = self.get_response(request)
            if span.is_recording():
                span.update_name(name_of(request))
                span.set_attributes(attributes_of(request, response))
            if response.status_code >= 500:
                spans.mark_failed(span)
            return response

    def process_exception(self, request: HttpRequest, error: Exception) -> None:
        error_type.set(request, type(error).__qualname__)


def known_method(request: HttpRequest) -> str:
    """Return the method, OTHER_METHOD for one that a client has invented."""
    method = request.method or ""
    return method if method in METHODS else OTHER_METHOD


def route_of(request: HttpRequest) -> str:
    """Return the pattern of the address, such as `promo/<slug:slug>/`; "" if there is none."""
    match = request.resolver_match
    return match.route if match is not None else ""


def name_of(request: HttpRequest) -> str:
    return f"{known_method(request)} {route_of(request)}".rstrip()


def attributes_of(request: HttpRequest, response: HttpResponse) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": known_method(request),
        "http.route": route_of(request),
        "http.response.status_code": response.status_code,
        "snap.request_id": current().request_id,
        "snap.ticket_id": current().ticket_id,
    }
    if response.status_code >= 500:
        attributes["error.type"] = error_type.get(request) or str(response.status_code)
    return {name: value for name, value in attributes.items() if value != ""}
