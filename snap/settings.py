"""All settings, read top to bottom, from the environment.

`make run` writes what it generated (secret key, addresses of the servers it started) to `var/env`;
real environment variables win over that file. Production sets the variables itself: what has no
default here must be given.
"""

import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from snap.resilience.connections import BoundedConnection

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / "var" / "env")

# Addresses -------------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY")
# Keys of before, while sessions that they signed are still to be read.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", default=False)

# Where guests reach SNAP: what QR codes, emails and allowed origins are made from.
PUBLIC_URL = env.str("PUBLIC_URL").rstrip("/")
HTTPS = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[urlsplit(PUBLIC_URL).hostname])
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# Behind a proxy /ws/ goes to the `ws` process under the same address. Without one the page is told
# the port on which that process listens.
WEBSOCKET_PORT = env.int("WEBSOCKET_PORT", default=0)
# Pages of these origins may open a socket: ours, and in development every name of this machine.
WEBSOCKET_ORIGINS = env.list("WEBSOCKET_ORIGINS", default=[PUBLIC_URL])

# How many proxies in front of us add themselves to X-Forwarded-For. 0: the header is not read.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
if TRUSTED_PROXIES and HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Applications ----------------------------------------------------------------------------------

INSTALLED_APPS = [
    "snap",
    "promo",
    "guests",
    "accounts",
    "notifications",
    "accounts.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "snap.static.OurStaticFilesConfig",
    "django.contrib.postgres",
    "django.forms",
    "anymail",
    "axes",
    "channels",
    "csp",
    "django_countries",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "template_partials",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "snap.middleware.add_browser_headers",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "snap.middleware.refuse_large_bodies",
    "snap.middleware.refuse_null_bytes",
    "snap.middleware.refuse_charsets",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "snap.middleware.refuse_overloaded",
    "promo.limits.middleware.LimitsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.sessions.AccountMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "snap.middleware.DatabaseAwayMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "snap.urls"
WSGI_APPLICATION = "snap.wsgi.application"
ASGI_APPLICATION = "snap.asgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# PostgreSQL ------------------------------------------------------------------------------------

# Milliseconds after which PostgreSQL itself ends a statement or a wait for a lock.
DATABASE_STATEMENT_TIMEOUT = env.int("DATABASE_STATEMENT_TIMEOUT", default=5_000)

# Seconds after which a silent PostgreSQL counts as away: for any answer; for all the answers that
# one page needs together; and for those of a page or call that can go on in an emergency.
DATABASE_SILENCE_TIMEOUT = env.float("DATABASE_SILENCE_TIMEOUT", default=8.0)
DATABASE_PAGE_SECONDS = env.float("DATABASE_PAGE_SECONDS", default=5.0)
DATABASE_REQUEST_SECONDS = env.float("DATABASE_REQUEST_SECONDS", default=2.5)

# Failures in a row that open a circuit breaker, and seconds until it lets one call try again.
BREAKER_THRESHOLD = env.int("BREAKER_THRESHOLD", default=5)
BREAKER_PAUSE = env.float("BREAKER_PAUSE", default=60.0)

DATABASES = {
    "default": {
        **env.db_url("DATABASE_URL", engine="django.db.backends.postgresql"),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        # Safe behind PgBouncer in transaction mode.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
DATABASES["default"]["OPTIONS"] = {
    "application_name": f"snap-{Path(sys.argv[0]).stem}",
    "connect_timeout": 2,
    "options": (
        f"-c statement_timeout={DATABASE_STATEMENT_TIMEOUT} -c lock_timeout=3000"
        " -c idle_in_transaction_session_timeout=15000"
    ),
    "pool": {
        "connection_class": BoundedConnection,
        "min_size": 0,
        "max_size": env.int("DATABASE_POOL_SIZE", default=8),
        "timeout": 2,
        "max_idle": 30,
        # After an outage the next caller connects anew, instead of waiting for a pause to end that
        # has doubled with every try.
        "reconnect_timeout": 0.01,
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis: four roles, one server by default --------------------------------------------------------

REDIS_URL = env.str("REDIS_URL").rstrip("/")
CACHE_URL = env.str("CACHE_URL", default=f"{REDIS_URL}/0")
LIMITS_URL = env.str("LIMITS_URL", default=f"{REDIS_URL}/1")
CHANNELS_URL = env.str("CHANNELS_URL", default=f"{REDIS_URL}/2")
BROKER_URL = env.str("BROKER_URL", default=f"{REDIS_URL}/3")

# Seconds the web side waits for Redis before it goes on without.
REDIS_TIMEOUT = 0.5

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "snap",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT,
            "IGNORE_EXCEPTIONS": True,
        },
    },
    # Where django-ratelimit counts; a dead one lets everybody pass.
    "limits": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": LIMITS_URL,
        "KEY_PREFIX": "snap",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT,
            "IGNORE_EXCEPTIONS": True,
        },
    },
}

# Left alone, the layer does not retry: after a restart of Redis its first command would fail. Each
# coroutine that finds the connection cut ends it once more for the others, hence several tries.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "snap.channel_layer.GroupsLayer",
        "CONFIG": {
            "hosts": [
                {
                    "address": CHANNELS_URL,
                    "retry": Retry(NoBackoff(), retries=3),
                }
            ],
            "prefix": "snap",
        },
    },
}

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "health_check_interval": 10,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "guests.tasks.*": {"queue": "guests"},
    "notifications.tasks.*": {"queue": "emails"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_DB_REUSE_MAX = sys.maxsize  # tasks: snap.celery gives connections back

# People ----------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["accounts.hashers.BoundedPasswordHasher"]
# Passwords that are hashed at once on this host, over all processes. 0: half of its cores.
HASH_SLOTS = env.int("HASH_SLOTS", default=0)
# Lock files with which the processes of one host bound their expensive work (snap.slots).
SLOTS_DIR = Path(env.str("SLOTS_DIR", default=str(BASE_DIR / "var" / "slots")))
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
DEFAULT_COUNTRY = env.str("DEFAULT_COUNTRY", default="PT")

# Sessions live in a signed cookie: no store to lose, nothing to read.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "snap.error_pages.csrf_failure"
LANGUAGE_COOKIE_NAME = "__Host-language" if HTTPS else "language"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# Accounts that register with one email address, in whatever way it is written.
ACCOUNTS_PER_EMAIL = env.int("ACCOUNTS_PER_EMAIL", default=3)

# One-time codes: seconds they live, and wrong tries they allow.
LOGIN_CODE_AGE = env.int("LOGIN_CODE_AGE", default=600)
# Seconds that a front end is told to wait before it offers another code.
LOGIN_CODE_RESEND = env.int("LOGIN_CODE_RESEND", default=30)
LOGIN_CODE_TRIES = env.int("LOGIN_CODE_TRIES", default=5)
# Codes sent in ten minutes: for one account to one browser; for one account to all browsers that
# it has never used, together, and so many more when a challenge is solved for each; and to one
# network, beyond which each needs a solved challenge.
LOGIN_CODES_PER_BROWSER = env.int("LOGIN_CODES_PER_BROWSER", default=5)
LOGIN_CODES_PER_PHONE = env.int("LOGIN_CODES_PER_PHONE", default=5)
LOGIN_CODES_SOLVED = env.int("LOGIN_CODES_SOLVED", default=5)
LOGIN_CODES_PER_ADDRESS = env.int("LOGIN_CODES_PER_ADDRESS", default=50)
# The same for all phones that begin alike, by so many digits, as numbers made for pumping do: twice
# as many with challenges. And for everybody together, which no challenge lifts.
LOGIN_CODES_PREFIX_DIGITS = env.int("LOGIN_CODES_PREFIX_DIGITS", default=6)
LOGIN_CODES_PER_PREFIX = env.int("LOGIN_CODES_PER_PREFIX", default=1_000)
LOGIN_CODES_IN_ALL = env.int("LOGIN_CODES_IN_ALL", default=10_000)

# What sends codes by SMS: the path of an object with accounts.sms.Channel's method, like
# accounts.sms.console in development. Empty: codes go by email only.
SMS_BACKEND = env.str("SMS_BACKEND", default="")
SMS_TIMEOUT = env.float("SMS_TIMEOUT", default=2.0)

# Claims on a phone: undecided ones on one account, in all and from one network; emails a day that
# tell its holder of them; and seconds without an answer after which an account that is unproven and
# has no place on a list gives way.
CLAIMS_PER_ACCOUNT = env.int("CLAIMS_PER_ACCOUNT", default=20)
CLAIMS_PER_NETWORK = env.int("CLAIMS_PER_NETWORK", default=2)
CLAIM_EMAILS_A_DAY = env.int("CLAIM_EMAILS_A_DAY", default=3)
CLAIM_ANSWER_SECONDS = env.int("CLAIM_ANSWER_SECONDS", default=24 * 60 * 60)

# Suspicious activity: rows kept for one hour, beyond which only reasons are counted, and days kept.
SUSPICIOUS_ROWS_AN_HOUR = env.int("SUSPICIOUS_ROWS_AN_HOUR", default=1_000)
SUSPICIOUS_DAYS = env.int("SUSPICIOUS_DAYS", default=30)

# Staff -----------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "accounts.backends.CodeBackend",
]

# Whether admin asks for a code of an authenticator app after the password.
STAFF_SECOND_FACTOR = env.bool("STAFF_SECOND_FACTOR", default=HTTPS)
OTP_TOTP_ISSUER = "SNAP"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True

# Seconds after which staff sign in anew: from the password on, and without doing anything.
STAFF_SESSION_AGE = env.int("STAFF_SESSION_AGE", default=12 * 60 * 60)
STAFF_SESSION_IDLE = env.int("STAFF_SESSION_IDLE", default=2 * 60 * 60)

# Wrong passwords for one account from one address, and minutes until it may try again.
AXES_FAILURE_LIMIT = env.int("STAFF_SIGN_IN_TRIES", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("STAFF_SIGN_IN_PAUSE", default=15))
# Wrong passwords for whatever accounts from one address in that time, until it may try again.
STAFF_SIGN_IN_FAILURES = env.int("STAFF_SIGN_IN_FAILURES", default=30)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_HANDLER = "accounts.lockout.StaffSignIns"
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "accounts.lockout.username_of"
AXES_CLIENT_IP_CALLABLE = "snap.addresses.client_address"
AXES_CLIENT_STR_CALLABLE = "accounts.lockout.describe_client"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.render_locked_out"

# Limits ----------------------------------------------------------------------------------------

# Requests a minute from one address; with one phone from one address; from a network that an event
# names as its venue's; and by one browser that has solved a challenge, or has waited instead.
LIMIT_IP = env.int("LIMIT_IP", default=100)
LIMIT_PHONE = env.int("LIMIT_PHONE", default=5)
LIMIT_VENUE = env.int("LIMIT_VENUE", default=6000)
LIMIT_SOLVED = env.int("LIMIT_SOLVED", default=100)
LIMIT_WAITED = env.int("LIMIT_WAITED", default=30)
# Different phones in LIMIT_PHONES_WINDOW seconds, because responses tell which have an account; no
# challenge lifts these. By one browser; from one address, and from a venue's; and of one block of a
# thousand numbers, from one address and from anywhere. A single address cannot use up a block.
LIMIT_PHONES_WINDOW = env.int("LIMIT_PHONES_WINDOW", default=600)
LIMIT_PHONES_BROWSER = env.int("LIMIT_PHONES_BROWSER", default=5)
LIMIT_PHONES_ADDRESS = env.int("LIMIT_PHONES_ADDRESS", default=1500)
LIMIT_PHONES_VENUE = env.int("LIMIT_PHONES_VENUE", default=15_000)
LIMIT_PHONES_NEAR = env.int("LIMIT_PHONES_NEAR", default=20)
LIMIT_PHONES_BLOCK = env.int("LIMIT_PHONES_BLOCK", default=60)
# Images a minute by one account.
LIMIT_IMAGES = env.int("LIMIT_IMAGES", default=10)
# Accepted requests for a place a minute, for one event and for all: more than that stand in line.
LIMIT_EVENT = env.int("LIMIT_EVENT", default=200)
LIMIT_SYSTEM = env.int("LIMIT_SYSTEM", default=1000)
# Failures a minute that a route forgives one account, or one phone at an address, or one browser;
# and what does not exist, on all routes together ("promo_pages").
LIMIT_ROUTES = {
    "phone_check": env.int("LIMIT_PHONE_CHECK", default=10),
    "guest_create": env.int("LIMIT_GUEST_CREATE", default=3),
    "promo_pages": env.int("LIMIT_PROMO_PAGES", default=30),
    "emails": env.int("LIMIT_EMAILS", default=5),
}
# Requests a minute: of one account in admin; to sign in there, from one address; for /readyz and
# /metrics, from one address; and for websockets, by one account and from one address.
LIMIT_STAFF = env.int("LIMIT_STAFF", default=300)
LIMIT_SIGN_IN = env.int("LIMIT_SIGN_IN", default=20)
LIMIT_MONITORING = env.int("LIMIT_MONITORING", default=3000)
LIMIT_SOCKETS = env.int("LIMIT_SOCKETS", default=60)
LIMIT_SOCKETS_ADDRESS = env.int("LIMIT_SOCKETS_ADDRESS", default=6000)
RATELIMIT_USE_CACHE = "limits"
RATELIMIT_FAIL_OPEN = True

# The challenge: rounds in each of the 256 tries it takes on average, seconds in which it must be
# solved, and seconds for which the browser then has a budget of its own.
CHALLENGE_COST = env.int("CHALLENGE_COST", default=3000)
CHALLENGE_AGE = env.int("CHALLENGE_AGE", default=300)
CHALLENGE_PASS_AGE = env.int("CHALLENGE_PASS_AGE", default=600)
# Challenges and answers to them a minute: of one browser, and of all browsers without an id behind
# one address. Without JavaScript one waits instead, so many seconds, and begins so often a minute:
# in one browser, and behind one address.
LIMIT_CHALLENGES_BROWSER = env.int("LIMIT_CHALLENGES_BROWSER", default=60)
LIMIT_CHALLENGES = env.int("LIMIT_CHALLENGES", default=3000)
CHALLENGE_WAIT = env.int("CHALLENGE_WAIT", default=25)
LIMIT_WAITING_BROWSER = env.int("LIMIT_WAITING_BROWSER", default=2)
LIMIT_WAITING = env.int("LIMIT_WAITING", default=20)

# JSON API --------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["promo.api.authentication.Session"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["promo.api.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "promo.api.errors.handle_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SNAP",
    "DESCRIPTION": "From a promo link to a QR code for the door. Sign in, ask, follow the ticket.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "defaultModelsExpandDepth": 0},
}

# Guest lists -----------------------------------------------------------------------------------

# Threads of a web process that may wait for a guest, in the API's `create` and for browsers without
# JavaScript; who comes then gets the ticket at once. And the seconds that they wait.
CREATE_WAITERS = env.int("CREATE_WAITERS", default=3)
CREATE_WAIT_SECONDS = env.float("CREATE_WAIT_SECONDS", default=3.0)
# Rows one worker turns into guests in one transaction.
GUEST_BATCH_SIZE = env.int("GUEST_BATCH_SIZE", default=50)
# Seconds after which a worker looks for more, once it has found less than that.
GUEST_BATCH_PAUSE = env.float("GUEST_BATCH_PAUSE", default=0.1)
GUEST_REQUEST_ATTEMPTS = 3
GUEST_REQUEST_BACKOFF = 2  # seconds, doubled by each attempt
SWEEP_INTERVAL = env.float("SWEEP_INTERVAL", default=1.0)
# Seconds that workers have to take up what is due before the sweeper does it itself. Emails wait
# while people come in a rush; nobody stands at a door for them.
SWEEP_TAKES_OVER = env.float("SWEEP_TAKES_OVER", default=4.0)
SWEEP_TAKES_OVER_EMAILS = env.float("SWEEP_TAKES_OVER_EMAILS", default=30.0)
# Seconds between two messages of a process that wake a worker: what comes in between is one batch.
WAKE_UP_INTERVAL = env.float("WAKE_UP_INTERVAL", default=0.2)
EMAILS_WAKE_UP_INTERVAL = env.float("EMAILS_WAKE_UP_INTERVAL", default=0.5)

# Seconds for which a process takes an event, and who promotes it, for what they were: what staff
# change shows after that at the latest. Opening and closing times are kept to the second.
LINK_SECONDS = env.float("LINK_SECONDS", default=1.0)

# Requests that are accepted while the database is away; on a disk that outlives the process.
JOURNAL_PATH = Path(
    env.str("JOURNAL_PATH", default=str(BASE_DIR / "var" / "journal" / "emergency.sqlite3"))
)
JOURNAL_ATTEMPTS = 10
JOURNAL_BACKOFF = 5  # seconds, doubled by each attempt

# Emails ----------------------------------------------------------------------------------------

EMAIL_BACKENDS = {
    "console": "notifications.inbox.InboxBackend",
    "smtp": "django.core.mail.backends.smtp.EmailBackend",
    "resend": "notifications.providers.ResendBackend",
    "sendgrid": "anymail.backends.sendgrid.EmailBackend",
    "mailgun": "anymail.backends.mailgun.EmailBackend",
}
EMAIL_PROVIDER = env.str("EMAIL_PROVIDER", default="smtp")
EMAIL_BACKEND = EMAIL_BACKENDS[EMAIL_PROVIDER]
EMAIL_HOST = env.str("EMAIL_HOST", default="localhost")
EMAIL_PORT = env.int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 5
# `name:password`, random both, with which the provider reports what became of emails, to
# https://name:password@<host>/webhooks/mail/<provider>/. Without one nobody can report.
MAIL_WEBHOOK_SECRET = env.str("MAIL_WEBHOOK_SECRET", default="")
ANYMAIL = {
    "REQUESTS_TIMEOUT": EMAIL_TIMEOUT,
    "WEBHOOK_SECRET": MAIL_WEBHOOK_SECRET,
    "RESEND_API_KEY": env.str("RESEND_API_KEY", default=""),
    "SENDGRID_API_KEY": env.str("SENDGRID_API_KEY", default=""),
    "MAILGUN_API_KEY": env.str("MAILGUN_API_KEY", default=""),
    "MAILGUN_SENDER_DOMAIN": env.str("MAILGUN_SENDER_DOMAIN", default=""),
    "MAILGUN_WEBHOOK_SIGNING_KEY": env.str("MAILGUN_WEBHOOK_SIGNING_KEY", default=""),
    "MAILGUN_API_URL": env.str("MAILGUN_API_URL", default="https://api.eu.mailgun.net/v3"),
}
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="SNAP <no-reply@snap.example>")
# A sender of its own for a kind of email, as JSON: {"login_code": "SNAP <codes@snap.example>"}.
EMAIL_SENDERS = env.json("EMAIL_SENDERS", default={})
# Emails an hour to one recipient that strangers can cause, such as a welcome. Twice as many when a
# challenge is solved for each beyond them.
EMAILS_PER_RECIPIENT = env.int("EMAILS_PER_RECIPIENT", default=10)
EMAIL_ATTEMPTS = 3
EMAIL_BACKOFF = 5  # seconds, doubled by each attempt
# Seconds a worker has for one batch of emails.
EMAIL_LEASE = env.int("EMAIL_LEASE", default=60)
# Where the console provider keeps what it "sent", and whether /inbox/ shows it.
INBOX_DIR = Path(env.str("INBOX_DIR", default=str(BASE_DIR / "var" / "inbox")))
INBOX_PAGE = EMAIL_PROVIDER == "console"
# What other machines send once to read it, as `/inbox/?key=…`. Empty: they cannot.
INBOX_TOKEN = env.str("INBOX_TOKEN", default="")

# Languages and time ----------------------------------------------------------------------------

LANGUAGE_CODE = "pt-pt"
LANGUAGES = [("pt-pt", _("Portuguese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "snap" / "locale"]
TIME_ZONE = "Europe/Lisbon"
USE_TZ = True

# Files -----------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "var" / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_URL = "/media/"
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media")))
# Nobody asks for a file by a name that could change: half of what is to be compressed.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "snap.static.StaticStorage"},
}

# Browsers --------------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Requests that one web process works on at a time; its server's other threads wait for bodies.
WEB_THREADS = env.int("WEB_THREADS", default=8)
# Seconds that a request waits for its turn before it is told to come again: nobody waits for 6.
WEB_PATIENCE = env.float("WEB_PATIENCE", default=3.0)

# Bytes of a form or JSON body; of a body with a file (staff's posters); fields and files in it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 250_000
BODY_MAX_SIZE = 8_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 5
# Posters: bytes, and pixels before they are made smaller.
POSTER_MAX_SIZE = 6_000_000
POSTER_MAX_PIXELS = 30_000_000

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "manifest-src": [SELF],
        "connect-src": [SELF, *([f"ws://*:{WEBSOCKET_PORT}"] if WEBSOCKET_PORT else [])],
        "object-src": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}

# Seeing what goes on -----------------------------------------------------------------------------

# /metrics asks for this as a bearer token. In development there may be none: this machine itself
# may read then. Behind a proxy every visitor can look like this machine.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
if not METRICS_TOKEN and (HTTPS or TRUSTED_PROXIES):
    raise ImproperlyConfigured(
        "Set METRICS_TOKEN: a random text that Prometheus sends for /metrics."
    )
PROMETHEUS_EXPORT_MIGRATIONS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"()": "snap.observability.logs.PlainFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        # The servers' own lines too go through the formatter that hides tokens.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.error": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": True},
        "_granian": {"handlers": [], "propagate": True},
        "granian.access": {"handlers": [], "propagate": True},
        # A line for each wake-up says nothing; what was done is logged by whoever did it.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # Each wrong password is a warning; who got in, staff sign-in says itself.
        "axes": {"level": "WARNING"},
    },
}

SILENCED_SYSTEM_CHECKS = [
    "auth.E003",
    "auth.W004",  # phones are unique where they are not null; phones are removed on request
]
