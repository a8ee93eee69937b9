"""The addresses that `make run` shows once SNAP runs."""

from collections.abc import Collection
from urllib.parse import quote

from django.conf import settings

from snap.local.environment import Addresses

# How to run one process in a terminal of its own, in one worker and with a terminal for
# breakpoint(). Celery would redirect the debugger's output into its log.
CELERY = (
    "-m celery --quiet -A snap worker --pool solo --queues {queues} -- worker.redirect_stdouts=no"
)
COMMANDS_BY_HAND = {
    "web": "manage.py runserver {host}:{web_port}",
    "ws": (
        "-m uvicorn snap.asgi:application --host {host} --port {ws_port}"
        " --ws snap.asgi:WebSocketProtocol"
    ),
    "worker": CELERY.format(queues="guests,default"),
    "emails": CELERY.format(queues="emails"),
    "sweeper": "manage.py sweeper",
}


def welcome(addresses: Addresses, demo: str) -> str:
    """Return the addresses to open. `demo` has those of the demo, a line each."""
    lines = demo.splitlines()
    if settings.INBOX_PAGE:
        lines.append(f"Inbox         {addresses.local_url}/inbox/")
    lines.append(f"API           {addresses.local_url}/api/docs/")
    if addresses.local_url != settings.PUBLIC_URL:
        lines += ["", "On a phone in the same network:"]
        lines.append(f"Events        {settings.PUBLIC_URL}/promo/")
        if settings.INBOX_PAGE and settings.INBOX_TOKEN:
            key = quote(settings.INBOX_TOKEN, safe="")
            lines.append(f"Inbox         {settings.PUBLIC_URL}/inbox/?key={key}")
    lines += ["", "Logs          make logs (one process: make logs ONLY=web)"]
    text = "\nSNAP is running. Ctrl-C stops it.\n\n"
    for line in lines:
        text += f"  {line}".rstrip() + "\n"
    return text + "\n"


def commands_by_hand(names: Collection[str], addresses: Addresses) -> str:
    """Return the commands that start the processes which `make run` has left out."""
    text = ""
    for name in names:
        command = COMMANDS_BY_HAND[name].format(
            host=addresses.host, web_port=addresses.web_port, ws_port=addresses.ws_port
        )
        text += f"Left out: {name}. Start it in another terminal:\n"
        text += f"  .venv/bin/python {command}\n\n"
    return text
