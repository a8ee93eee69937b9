"""Panels about the night: whether it is well, the guest's way, queues and emails."""

from tests.grafana.panels import (
    GREEN,
    HOST,
    ORANGE,
    RED,
    VISITORS,
    YELLOW,
    Kind,
    Panel,
    gauge,
    in_range,
    number,
    per_minute,
    percentile,
    percentiles,
    rate,
)

LEVELS = (
    (1, "1 normal", GREEN),
    (2, "2 direct", YELLOW),
    (3, "3 emergency", ORANGE),
    (4, "4 nothing left", RED),
)
MENDING = ((0, "well", GREEN), (1, "refuses us", RED))

WELL = [
    number(
        "Level of service",
        "1 normal, 2 without Redis or workers, 3 without PostgreSQL, 4 nothing is accepted.",
        "none",
        gauge("service_level"),
        thresholds=((2, YELLOW), (3, ORANGE), (4, RED)),
        words=LEVELS,
    ),
    number(
        "Errors in 5 minutes",
        "Requests of visitors that ended with a 5xx. Above 5 % an alert fires, and emergency mode"
        " goes on.",
        "percent",
        gauge("error_rate_percent"),
        decimals=1,
        thresholds=((1, YELLOW), (5, RED)),
    ),
    number(
        "Slow responses (95 %)",
        "95 % of responses come within this time, from the last byte of a request. Above 3 s"
        " emergency mode goes on.",
        "ms",
        # Without requests it is NaN, which is not shown.
        percentile(0.95, "http_request_duration_ms", match=VISITORS) + " >= 0",
        decimals=0,
        thresholds=((500, YELLOW), (3000, RED)),
    ),
    number(
        "Requests that ended within a minute",
        "Of the requests for a place that were accepted one to six minutes ago. A page can be fast"
        " while this falls.",
        "percent",
        gauge("end_to_end_success_percent", how="min"),
        decimals=1,
        base=RED,
        thresholds=((95, YELLOW), (99, GREEN)),
    ),
    number(
        "Oldest request",
        "How long the oldest request for a place has waited since its turn came. Above 60 s an"
        " alert fires.",
        "s",
        gauge("guest_creation_oldest_age_seconds"),
        decimals=0,
        thresholds=((10, YELLOW), (60, RED)),
    ),
    number(
        "Alerts that fire",
        "Alerts of Prometheus. docs/operations.md says what to do about each.",
        "none",
        'count(ALERTS{alertstate="firing"}) or vector(0)',
        decimals=0,
        thresholds=((1, RED),),
    ),
    Panel(
        "Responses",
        "Requests of visitors each second, by status.",
        "reqps",
        ((rate("http_requests_total", "status", VISITORS), "{{status}}"),),
        is_stacked=True,
    ),
    Panel(
        "Response times",
        "Requests of visitors. The lines are the limits of emergency mode and of the alert.",
        "ms",
        percentiles("http_request_duration_ms", VISITORS),
        thresholds=((3000, YELLOW), (5000, RED)),
    ),
    Panel(
        "Level of each host",
        "Each host sees for itself which servers respond.",
        "none",
        ((gauge("service_level", "instance"), "level at {{instance}}"),),
        Kind.STATES,
        least=None,
        thresholds=((2, YELLOW), (3, ORANGE), (4, RED)),
        words=LEVELS,
    ),
]

WAY = [
    Panel(
        "Steps",
        "How often each step of the guest's way was reached, a minute. A step that falls while the"
        " one before it does not is where guests are stuck.",
        "cpm",
        ((per_minute("guest_steps_total", "step"), "{{step}}"),),
        width=12,
    ),
    Panel(
        "From link to QR code",
        "How often each step was reached in the time that is shown.",
        "short",
        (("sort_desc(" + in_range("guest_steps_total", "step") + ")", "{{step}}"),),
        Kind.BARS,
        width=6,
        decimals=0,
    ),
    Panel(
        "How requests ended",
        "Requests for a place that ended in the time that is shown, and whether within a minute.",
        "short",
        (
            (
                in_range("guest_requests_ended_total", "outcome, in_time"),
                "{{outcome}}, in time: {{in_time}}",
            ),
        ),
        Kind.BARS,
        width=6,
        decimals=0,
    ),
    Panel(
        "From accepted to ended",
        "How long a request for a place takes until its guest exists.",
        "ms",
        percentiles("guest_creation_duration_ms"),
    ),
    Panel(
        "Places given",
        "New guests a minute, and requests by accounts that had asked before.",
        "cpm",
        (
            (per_minute("guests_created_total"), "new guests"),
            (per_minute("duplicate_guest_requests_total"), "asked again"),
        ),
    ),
    Panel(
        "Phone checks and QR codes",
        "The time of a phone check, and of drawing and storing one QR code.",
        "ms",
        (
            (percentile(0.95, "phone_verification_duration_ms"), "phone check, 95 %"),
            (percentile(0.95, "qr_generation_duration_ms"), "QR code, 95 %"),
        ),
    ),
]

QUEUES = [
    Panel(
        "Requests that wait",
        "Requests for a place whose turn has come. Above 50 an alert fires.",
        "short",
        ((gauge("guest_creation_queue_depth"), "requests"),),
        thresholds=((50, RED),),
    ),
    Panel(
        "Age of the oldest",
        "How long the oldest request, email and journal entry have waited.",
        "s",
        (
            (gauge("guest_creation_oldest_age_seconds"), "request"),
            (gauge("emails_oldest_age_seconds", "lane"), "email, {{lane}}"),
            (gauge("journal_oldest_age_seconds", "instance"), "journal of {{instance}}"),
        ),
        thresholds=((60, RED),),
    ),
    Panel(
        "Journal",
        "Requests that were accepted without the database and are not in it yet, by host.",
        "short",
        ((gauge("journal_queue_depth", "instance"), "{{instance}}"),),
    ),
    Panel(
        "Out of attempts",
        "Requests and emails that failed each attempt. They wait for staff, or for"
        " `manage.py replay`.",
        "short",
        ((gauge("guest_requests_dead"), "requests"), (gauge("emails_dead"), "emails")),
        thresholds=((1, RED),),
    ),
    Panel(
        "Size of batches",
        "Requests that a worker ends at once, and emails that it sends at once.",
        "short",
        (
            (percentile(0.5, "guest_batch_size"), "requests, half of them"),
            (percentile(0.95, "guest_batch_size"), "requests, 95 %"),
            (percentile(0.95, "email_batch_size"), "emails, 95 %"),
        ),
    ),
    Panel(
        "Emails that wait",
        "Codes go first, in a lane of their own.",
        "short",
        ((gauge("emails_queue_depth", "lane"), "{{lane}}"),),
    ),
]

EMAILS = [
    Panel(
        "Emails by state",
        "Emails that reached each state, a minute.",
        "cpm",
        ((per_minute("emails_total", "state"), "{{state}}"),),
    ),
    Panel(
        "Emails sent by kind",
        "Emails that a provider has taken, a minute.",
        "cpm",
        ((per_minute("emails_total", "kind", f'{HOST}, state="sent"'), "{{kind}}"),),
        is_stacked=True,
    ),
    Panel(
        "Emails by provider",
        "Emails that reached each state, a minute, by the provider that sent them.",
        "cpm",
        (
            (
                per_minute("emails_by_provider_total", "provider, state"),
                "{{provider}}: {{state}}",
            ),
        ),
    ),
    Panel(
        "From sent to delivered",
        "How long after its acceptance a provider reports that an email was delivered.",
        "ms",
        percentiles("email_delivery_duration_ms"),
    ),
    Panel(
        "Bounced",
        "The share of emails that came back, in the last 15 minutes.",
        "percent",
        (
            (
                f'100 * (sum(rate(emails_total{{{HOST}, state="bounced"}}[15m])) or vector(0))'
                f' / sum(rate(emails_total{{{HOST}, state="sent"}}[15m]))',
                "bounced",
            ),
        ),
        thresholds=((5, RED),),
    ),
    Panel(
        "Providers that refuse us",
        "A provider that refuses our key, sender or domain. docs/email.md says what to mend.",
        "none",
        ((gauge("mail_provider_needs_mending", "provider"), "{{provider}}"),),
        Kind.STATES,
        least=None,
        thresholds=((1, RED),),
        words=MENDING,
    ),
]
