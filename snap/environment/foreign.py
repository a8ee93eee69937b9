"""Variables that are meant for other programs, and would change how SNAP works.

A shell often has some: of another project, of a proxy, of a database tool. SNAP removes them from
the environment of its own processes. What they would say is said by a setting, by an address, or by
the Procfile.
"""

from collections.abc import Mapping, MutableMapping

# libpq: where PostgreSQL is and how it talks. DATABASE_URL says that.
LIBPQ = (
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATA",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGHOST",
    "PGHOSTADDR",
    "PGLOADBALANCEHOSTS",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGPORT",
    "PGREALM",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
    "PGUSER",
)
# libpq: how safe a connection must be. An address with `sslmode` says that; without one these
# variables stay, because a connection must not become less safe than its operator wants.
LIBPQ_SECURITY = (
    "PGCHANNELBINDING",
    "PGGSSDELEGATION",
    "PGGSSENCMODE",
    "PGGSSLIB",
    "PGKRBSRVNAME",
    "PGMAXPROTOCOLVERSION",
    "PGMINPROTOCOLVERSION",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSSLCERT",
    "PGSSLCERTMODE",
    "PGSSLCOMPRESSION",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLKEY",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGSSLSNI",
)
# Celery: its broker, and the options of its command line that have no prefix.
CELERY = (
    "APP",
    "CONFIG_MODULE",
    "FORKED_BY_MULTIPROCESSING",
    "LOADER",
    "MP_LOG",
    "RESULT_BACKEND",
    "SKIP_CHECKS",
)
# uvicorn: it would trust addresses that a client writes, and start other processes.
UVICORN = ("FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY")
# OpenTelemetry and Sentry: they would send headers of visitors, or to another receiver. These
# variables are settings, from which the packages get them.
TRACING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_TRUST_TRACEPARENT",
    "SENTRY_DSN",
    "SENTRY_ENVIRONMENT",
    "SENTRY_RELEASE",
)
# Python: it would import other modules, leave out docstrings, stop at warnings, or wait for input.
# `make run` removes them; in production they are its operator's choice.
PYTHON = (
    "PYTHONDEVMODE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSAFEPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
)
PREFIXES = ("CELERY_", "GRANIAN_", "OTEL_", "SENTRY_", "UVICORN_")
# Programs of PostgreSQL and Valkey: addresses, languages, time zones, and the socket of systemd.
SERVERS = ("PG", "LANG", "LC_", "NOTIFY_SOCKET", "TZ", "VALKEY")


def remove_foreign_variables(environ: MutableMapping[str, str]) -> None:
    """Remove what another program's variables would change in a process of SNAP."""
    for name in list(environ):
        if is_foreign(name):
            del environ[name]


def is_foreign(name: str) -> bool:
    if name in TRACING:
        return False
    return name.startswith(PREFIXES) or name in {*LIBPQ, *CELERY, *UVICORN}


def remove_security_of_libpq(environ: MutableMapping[str, str]) -> None:
    """Remove LIBPQ_SECURITY, for an address of PostgreSQL that says itself how safe it must be."""
    for name in LIBPQ_SECURITY:
        environ.pop(name, None)


def remove_libpq_variables(environ: MutableMapping[str, str]) -> None:
    """Remove everything that libpq reads, for servers that SNAP itself has started."""
    for name in list(environ):
        if name.startswith("PG"):
            del environ[name]


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an embedded server, without what its programs would read."""
    kept = {}
    for name, value in environ.items():
        if not name.startswith(SERVERS):
            kept[name] = value
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
