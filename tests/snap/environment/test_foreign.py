"""Variables of other programs change nothing."""

from psycopg import pq

from snap.environment import foreign
from tests.helpers.settings_run import REQUIRED, read_from


def test_every_variable_of_libpq_is_known() -> None:
    """Without a decision, a variable of a later libpq would lead SNAP elsewhere."""
    known = {*foreign.LIBPQ, *foreign.LIBPQ_SECURITY, "PGPASSWORD", "PGPASSFILE"}
    read = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    assert read <= known


def test_variables_of_other_programs_are_removed_and_no_others() -> None:
    ours = {"CACHE_URL": "1", "PGPASSWORD": "2", "https_proxy": "3", "PGSSLMODE": "4", "PATH": "5"}
    theirs = {"PGHOST", "PGOPTIONS", "CELERY_BROKER_URL", "GRANIAN_PORT", "UVICORN_FD", "APP"}
    theirs |= {"OTEL_SDK_DISABLED", "OTEL_PYTHON_DJANGO_TRACED_REQUEST_ATTRS", "SENTRY_DEBUG"}
    environ = ours | dict.fromkeys(theirs | {"WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"}, "x")
    foreign.remove_foreign_variables(environ)
    assert environ == ours


def test_a_connection_does_not_become_less_safe() -> None:
    safe = {"PGSSLMODE": "verify-full", "PGREQUIREAUTH": "scram-sha-256", "PGPASSFILE": "/p"}
    assert left(**safe, PGHOSTADDR="192.0.2.1") == safe


def test_an_address_with_sslmode_is_complete() -> None:
    url = "postgres://h/n?sslmode=disable"
    assert left(DATABASE_URL=url, PGSSLMODE="require", PGCHANNELBINDING="require") == {}


def left(**variables: str) -> dict[str, str]:
    """Return the variables of libpq that are left when settings were read."""
    environ = REQUIRED | variables
    read_from(environ)
    return {name: value for name, value in environ.items() if name.startswith("PG")}


def test_embedded_servers_get_no_address_and_no_language() -> None:
    given = {"PGPORT": "1", "LC_ALL": "pt_PT", "LANG": "pt_PT", "TZ": "Nowhere", "PATH": "/bin"}
    assert foreign.server_environment(given) == {"PATH": "/bin", "LC_ALL": "C", "TZ": "UTC"}
