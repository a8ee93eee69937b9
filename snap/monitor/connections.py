"""The connections of PostgreSQL: how many there are, and above how many queue mode begins."""

from dataclasses import dataclass

from django.conf import settings
from django.db import connection

# The share of PostgreSQL's max_connections that counts as a threshold, too.
MOST_CONNECTIONS = 0.8
# The share of the threshold above which staff and operators are warned.
HIGH = 0.875

# Cheaper than the rows of pg_stat_activity, and visible to a role without rights over other roles.
QUERY = """
SELECT numbackends, current_setting('max_connections')::int
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Connections:
    """Connections to SNAP's database, of all hosts and programs, and `max_connections`."""

    used: int
    most: int


def read_connections() -> Connections:
    """Return the connections now. One query. Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        used, most = cursor.fetchone()
    return Connections(int(used), int(most))


def connection_limit(max_connections: int) -> float:
    """Return above how many connections queue mode begins. 0: max_connections is unknown."""
    limit = float(settings.MONITOR_CONNECTIONS)
    if max_connections:
        limit = min(limit, MOST_CONNECTIONS * max_connections)
    return limit


def are_connections_high(used: int, max_connections: int) -> bool:
    """Return whether the connections are close to the threshold of queue mode, or above it."""
    return used > HIGH * connection_limit(max_connections)
