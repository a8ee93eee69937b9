"""Panels about servers and processes, and about what operators can change."""

from tests.grafana.panels import (
    GREEN,
    HOST,
    ORANGE,
    RATE,
    RED,
    VISITORS,
    YELLOW,
    Kind,
    Panel,
    gauge,
    in_range,
    per_minute,
    percentile,
    rate,
)

BREAKERS = ((0, "closed", GREEN), (1, "half open", YELLOW), (2, "open", RED))
MODES = ((0, "off", GREEN), (1, "on", ORANGE))
SWITCHES = ((0, "off", ORANGE), (1, "on", GREEN))

SERVERS = [
    Panel(
        "Circuit breakers",
        "A breaker that is open keeps callers away from a server that does not respond.",
        "none",
        ((gauge("circuit_breaker_state", "name, instance"), "{{name}} at {{instance}}"),),
        Kind.STATES,
        least=None,
        thresholds=((1, YELLOW), (2, RED)),
        words=BREAKERS,
    ),
    Panel(
        "Connections to PostgreSQL",
        "Of all processes of all hosts, and above how many queue mode goes on.",
        "short",
        (
            (gauge("database_connections"), "connections"),
            (gauge("database_connections_limit", how="min"), "queue mode"),
        ),
    ),
    Panel(
        "Pools",
        "Connections that processes hold, and threads that wait for one.",
        "short",
        (
            (gauge("database_pool_connections", "state", how="sum"), "{{state}}"),
            (gauge("database_pool_waiting", how="sum"), "threads that wait"),
        ),
    ),
    Panel(
        "Cache hits",
        "The share of reads that the cache answers.",
        "percent",
        (
            (
                "100 * "
                + rate("cache_requests_total", "cache", f'{HOST}, result="hit"')
                + " / "
                + rate("cache_requests_total", "cache"),
                "{{cache}}",
            ),
        ),
        width=12,
    ),
    Panel(
        "Hosts",
        "Whether Prometheus reaches each host.",
        "none",
        (('up{job="snap", instance=~"$host"}', "{{instance}}"),),
        Kind.STATES,
        width=12,
        least=None,
        base=RED,
        thresholds=((1, GREEN),),
        words=((0, "away", RED), (1, "reached", GREEN)),
    ),
]

PROCESSES = [
    Panel(
        "Memory",
        "Of each process. Above 500 MB the monitor warns.",
        "bytes",
        (
            (
                gauge("process_memory_bytes", "process, instance"),
                "{{process}} at {{instance}}",
            ),
        ),
        width=12,
        thresholds=((500_000_000, RED),),
    ),
    Panel(
        "Open websockets",
        "Pages that hear of news at once. The others poll.",
        "short",
        ((gauge("websockets_open", "instance", how="sum"), "{{instance}}"),),
        width=12,
    ),
]

# The hosts of these have the port of granian's own metrics, so they are not those of `$host`.
WEB = '{job="granian"}'
BUSY = f"rate(granian_blocking_busy_cumulative{WEB}{RATE})"
IDLE = f"rate(granian_blocking_idle_cumulative{WEB}{RATE})"

GRANIAN = [
    Panel(
        "Open connections of web",
        "Connections of clients and proxies, by host. Needs WEB_METRICS_PORT, as all of this row.",
        "short",
        ((f"sum by (instance) (granian_connections_active{WEB})", "{{instance}}"),),
    ),
    Panel(
        "Threads of web",
        "Threads that read bodies and wait, of WEB_WAITING_THREADS in each process, and requests"
        " that wait for one.",
        "short",
        (
            (f"sum by (instance) (granian_blocking_threads{WEB})", "threads at {{instance}}"),
            (f"sum by (instance) (granian_blocking_queue{WEB})", "waiting at {{instance}}"),
        ),
    ),
    Panel(
        "Busy threads of web",
        "The share of their time in which these threads had a request.",
        "percent",
        (
            (
                f"100 * sum by (instance) ({BUSY}) / sum by (instance) ({BUSY} + {IDLE})",
                "{{instance}}",
            ),
        ),
    ),
    Panel(
        "Connections taken",
        "New connections a minute, and those that failed.",
        "cpm",
        (
            (f"60 * sum (rate(granian_connections_handled{WEB}{RATE}))", "taken"),
            (f"60 * sum (rate(granian_connections_err{WEB}{RATE}))", "failed"),
        ),
        width=12,
    ),
    Panel(
        "Processes of web that were started",
        "In the time that is shown. After an error means that a process had ended by itself.",
        "short",
        (
            (f"sum (increase(granian_workers_spawns{WEB}[$__range]))", "started"),
            (
                f"sum (increase(granian_workers_respawns_for_err{WEB}[$__range]))",
                "after an error",
            ),
        ),
        Kind.BARS,
        width=12,
        decimals=0,
    ),
]

CONTROL = [
    Panel(
        "Limits hit",
        "Requests past a limit, a minute, by layer. `event` and `system` mean a crowd, the others"
        " one client.",
        "cpm",
        ((per_minute("rate_limit_hits_total", "layer"), "{{layer}}"),),
    ),
    Panel(
        "Modes",
        "Emergency mode postpones what can wait. Queue mode makes batches larger. Both slow down"
        " newcomers.",
        "none",
        ((gauge("load_mode", "mode"), "{{mode}}"),),
        Kind.STATES,
        least=None,
        thresholds=((1, ORANGE),),
        words=MODES,
    ),
    Panel(
        "Switches",
        "What staff have turned off in admin.",
        "none",
        ((gauge("switch_on", "switch", how="min"), "{{switch}}"),),
        Kind.STATES,
        height=10,
        least=None,
        base=ORANGE,
        thresholds=((1, GREEN),),
        words=SWITCHES,
    ),
    Panel(
        "Changes of modes",
        "How often a mode changed in the time that is shown, and who or what changed it.",
        "short",
        ((in_range("load_mode_changes_total", "mode, source"), "{{mode}} by {{source}}"),),
        Kind.BARS,
        decimals=0,
    ),
]

ROUTES = [
    Panel(
        "Busiest routes",
        "Requests each second.",
        "reqps",
        (("topk(10, " + rate("http_requests_total", "route", VISITORS) + ")", "{{route}}"),),
    ),
    Panel(
        "Slowest routes",
        "95 % of the responses of a route come within this time.",
        "ms",
        (
            (
                "topk(10, " + percentile(0.95, "http_request_duration_ms", "route", VISITORS) + ")",
                "{{route}}",
            ),
        ),
    ),
    Panel(
        "Errors by route",
        "Responses with a 5xx, a minute.",
        "cpm",
        (
            (
                per_minute("http_requests_total", "route, status", f'{VISITORS}, status=~"5.."'),
                "{{route}} {{status}}",
            ),
        ),
    ),
]
