"""The tables of docs/performance.md, from the medians of each part."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.bench.figures import Figures
from tests.bench.journey import JOURNEY, REQUEST_TO_QR, STEPS

GROUPS = (
    "web",
    "ws",
    "worker",
    "emails",
    "sweeper",
    "mail sink",
    "PostgreSQL",
    "Valkey",
    "generator",
    "other",
)
LOADS = {
    "64": "64 users",
    "256": "256 users",
    "1500": "1,500 users in a hurry",
    "1500 calm": "1,500, a minute each",
    "half": "half load",
}


def of(part: str, figures: Figures) -> list[str]:
    """Return the lines of a part's tables."""
    return [*MAKERS[part](figures), ""]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    line = "|---|" + "--:|" * (len(head) - 1)
    return [_row(head), line, *(_row(row) for row in rows), ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(figures: Mapping[str, float], name: str, digits: int = 1) -> str:
    return f"{figures[name]:,.{digits}f}" if name in figures else "–"


def ratio(figures: Mapping[str, float], above: str, below: str) -> str:
    """Return `above` divided by `below` as text, such as `1.07 ×`."""
    if not figures.get(below) or above not in figures:
        return "–"
    return f"{figures[above] / figures[below]:,.2f} ×"


def _loads(figures: Figures, loads: Mapping[str, str]) -> list[str]:
    there = {name: text for name, text in loads.items() if f"{name}/rate" in figures}
    head = ["", *there.values()]
    rates = [
        ["journeys a second", *(number(figures, f"{name}/rate") for name in there)],
        ["journeys", *(number(figures, f"{name}/journeys", 0) for name in there)],
        ["errors", *(number(figures, f"{name}/errors", 0) for name in there)],
    ]
    steps = [
        [f"{step}, p50 / p95 / p99 ms", *(_three(figures, f"{name}/{step}") for name in there)]
        for step in (*STEPS, REQUEST_TO_QR, JOURNEY)
    ]
    emails = [
        ["emails left at the end", *(number(figures, f"{n}/emails left", 0) for n in there)],
        ["s until they were sent", *(number(figures, f"{n}/emails seconds", 0) for n in there)],
    ]
    cpu = [
        [f"CPU ms a journey, {group}", *(number(figures, f"{n}/cpu/{group}", 2) for n in there)]
        for group in GROUPS
    ]
    total = ["**CPU ms a journey, SNAP and its servers**"]
    total += [f"**{_snaps_cpu(figures, f'{name}/cpu'):,.2f}**" for name in there]
    return table(head, [*rates, *steps, *emails, *cpu, total])


def _three(figures: Figures, name: str) -> str:
    return " / ".join(number(figures, f"{name}/p{p}", 0) for p in (50, 95, 99))


def _snaps_cpu(figures: Figures, name: str) -> float:
    ours = [group for group in GROUPS if group not in {"mail sink", "generator", "other"}]
    return sum(figures.get(f"{name}/{group}", 0.0) for group in ours)


def journeys(figures: Figures) -> list[str]:
    lines = _loads(figures, LOADS)
    return [
        *lines,
        "Closed loops: 64 and 256 users make one journey after the other without a pause. The 1,500"
        " pause before each of three steps: for 2 to 6 seconds (faster than a person types), or for"
        " 10 to 30, which makes 1,500 journeys a minute. Half load is an open loop: visitors come"
        " at half the rate that 64 users reached. The time of a journey excludes its pauses.",
        "",
        "Emails have a lower priority than pages. Emails that were still queued at the end of a"
        " measurement are not in its CPU; the next measurement began after they had been sent.",
    ]


def peak(figures: Figures) -> list[str]:
    def row(text: str, name: str) -> list[str]:
        return [text, *(number(figures, f"{name}/{each}", 0) for each in ("p50", "p95", "max"))]

    answers = ", ".join(
        f"{number(figures, f'answers/{name}', 0)} {text}"
        for name, text in {
            "200": "had the QR code in the response",
            "202": "a ticket",
            "503": "a 503",
            "others": "another status",
        }.items()
    )
    rows = [row("create", "create"), row("the event's page meanwhile", "page")]
    return [f"Of 500 at once {answers}.", "", *table(["ms", "p50", "p95", "max"], rows)]


def saturated(figures: Figures) -> list[str]:
    return _loads(figures, {"1500": "1,500 users without a pause"})


def arrivals(figures: Figures) -> list[str]:
    came, served = number(figures, "came", 0), number(figures, "served_percent", 2)
    first = f"{came} came, at {number(figures, 'offered')} a second; {served} % got their QR code."
    named = {f"all/{name}": value for name, value in figures.items()}
    return [first, "", *_loads(named, {"all": "1,500 within 30 s"})]


def calls(figures: Figures) -> list[str]:
    def row(text: str, name: str, beside: str) -> list[str]:
        return [
            text,
            number(figures, f"{name}/rate", 0),
            number(figures, f"{name}/carried", 0),
            number(figures, f"{name}/half/p50", 2),
            number(figures, f"{name}/half/p95", 2),
            number(figures, f"{name}/cpu/web", 3),
            number(figures, f"{name}/cpu/PostgreSQL", 3),
            number(figures, f"{name}/errors", 0),
            beside,
        ]

    check = (
        "phone check, a new phone by the page"
        if figures.get("check/by_page")
        else "phone check, cached"
    )
    web = dict(figures) | {"hello/cpu/web": figures.get("hello/cpu/hello", 0.0)}
    figures = web
    head = [
        "call",
        "a second",
        "completed a second",
        "p50 ms at half",
        "p95 ms at half",
        "CPU ms web",
        "PostgreSQL",
        "errors",
        "relative CPU",
    ]
    rows = [
        row("bare hello (granian, WSGI)", "hello", "1"),
        row(check, "check", ratio(figures, "check/cpu/web", "hello/cpu/web") + " hello"),
        row(
            "accept (create-async)",
            "accept",
            ratio(figures, "accept/cpu/PostgreSQL", "insert/cpu/PostgreSQL")
            + " the insert's PostgreSQL",
        ),
    ]
    insert = (
        f"The same insert by pgbench, 8 clients: {number(figures, 'insert/rate', 0)} rows a second,"
        f" {number(figures, 'insert/mean', 2)} ms each,"
        f" {number(figures, 'insert/cpu/PostgreSQL', 3)} ms of PostgreSQL's CPU a row; accept"
        f" reaches {ratio(figures, 'accept/rate', 'insert/rate')} its rate, while workers"
        " end the requests."
    )
    get = (
        f"One Redis GET from Python: {number(figures, 'redis get/p50', 3)} ms (p50),"
        f" {number(figures, 'redis get/p95', 3)} ms (p95); the check at half load takes"
        f" {ratio(figures, 'check/half/p50', 'redis get/p50')} as long."
    )
    half = (
        "Half load is half of what is completed, workers and emails included. Half of what is only"
        " accepted would be all that two cores can complete."
    )
    return [*table(head, rows), half, "", insert, "", get]


def creation(figures: Figures) -> list[str]:
    head = [
        "",
        "rows a second",
        "µs a row",
        "Python CPU ms a row",
        "PostgreSQL CPU ms a row",
        "relative to the upsert",
    ]
    rows = [
        [
            text,
            number(figures, f"{name}/rate", 0),
            number(figures, f"{name}/microseconds a row", 0),
            number(figures, f"{name}/cpu/python", 3),
            number(figures, f"{name}/cpu/PostgreSQL", 3),
            ratio(figures, f"{name}/microseconds a row", "upsert/microseconds a row"),
        ]
        for name, text in (
            ("worker", "one worker: QR codes drawn, guests, emails queued, history, pushes"),
            ("worker, codes ready", "the same with QR codes made ahead"),
            ("upsert", "the batch upsert alone, in a tight loop (psycopg, a transaction each)"),
        )
    ]
    qr = (
        f"Drawing a QR code: {number(figures, 'qr/ours', 2)} ms of CPU; the library's default:"
        f" {number(figures, 'qr/default', 2)} ms ({ratio(figures, 'qr/default', 'qr/ours')})."
    )
    return [*table(head, rows), qr]


def sockets(figures: Figures) -> list[str]:
    wanted = {
        "open": ("open", 0),
        "refused": ("refused", 0),
        "KiB a socket": ("KiB an idle socket", 1),
        "ws MiB": ("MiB of the ws process with all of them", 0),
        "connect a second": ("handshakes a second, 50 at a time", 0),
        "connect cpu": ("CPU ms a handshake, ws", 2),
        "push/p50": ("push, group send → socket, at 300/s, p50 ms", 1),
        "push/p95": ("p95 ms", 1),
        "push/p99": ("p99 ms", 1),
        "push cpu": ("CPU ms a push, ws", 2),
        "lost": ("pushes lost", 0),
    }
    rows = [
        [text, *(number(figures, f"{size}/{name}", digits) for size in ("1500", "5000"))]
        for name, (text, digits) in wanted.items()
    ]
    return table(["", "1,500 sockets", "5,000 sockets"], rows)


def growth(figures: Figures) -> list[str]:
    workers = [
        [n, *(number(figures, f"web workers/{n}/{name}") for name in ("rate", "p95", "errors"))]
        for n in ("1", "2")
    ]
    steps = {
        "page/cpu": ("event page, CPU ms", 2),
        "page/p50": ("event page, p50 ms", 1),
        "check/cpu": ("phone check, CPU ms", 2),
        "check/p50": ("phone check, p50 ms", 1),
        "create/cpu": ("a whole journey, CPU ms", 2),
        "create/p50": ("request → QR, p50 ms", 1),
        "admin/cpu": ("admin's guest list, CPU ms", 1),
        "admin/p50": ("admin's guest list, p50 ms", 1),
        "search name/p50": ("admin's search by name, p50 ms", 0),
        "search digits/p50": ("admin's search by four digits, p50 ms", 0),
        "search short/p50": ("admin's search by two letters, p50 ms", 0),
        "search account/p50": ("admin's search of accounts, p50 ms", 0),
        "sort name/p50": ("admin's list of all guests by name, p50 ms", 0),
        "export/p50": ("export of the list, ms", 0),
        "audit/seconds": ("`audit` of all lists made until then, s", 1),
        "audit/clean": ("it ended and found nothing wrong (1 = yes)", 0),
    }
    sizes = ("1000", "100000", "1000000")
    rows = [
        [
            text,
            *(number(figures, f"guests/{size}/{name}", digits) for size in sizes),
            ratio(figures, f"guests/1000000/{name}", "guests/1000/" + name),
        ]
        for name, (text, digits) in steps.items()
    ]
    return [
        *table(["web workers", "journeys a second, 64 users", "p95 ms", "errors"], workers),
        *table(["guests on the list", "1,000", "100,000", "1,000,000", "million / thousand"], rows),
        "One call after the other, with no other load. `audit` reads every guest and every image,"
        " and an export reads every guest, so both grow with the list.",
    ]


def memory(figures: Figures) -> list[str]:
    few, many = (number(figures, f"{mark}/journeys", 0) for mark in ("few", "many"))
    groups = [group for group in GROUPS if f"few/{group}" in figures]
    rows = [
        [
            group,
            number(figures, f"few/{group}", 0),
            number(figures, f"many/{group}", 0),
            ratio(figures, f"many/{group}", f"few/{group}"),
        ]
        for group in groups
    ]
    return [
        *table(["MiB resident", f"after {few} journeys", f"after {many}", "ratio"], rows),
        "The sum over the processes of a group; shared memory is counted in each. PostgreSQL and"
        " Valkey grow with their data.",
    ]


def metrics(figures: Figures) -> list[str]:
    names = {
        "request": "a request, with its duration",
        "step": "a step of the guest's way",
        "cache": "a hit or miss of a cache",
        "histogram": "a batch of a worker",
    }
    rows = [[text, number(figures, f"us/{name}", 2)] for name, text in names.items()]
    return [
        *table(["CPU µs to count", ""], rows),
        f"A response of `/metrics`: {number(figures, 'scrape ms')} ms of CPU,"
        f" {number(figures, 'scrape bytes', 0)} bytes. It includes what `web` does in the second"
        " before it.",
    ]


def emails(figures: Figures) -> list[str]:
    kinds = {"qr_code": "QR code", "welcome": "welcome", "login_code": "sign-in code"}
    rows = [
        ["CPU ms of `emails`, all in", *(number(figures, f"{k}/cpu/emails", 2) for k in kinds)],
        ["CPU ms of PostgreSQL", *(number(figures, f"{k}/cpu/PostgreSQL", 2) for k in kinds)],
        ["emails a second, one process", *(number(figures, f"{k}/rate", 0) for k in kinds)],
        ["CPU ms of Django's `send_mail`", *(number(figures, f"{k}/send_mail", 2) for k in kinds)],
        [
            "CPU ms of Django's message, its connection kept",
            *(number(figures, f"{k}/kept", 2) for k in kinds),
        ],
        ["emails", *(number(figures, f"{k}/emails", 0) for k in kinds)],
        ["MiB of `emails` before them", *(number(figures, f"{k}/MiB/before", 0) for k in kinds)],
        ["MiB after them", *(number(figures, f"{k}/MiB/after", 0) for k in kinds)],
    ]
    slow = [
        [
            text,
            number(figures, f"slow {name}/rate", 0),
            number(figures, f"slow {name}/cpu/emails", 2),
            number(figures, f"slow {name}/connections", 0),
        ]
        for name, text in (("resend", "Resend's API over HTTP"), ("smtp", "SMTP"))
    ]
    return [
        *table(["one email", *kinds.values()], rows),
        "All in: the row is claimed, the contents are read from the database, the email is"
        " rendered and encoded, it goes out by SMTP, the response is kept on the disk, the row is"
        " written and a line is logged. Django's figures are of the same message in the same run,"
        " and of less: its texts were rendered before, and no database and no disk took part."
        " `send_mail` opens a connection for each email and has no image. The message with its"
        " image goes over one connection.",
        "",
        *table(
            ["a provider that takes 50 ms", "emails a second", "CPU ms an email", "connections"],
            slow,
        ),
        "One `emails` process and welcome emails.",
    ]


MAKERS: dict[str, Callable[[Figures], list[str]]] = {
    "journeys": journeys,
    "saturated": saturated,
    "arrivals": arrivals,
    "calls": calls,
    "peak": peak,
    "creation": creation,
    "emails": emails,
    "sockets": sockets,
    "growth": growth,
    "metrics": metrics,
    "memory": memory,
}
