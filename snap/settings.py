"""All settings, read top to bottom, from the environment.

`make run` writes what it generated (secret key, addresses of the servers it started) to `var/env`.
Real environment variables take precedence over that file. Production sets the variables itself. A
variable without a default is required. A value that cannot work ends the process with one sentence.

The comment above each `env` call is its documentation: `make settings` writes docs/settings.md from
it, and a test fails when a call has no comment of its own or the page is out of date.
"""

import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _
from phonenumbers import SUPPORTED_REGIONS
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from snap.environment.emails import check_email_settings
from snap.environment.file import add_file
from snap.environment.foreign import remove_foreign_variables, remove_security_of_libpq
from snap.environment.processes import check_process_variables
from snap.environment.redis import celery_broker
from snap.environment.values import Environment
from snap.resilience.connections import BoundedConnection

BASE_DIR = Path(__file__).resolve().parent.parent

remove_foreign_variables(os.environ)
add_file(BASE_DIR / "var" / "env", os.environ)
env = Environment(os.environ, BASE_DIR)
check_process_variables(os.environ)

# Addresses -------------------------------------------------------------------------------------

# Secret with which sessions, signed forms, links in emails and one-time codes are made: at least 50
# random characters.
SECRET_KEY = env.secret("SECRET_KEY", least=50)
# Earlier secret keys. Sessions that they signed stay valid. Keys that have a comma are written as a
# JSON list of texts.
SECRET_KEY_FALLBACKS = env.secrets("SECRET_KEY_FALLBACKS", default=[])
# Whether Django shows details of errors to visitors. For development only.
DEBUG = env.bool("DEBUG", default=False)

# Address at which guests reach SNAP, such as https://snap.example: it has no path. QR codes, links
# in emails and allowed origins are made from it.
PUBLIC_URL = env.public_url("PUBLIC_URL")
HTTPS = PUBLIC_URL.startswith("https://")
PUBLIC_HOST = re.sub(r":[0-9]+$", "", urlsplit(PUBLIC_URL).netloc)
# Host names that SNAP serves, besides the host of PUBLIC_URL.
ALLOWED_HOSTS = [PUBLIC_HOST, *env.hosts("ALLOWED_HOSTS", default=[])]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# Port at which browsers reach the `ws` process. 0: the same address as the pages, because a proxy
# forwards /ws/ to it.
WEBSOCKET_PORT = env.port("WEBSOCKET_PORT", default=0, least=0)
# Origins whose pages may open a websocket, besides PUBLIC_URL. `make run` adds every name of this
# machine.
WEBSOCKET_ORIGINS = [PUBLIC_URL, *env.origins("WEBSOCKET_ORIGINS", default=[])]

# Number of proxies in front of SNAP that each add the address of their client to X-Forwarded-For.
# 0: the header is not read.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0, least=0, most=100)
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
    "snap.static.SnapStaticFilesConfig",
    "django.contrib.postgres",
    "django.forms",
    "anymail",
    "axes",
    "channels",
    "csp",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "template_partials",
    "waffle",
]

MIDDLEWARE = [
    "snap.observability.request_log.log_requests",
    "snap.observability.request_metrics.count_requests",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "snap.middleware.add_browser_headers",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "snap.observability.request_traces.TraceRequests",
    "snap.middleware.refuse_large_bodies",
    "snap.middleware.refuse_null_bytes",
    "snap.middleware.refuse_charsets",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "snap.middleware.LanguageMiddleware",
    "snap.middleware.refuse_overloaded",
    "promo.limits.middleware.LimitsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.sessions.AccountMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "snap.middleware.DatabaseUnavailableMiddleware",
    "axes.middleware.AxesMiddleware",
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
            "builtins": [
                "template_partials.templatetags.partials",
                "snap.templatetags.pages",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# PostgreSQL ------------------------------------------------------------------------------------

# Milliseconds after which PostgreSQL itself ends a statement.
DATABASE_STATEMENT_TIMEOUT = env.int("DATABASE_STATEMENT_TIMEOUT", default=5_000)

# Seconds that any process waits for one response of PostgreSQL before it counts as away.
DATABASE_SILENCE_TIMEOUT = env.float("DATABASE_SILENCE_TIMEOUT", default=8.0)
# Seconds that one page waits for PostgreSQL in all. Then it returns 503.
DATABASE_PAGE_SECONDS = env.float("DATABASE_PAGE_SECONDS", default=5.0)
# Seconds that a page or call with an emergency form waits for PostgreSQL in all. Then it goes on at
# level 3.
DATABASE_REQUEST_SECONDS = env.float("DATABASE_REQUEST_SECONDS", default=2.5)

# Failures in a row that open a circuit breaker.
BREAKER_THRESHOLD = env.int("BREAKER_THRESHOLD", default=5)
# Seconds after which an open circuit breaker lets one call try again. Where a probe can ask the
# server, the breaker closes as soon as the probe gets a response.
BREAKER_PAUSE = env.float("BREAKER_PAUSE", default=60.0)

DATABASES = {
    "default": {
        # Address of PostgreSQL: postgres://user:password@host:port/name. A `?` adds parameters of
        # libpq, such as `?sslmode=verify-full&sslrootcert=system`.
        **env.db_url("DATABASE_URL"),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        # Safe behind PgBouncer in transaction mode.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
if "sslmode" in DATABASES["default"]["OPTIONS"]:
    remove_security_of_libpq(os.environ)
DATABASES["default"]["OPTIONS"] |= {
    "application_name": f"snap-{Path(sys.argv[0]).stem}",
    "connect_timeout": 2,
    "options": (
        f"-c statement_timeout={DATABASE_STATEMENT_TIMEOUT} -c lock_timeout=3000"
        " -c idle_in_transaction_session_timeout=15000"
        f" {DATABASES['default']['OPTIONS'].get('options', '')}"
    ).rstrip(),
    "pool": {
        "connection_class": BoundedConnection,
        "min_size": 0,
        # Connections to PostgreSQL that one process has at most.
        "max_size": env.int("DATABASE_POOL_SIZE", default=8),
        "timeout": 2,
        "max_idle": 30,
        # The pool doubles its pause after each failed try to connect. Without this limit, callers
        # would wait for that pause after an outage.
        "reconnect_timeout": 0.01,
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Redis: four roles, one server by default --------------------------------------------------------

# Address of Redis or Valkey: redis://user:password@host:port/number, rediss:// with TLS, or
# unix:///path?db=number. The number is that of the first of four databases; without it, 0.
REDIS_URL = env.redis_url("REDIS_URL")
# Redis database of the cache. It may evict keys.
CACHE_URL = env.redis_url("CACHE_URL", server=REDIS_URL)
# Redis database of the limits.
LIMITS_URL = env.redis_url("LIMITS_URL", server=REDIS_URL, offset=1)
# Redis database of the channel layer, which pushes to websockets.
CHANNELS_URL = env.redis_url("CHANNELS_URL", server=REDIS_URL, offset=2)
# Redis database of Celery's messages. It must not evict keys.
BROKER_URL = env.redis_url("BROKER_URL", server=REDIS_URL, offset=3)

# Seconds that a web process waits for Redis before it goes on without it.
REDIS_TIMEOUT = 0.5

CACHES = {
    # The backend of django-redis, with counts of what it is asked for and of what fails.
    "default": {
        "BACKEND": "django_prometheus.cache.backends.redis.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "snap",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT,
            "IGNORE_EXCEPTIONS": True,
        },
    },
    # django-ratelimit counts failures here. While Redis is away it lets every request pass.
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

# By default the layer does not retry, so its first command after a restart of Redis would fail. One
# retry is not enough: each coroutine that finds the connection cut closes it for the others too.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "snap.channel_layer.GroupChannelLayer",
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

CELERY_BROKER_URL = celery_broker(BROKER_URL)
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
    "notifications.tasks.send_codes": {"queue": "codes"},
    "notifications.tasks.*": {"queue": "emails"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 5
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_DB_REUSE_MAX = sys.maxsize  # tasks: snap.celery gives connections back

# Switches ----------------------------------------------------------------------------------------

# Only switches are shown in admin (snap/switch_admin.py), without waffle's flags and samples.
WAFFLE_ENABLE_ADMIN_PAGES = False

# Accounts --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["accounts.hashers.BoundedPasswordHasher"]
# Passwords that the processes of one host hash at the same time, at most. 0: half as many as the
# host has cores.
HASH_SLOTS = env.int("HASH_SLOTS", default=0, least=0)
# Folder for the lock files by which the processes of one host limit their expensive work
# (`snap/resilience/slots.py`).
SLOTS_DIR = env.folder("SLOTS_DIR", default=BASE_DIR / "var" / "slots")
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
# Country of a phone that is typed without a country code: ISO 3166-1, two letters.
DEFAULT_COUNTRY = env.choice("DEFAULT_COUNTRY", SUPPORTED_REGIONS, default="PT")
# Countries that the phone form lists first, after DEFAULT_COUNTRY: ISO 3166-1 codes.
LIKELY_COUNTRIES = env.choices(
    "LIKELY_COUNTRIES",
    SUPPORTED_REGIONS,
    default=["PT", "ES", "FR", "GB", "BR", "DE", "CH", "LU", "AO", "CV"],
)

# Sessions are signed cookies: they need no store, and can be read while every server is away.
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

# Accounts that can have the same email. Spellings that reach one mailbox count as the same email.
ACCOUNTS_PER_EMAIL = env.int("ACCOUNTS_PER_EMAIL", default=3)

# Undecided claims that one account can have.
CLAIMS_PER_ACCOUNT = env.int("CLAIMS_PER_ACCOUNT", default=20)
# Undecided claims that one account can have from one network.
CLAIMS_PER_NETWORK = env.int("CLAIMS_PER_NETWORK", default=2)
# Emails a day that tell the holder of an account about claims.
CLAIM_EMAILS_A_DAY = env.int("CLAIM_EMAILS_A_DAY", default=3)
# Times a day that the holder of an account can change its email. Each sends emails to an address
# that was only typed.
EMAIL_CHANGES_A_DAY = env.int("EMAIL_CHANGES_A_DAY", default=5)
# Seconds that a holder has to answer a claim. After that a claim on an account that is unproven and
# has no place on a list is granted.
CLAIM_ANSWER_SECONDS = env.int("CLAIM_ANSWER_SECONDS", default=24 * 60 * 60)

# Rows of suspicious activity that are kept of one hour. Beyond them only the reasons are counted.
SUSPICIOUS_ROWS_AN_HOUR = env.int("SUSPICIOUS_ROWS_AN_HOUR", default=1_000)
# Days for which suspicious activity is kept.
SUSPICIOUS_DAYS = env.int("SUSPICIOUS_DAYS", default=30, most=36_500)

# One-time codes --------------------------------------------------------------------------------

# Seconds for which a one-time code is valid.
LOGIN_CODE_AGE = env.int("LOGIN_CODE_AGE", default=600)
# Seconds that the API names as `retryAfter` when it has sent a code.
LOGIN_CODE_RESEND = env.int("LOGIN_CODE_RESEND", default=30)
# Wrong tries after which a one-time code is void.
LOGIN_CODE_TRIES = env.int("LOGIN_CODE_TRIES", default=5)
# Codes in ten minutes for one account to one browser.
LOGIN_CODES_PER_BROWSER = env.int("LOGIN_CODES_PER_BROWSER", default=5)
# Codes in ten minutes for one account to all browsers together that it has never used. Beyond them
# each code needs a solved challenge.
LOGIN_CODES_PER_PHONE = env.int("LOGIN_CODES_PER_PHONE", default=5)
# Codes in ten minutes that solved challenges add to LOGIN_CODES_PER_PHONE.
LOGIN_CODES_SOLVED = env.int("LOGIN_CODES_SOLVED", default=5)
# Codes in ten minutes to one network. Beyond them each code needs a solved challenge.
LOGIN_CODES_PER_ADDRESS = env.int("LOGIN_CODES_PER_ADDRESS", default=50)
# Digits, country code included, by which phones count as alike for LOGIN_CODES_PER_PREFIX. Numbers
# that are rented to earn from text messages begin alike.
LOGIN_CODES_PREFIX_DIGITS = env.int("LOGIN_CODES_PREFIX_DIGITS", default=6, most=15)
# Codes in ten minutes to phones that begin alike. Solved challenges allow twice as many.
LOGIN_CODES_PER_PREFIX = env.int("LOGIN_CODES_PER_PREFIX", default=1_000)
# Codes in ten minutes to all phones together. No challenge lifts this limit.
LOGIN_CODES_IN_ALL = env.int("LOGIN_CODES_IN_ALL", default=10_000)

# Dotted path of the object that sends codes by SMS, such as `accounts.sms.console` in development.
# The object has a method `send(phone, text)`, which takes two seconds at most. Empty: codes go by
# email only.
SMS_BACKEND = env.dotted_path("SMS_BACKEND", default="")

# Staff -----------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "accounts.backends.CodeBackend",
]

# Whether admin asks for a code of an authenticator app after the password. HTTPS is true when
# PUBLIC_URL begins with https://.
STAFF_SECOND_FACTOR = env.bool("STAFF_SECOND_FACTOR", default=HTTPS)
OTP_TOTP_ISSUER = "SNAP"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True

# Rows that admin counts in a list. Beyond them it shows that there are more.
ADMIN_MAX_COUNT = 10_000

# Seconds after the password at which a session of staff ends.
STAFF_SESSION_AGE = env.int("STAFF_SESSION_AGE", default=12 * 60 * 60)
# Seconds without a request after which a session of staff ends.
STAFF_SESSION_IDLE = env.int("STAFF_SESSION_IDLE", default=2 * 60 * 60)

# Wrong passwords for one account from one address before that address is locked out of it.
AXES_FAILURE_LIMIT = env.int("STAFF_SIGN_IN_TRIES", default=5)
# Minutes for which such a lockout lasts.
AXES_COOLOFF_TIME = timedelta(minutes=env.int("STAFF_SIGN_IN_PAUSE", default=15, most=525_600))
# Wrong passwords for any accounts from one address in STAFF_SIGN_IN_PAUSE minutes before that
# address is locked out of all accounts.
STAFF_SIGN_IN_FAILURES = env.int("STAFF_SIGN_IN_FAILURES", default=30)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_HANDLER = "accounts.lockout.StaffAxesHandler"
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "accounts.lockout.username_hash"
AXES_CLIENT_IP_CALLABLE = "snap.addresses.client_address"
AXES_CLIENT_STR_CALLABLE = "accounts.lockout.describe_client"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.render_locked_out"

# Limits ----------------------------------------------------------------------------------------

# Requests a minute from one address. A solved challenge lifts this limit.
LIMIT_IP = env.int("LIMIT_IP", default=100)
# Requests a minute about one phone from one address. A solved challenge lifts this limit.
LIMIT_PHONE = env.int("LIMIT_PHONE", default=5)
# Requests a minute from one address in a network that an event names as its venue's.
LIMIT_VENUE = env.int("LIMIT_VENUE", default=6000)
# Requests a minute by a browser that has solved a challenge.
LIMIT_SOLVED = env.int("LIMIT_SOLVED", default=100)
# Requests a minute by a browser that has waited instead of solving a challenge.
LIMIT_WAITED = env.int("LIMIT_WAITED", default=30)
# Seconds for which the limits of different phones count. Responses tell which phones have an
# account, so no challenge lifts these limits.
LIMIT_PHONES_WINDOW = env.int("LIMIT_PHONES_WINDOW", default=600)
# Different phones by one browser.
LIMIT_PHONES_BROWSER = env.int("LIMIT_PHONES_BROWSER", default=5)
# Different phones from one address.
LIMIT_PHONES_ADDRESS = env.int("LIMIT_PHONES_ADDRESS", default=1500)
# Different phones from one address of a venue.
LIMIT_PHONES_VENUE = env.int("LIMIT_PHONES_VENUE", default=15_000)
# Different phones of one block of a thousand numbers from one address. It is lower than
# LIMIT_PHONES_BLOCK, so one address cannot use up a block.
LIMIT_PHONES_NEAR = env.int("LIMIT_PHONES_NEAR", default=20)
# Different phones of one block of a thousand numbers from all addresses together.
LIMIT_PHONES_BLOCK = env.int("LIMIT_PHONES_BLOCK", default=60)
# Posters a minute that one account of staff may upload.
LIMIT_IMAGES = env.int("LIMIT_IMAGES", default=10)
# Requests for a place a minute that are accepted at once for one event. Later ones get a place in
# line. An event can have a limit of its own.
LIMIT_EVENT = env.int("LIMIT_EVENT", default=200)
# Requests for a place a minute that are accepted at once for all events together. Later ones get a
# place in line.
LIMIT_SYSTEM = env.int("LIMIT_SYSTEM", default=1000)
# Failures a minute on a group of routes. They count for the account that is signed in, else for the
# phone at this address, else for the browser.
LIMIT_ROUTES = {
    # Failures a minute on phone checks.
    "phone_check": env.int("LIMIT_PHONE_CHECK", default=10),
    # Failures a minute on requests for a place.
    "guest_create": env.int("LIMIT_GUEST_CREATE", default=3),
    # Requests a minute for pages and calls that do not exist (404 and 405), on all routes together.
    "promo_pages": env.int("LIMIT_PROMO_PAGES", default=30),
    # Failures a minute on routes that send an email.
    "emails": env.int("LIMIT_EMAILS", default=5),
}
# Requests a minute by one account in admin.
LIMIT_STAFF = env.int("LIMIT_STAFF", default=300)
# Tries a minute to sign in to admin, from one address or by one browser of staff.
LIMIT_SIGN_IN = env.int("LIMIT_SIGN_IN", default=20)
# Requests a minute for /readyz and /metrics from one address.
LIMIT_MONITORING = env.int("LIMIT_MONITORING", default=3000)
# Websockets a minute that one account may open.
LIMIT_SOCKETS = env.int("LIMIT_SOCKETS", default=60)
# Websockets a minute that one address may open.
LIMIT_SOCKETS_ADDRESS = env.int("LIMIT_SOCKETS_ADDRESS", default=6000)
RATELIMIT_USE_CACHE = "limits"
RATELIMIT_FAIL_OPEN = True

# Rounds of PBKDF2 in each try at a challenge. A challenge takes 256 tries on average.
CHALLENGE_COST = env.int("CHALLENGE_COST", default=3000)
# Seconds in which a challenge must be solved.
CHALLENGE_AGE = env.int("CHALLENGE_AGE", default=300)
# Seconds for which a browser that has solved a challenge, or waited, has a budget of its own.
CHALLENGE_PASS_AGE = env.int("CHALLENGE_PASS_AGE", default=600)
# Requests a minute for challenges and their solutions by one browser.
LIMIT_CHALLENGES_BROWSER = env.int("LIMIT_CHALLENGES_BROWSER", default=60)
# Requests a minute for challenges and their solutions from one address, by browsers without an id.
LIMIT_CHALLENGES = env.int("LIMIT_CHALLENGES", default=3000)
# Seconds that a browser without JavaScript waits instead of solving a challenge.
CHALLENGE_WAIT = env.int("CHALLENGE_WAIT", default=25)
# Waits a minute that one browser may begin.
LIMIT_WAITING_BROWSER = env.int("LIMIT_WAITING_BROWSER", default=2)
# Waits a minute that one address may begin.
LIMIT_WAITING = env.int("LIMIT_WAITING", default=20)

# JSON API --------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["promo.api.authentication.SessionCookieAuthentication"],
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
# JavaScript. While all of them wait, later requests get a ticket at once.
CREATE_WAITERS = env.int("CREATE_WAITERS", default=3)
# Seconds that such a thread waits at most.
CREATE_WAIT_SECONDS = env.float("CREATE_WAIT_SECONDS", default=3.0)
# Requests that one worker ends in one transaction.
GUEST_BATCH_SIZE = env.int("GUEST_BATCH_SIZE", default=50)
# Seconds that a worker pauses after a batch that was not full, so that the next batch is larger.
GUEST_BATCH_PAUSE = env.float("GUEST_BATCH_PAUSE", default=0.1)
GUEST_REQUEST_ATTEMPTS = 3
GUEST_REQUEST_BACKOFF = 2  # seconds, doubled by each attempt
# Seconds between two looks of the sweeper for overdue work.
SWEEP_INTERVAL = env.float("SWEEP_INTERVAL", default=1.0)
# Seconds in which a guest who gives a place back can undo it. The place is kept meanwhile.
GIVE_BACK_SECONDS = env.float("GIVE_BACK_SECONDS", default=60.0)
# Seconds without another change of an event after which its guests get an email about it. A mistake
# that is corrected meanwhile reaches nobody.
EVENT_NEWS_DELAY = env.float("EVENT_NEWS_DELAY", default=120.0)
# The same for an event that was cancelled.
EVENT_CANCELLED_DELAY = env.float("EVENT_CANCELLED_DELAY", default=20.0)
# Seconds that workers have to take up due requests before the sweeper ends them itself.
SWEEP_TAKES_OVER = env.float("SWEEP_TAKES_OVER", default=4.0)
# Seconds that workers have to take up due emails before the sweeper sends them itself. Emails may
# wait for longer than requests.
SWEEP_TAKES_OVER_EMAILS = env.float("SWEEP_TAKES_OVER_EMAILS", default=30.0)
# Guests of a message to a list whose emails one transaction queues.
LIST_MESSAGE_BATCH = env.int("LIST_MESSAGE_BATCH", default=500)
# Emails of messages to lists that may wait to be sent. While so many wait, no more are queued.
LIST_MESSAGE_WAITING = env.int("LIST_MESSAGE_WAITING", default=1_000)
# Seconds between two messages of a process that wake a worker for requests. Requests that come in
# between are one batch.
WAKE_UP_INTERVAL = env.float("WAKE_UP_INTERVAL", default=0.2)
# Seconds between two messages of a process that wake a worker for emails.
EMAILS_WAKE_UP_INTERVAL = env.float("EMAILS_WAKE_UP_INTERVAL", default=0.5)

# Seconds for which a process caches an event and its promoters. A change by staff shows after that
# at the latest. Opening and closing times hold to the second, and a guest is created only after the
# event was read again under its row lock.
LINK_SECONDS = env.float("LINK_SECONDS", default=1.0)

# File of the emergency journal, which keeps requests that are accepted while the database is away.
# It must be on a disk that outlives the process. The mirror of places and the kept outcomes of
# emails are stored in the same folder.
JOURNAL_PATH = env.file("JOURNAL_PATH", default=BASE_DIR / "var" / "journal" / "emergency.sqlite3")
JOURNAL_ATTEMPTS = 10
JOURNAL_BACKOFF = 5  # seconds, doubled by each attempt

# Emails ----------------------------------------------------------------------------------------

EMAIL_BACKENDS = {
    "console": "notifications.inbox.InboxBackend",
    "smtp": "notifications.smtp.SMTPBackend",
    "resend": "notifications.backends.ResendBackend",
    "sendgrid": "notifications.backends.SendGridBackend",
    "mailgun": "notifications.backends.MailgunBackend",
}
SENDGRID_URLS = {"global": "https://api.sendgrid.com/v3", "eu": "https://api.eu.sendgrid.com/v3"}
MAILGUN_URLS = {"eu": "https://api.eu.mailgun.net/v3", "us": "https://api.mailgun.net/v3"}
# What sends emails: `smtp`, `resend`, `sendgrid`, `mailgun`, or `console`, which keeps emails as
# files for development.
EMAIL_PROVIDER = env.choice("EMAIL_PROVIDER", EMAIL_BACKENDS, default="smtp")
EMAIL_BACKEND = EMAIL_BACKENDS[EMAIL_PROVIDER]
# A second provider, which sends emails while EMAIL_PROVIDER is unavailable. It is another one, or
# `smtp` with a mail server of its own. Empty: emails wait for EMAIL_PROVIDER.
EMAIL_FALLBACK_PROVIDER = env.choice("EMAIL_FALLBACK_PROVIDER", EMAIL_BACKENDS, default="")
EMAIL_FALLBACK_BACKEND = EMAIL_BACKENDS.get(EMAIL_FALLBACK_PROVIDER, "")
# Host of the mail server, for `smtp`.
EMAIL_HOST = env.host("EMAIL_HOST", default="localhost")
# Port of the mail server, for `smtp`. Most servers take emails at 587, with EMAIL_USE_TLS. It
# cannot be 465.
EMAIL_PORT = env.port("EMAIL_PORT", default=25)
# User name at the mail server, for `smtp`. Empty: SNAP does not sign in there.
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
# Password at the mail server, for `smtp`.
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD", default="")
# Whether the connection to the mail server is encrypted by STARTTLS, for `smtp`.
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
# Host of the fallback's mail server. Required if EMAIL_FALLBACK_PROVIDER is `smtp`.
EMAIL_FALLBACK_HOST = env.host("EMAIL_FALLBACK_HOST", default="localhost")
# Port of the fallback's mail server.
EMAIL_FALLBACK_PORT = env.port("EMAIL_FALLBACK_PORT", default=25)
# User name at the fallback's mail server. Empty: SNAP does not sign in there.
EMAIL_FALLBACK_HOST_USER = env.str("EMAIL_FALLBACK_HOST_USER", default="")
# Password at the fallback's mail server.
EMAIL_FALLBACK_HOST_PASSWORD = env.secret("EMAIL_FALLBACK_HOST_PASSWORD", default="")
# Whether the connection to the fallback's mail server is encrypted by STARTTLS.
EMAIL_FALLBACK_USE_TLS = env.bool("EMAIL_FALLBACK_USE_TLS", default=False)
EMAIL_TIMEOUT = 5
# Seconds that an API has to respond to a request. Without a response the fate of the email is open.
EMAIL_RESPONSE_TIMEOUT = 20
# Emails that a process hands over at once, each on a connection of its own. Codes have eight more.
EMAIL_CONNECTIONS = env.int("EMAIL_CONNECTIONS", default=16, most=200)
# Emails a second that a process hands to one provider, for providers that limit them. Codes do not
# wait. 0: as many as the connections allow.
EMAIL_PER_SECOND = env.float("EMAIL_PER_SECOND", default=0.0, least=0)
# Seconds without a report after which an email is sent again whose response was lost. Providers
# with idempotency keys (`resend`) are asked again at once.
EMAIL_UNSURE_SECONDS = env.float("EMAIL_UNSURE_SECONDS", default=600.0)
# Whether mail providers report when an email is opened, by an image in it. It tells them when and
# where people read their emails. Clicks are never reported.
EMAIL_OPEN_TRACKING = env.bool("EMAIL_OPEN_TRACKING", default=False)
# Random `name:password` with which the mail provider reports what became of emails, at
# `https://name:password@<host>/webhooks/mail/<provider>/`. Empty: that address does not exist.
MAIL_WEBHOOK_SECRET = env.credentials("MAIL_WEBHOOK_SECRET", default="")
# Region of the account, for `sendgrid`: `global` or `eu`.
SENDGRID_REGION = env.choice("SENDGRID_REGION", SENDGRID_URLS, default="global")
# Region of the sending domain, for `mailgun`: `eu` or `us`.
MAILGUN_REGION = env.choice("MAILGUN_REGION", MAILGUN_URLS, default="eu")
# Each email says so to SendGrid and Mailgun, whatever the account's settings are. At Resend these
# are settings of a domain, and both are off unless somebody turns them on.
EMAIL_TRACKING = {"track_clicks": False, "track_opens": EMAIL_OPEN_TRACKING}
ANYMAIL = {
    "SENDGRID_SEND_DEFAULTS": EMAIL_TRACKING,
    "MAILGUN_SEND_DEFAULTS": EMAIL_TRACKING,
    "REQUESTS_TIMEOUT": (EMAIL_TIMEOUT, EMAIL_RESPONSE_TIMEOUT),
    # Key of the API, for `resend`.
    "RESEND_API_KEY": env.secret("RESEND_API_KEY", default=""),
    # Address of the API, for `resend`.
    "RESEND_API_URL": env.url("RESEND_API_URL", default="https://api.resend.com"),
    # Key of the API, for `sendgrid`.
    "SENDGRID_API_KEY": env.secret("SENDGRID_API_KEY", default=""),
    # Address of the API, for `sendgrid`. Empty: the one of SENDGRID_REGION.
    "SENDGRID_API_URL": env.url("SENDGRID_API_URL", default="") or SENDGRID_URLS[SENDGRID_REGION],
    # Key of the API, for `mailgun`.
    "MAILGUN_API_KEY": env.secret("MAILGUN_API_KEY", default=""),
    # Domain from which emails are sent. Required for `mailgun`.
    "MAILGUN_SENDER_DOMAIN": env.domain("MAILGUN_SENDER_DOMAIN", default=""),
    # Key with which reports are signed, for `mailgun`.
    "MAILGUN_WEBHOOK_SIGNING_KEY": env.secret("MAILGUN_WEBHOOK_SIGNING_KEY", default=""),
    # Secret with which reports are signed, for `resend`: it begins with `whsec_`.
    "RESEND_SIGNING_SECRET": env.secret("RESEND_SIGNING_SECRET", default=""),
    # Public key of the signed event webhook, for `sendgrid`.
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": env.secret(
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY", default=""
    ),
    # Address of the API, for `mailgun`. Empty: the one of MAILGUN_REGION.
    "MAILGUN_API_URL": env.url("MAILGUN_API_URL", default="") or MAILGUN_URLS[MAILGUN_REGION],
}
check_email_settings(env, EMAIL_PROVIDER, EMAIL_FALLBACK_PROVIDER, PUBLIC_URL)
# Sender of all emails that EMAIL_SENDERS does not name.
DEFAULT_FROM_EMAIL = env.sender("DEFAULT_FROM_EMAIL", default="SNAP <no-reply@snap.example>")
# Senders by kind of email: `{"login_code": "SNAP <codes@snap.example>"}`.
EMAIL_SENDERS = env.json("EMAIL_SENDERS", default={})
# Address to which replies go, for all kinds of email. Empty: to the sender of the email.
EMAIL_REPLY_TO = env.sender("EMAIL_REPLY_TO", default="")
# Selectors of the senders' DKIM keys, for `manage.py check_email_domain`. Empty: those that the
# mail provider uses. Of two providers it is for the one whose own selectors are not known.
EMAIL_DKIM_SELECTORS = env.labels("EMAIL_DKIM_SELECTORS", default=[])
# Domain to which bounces go, for `manage.py check_email_domain`. Empty: the one that the mail
# provider uses. SendGrid chooses one for each account, such as em1234.snap.example. Of two
# providers it is for the one whose own domain is not known.
EMAIL_BOUNCE_DOMAIN = env.domain("EMAIL_BOUNCE_DOMAIN", default="")
# Address of a mailbox that people read, for requests to unsubscribe that mail programs send by
# email. Empty: the headers of reminders and messages name only the page for that.
EMAIL_UNSUBSCRIBE_ADDRESS = env.sender("EMAIL_UNSUBSCRIBE_ADDRESS", default="")
# Emails an hour to one recipient that strangers can cause, such as a welcome. Solved challenges
# allow twice as many.
EMAILS_PER_RECIPIENT = env.int("EMAILS_PER_RECIPIENT", default=10)
# Emails an hour to one recipient that staff can send again.
RESENDS_PER_RECIPIENT = env.int("RESENDS_PER_RECIPIENT", default=10)
EMAIL_ATTEMPTS = 3
EMAIL_BACKOFF = 5  # seconds, doubled by each attempt
# Seconds for which a batch of emails belongs to the worker that took it.
EMAIL_LEASE = env.int("EMAIL_LEASE", default=60)
# Folder in which the `console` provider keeps emails. /inbox/ shows them.
INBOX_DIR = env.folder("INBOX_DIR", default=BASE_DIR / "var" / "inbox")
INBOX_PAGE = EMAIL_PROVIDER == "console"
# Key with which other machines open /inbox/, once, as `/inbox/?key=…`. Empty: only this machine can
# open it.
INBOX_TOKEN = env.secret("INBOX_TOKEN", default="")

# Languages and time ----------------------------------------------------------------------------

LANGUAGE_CODE = "pt-pt"
LANGUAGES = [("pt-pt", _("Portuguese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "snap" / "locale"]
FORMAT_MODULE_PATH = "snap.formats"
TIME_ZONE = "Europe/Lisbon"
USE_TZ = True

# Privacy ---------------------------------------------------------------------------------------

# Address of the operator's own page about personal data. Empty: /privacy/, which says what SNAP
# stores.
PRIVACY_URL = env.url("PRIVACY_URL", default="")
# Name of whoever is responsible for the data, on that page. Empty: the organiser of the event.
PRIVACY_CONTROLLER = env.str("PRIVACY_CONTROLLER", default="")
# Email to which guests write about their data, on that page. Empty: they are told to ask the
# organiser of the event.
PRIVACY_CONTACT = env.sender("PRIVACY_CONTACT", default="")

# Files -----------------------------------------------------------------------------------------

STATIC_URL = "/static/"
# Folder into which `manage.py collectstatic` copies static files.
STATIC_ROOT = env.folder("STATIC_ROOT", default=BASE_DIR / "var" / "static")
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_URL = "/media/"
# Folder of posters and QR images.
MEDIA_ROOT = env.folder("MEDIA_ROOT", default=BASE_DIR / "var" / "media")
# Pages use the hashed names only. Without the other names there is half as much to compress.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "snap.static.StaticStorage"},
}

# Web processes ---------------------------------------------------------------------------------

# Requests that one web process works on at the same time. The server's other threads read bodies.
WEB_THREADS = env.int("WEB_THREADS", default=8)
# Seconds that a request waits for one of WEB_THREADS before it gets a 503.
WEB_PATIENCE = env.float("WEB_PATIENCE", default=3.0)

# Bytes of a form or of a JSON body.
DATA_UPLOAD_MAX_MEMORY_SIZE = 250_000
# Bytes of a form with files. Only staff send such forms, with posters.
BODY_MAX_SIZE = 8_000_000
# Bytes of a report of a mail provider. SendGrid reports up to 768 KB at once.
REPORT_MAX_SIZE = 2_000_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 5
# Bytes of a poster, and pixels of a poster before it is made smaller.
POSTER_MAX_SIZE = 6_000_000
POSTER_MAX_PIXELS = 30_000_000

# Browsers --------------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

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

# Load monitor and modes -------------------------------------------------------------------------

# Seconds between two readings of the load monitor, and between two of its decisions. 0: nothing is
# measured, and only staff set modes.
MONITOR_SECONDS = env.float("MONITOR_SECONDS", default=10.0, least=0)
# Milliseconds within which 19 of 20 requests must be answered. Above, emergency mode begins.
MONITOR_RESPONSE_MS = env.float("MONITOR_RESPONSE_MS", default=3_000.0)
# Percent of requests that may end with an error (5xx). Above, emergency mode begins.
MONITOR_ERROR_PERCENT = env.float("MONITOR_ERROR_PERCENT", default=5.0)
# Connections to PostgreSQL above which queue mode begins. It also begins above four fifths of
# PostgreSQL's own max_connections.
MONITOR_CONNECTIONS = env.int("MONITOR_CONNECTIONS", default=150)
# Requests in half a minute below which response times and errors decide nothing, and are no problem
# on the dashboard (for errors there: in five minutes): of three requests at night one slow one is
# a third.
MONITOR_LEAST_REQUESTS = env.int("MONITOR_LEAST_REQUESTS", default=50)
# Megabytes of memory above which a process is named in the log.
MEMORY_WARNING_MB = env.int("MEMORY_WARNING_MB", default=500)
# Percent of LIMIT_EVENT and LIMIT_SYSTEM that are accepted at once while a mode is on. Others get a
# place in line.
MODE_ADMISSION_PERCENT = env.int("MODE_ADMISSION_PERCENT", default=50, most=100)
# How many times larger batches of requests are in queue mode, and the pauses in which they collect.
MODE_BATCH_FACTOR = env.int("MODE_BATCH_FACTOR", default=4, most=20)
# Seconds by which emergency mode postpones emails. Codes are never postponed.
MODE_EMAIL_SECONDS = env.float("MODE_EMAIL_SECONDS", default=120.0, least=0)
# The same for reminders and messages to lists.
MODE_BULK_EMAIL_SECONDS = env.float("MODE_BULK_EMAIL_SECONDS", default=1_800.0, least=0)

# Metrics and logs ------------------------------------------------------------------------------

# Random bearer token that Prometheus sends for /metrics. Required when PUBLIC_URL begins with
# https:// or TRUSTED_PROXIES is set. Empty: only this machine can read /metrics.
METRICS_TOKEN = env.secret("METRICS_TOKEN", default="")
if HTTPS or TRUSTED_PROXIES:
    env.require("METRICS_TOKEN", "to a random text that Prometheus sends for /metrics")
# Seconds between two looks of a process at the switches and modes, by one query. Each process
# follows a change after that at the latest. 0: processes ignore both.
CONTROL_REFRESH_SECONDS = env.float("CONTROL_REFRESH_SECONDS", default=0.8, least=0)

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Level from which messages are logged: DEBUG, INFO, WARNING, ERROR or CRITICAL. Those of libraries
# are logged from INFO at the lowest, because they show headers, frames and arguments at DEBUG.
LOG_LEVEL = env.choice("LOG_LEVEL", LOG_LEVELS, default="INFO")
LIBRARIES_LOG_LEVEL = LOG_LEVEL
if LOG_LEVEL == "DEBUG":
    LIBRARIES_LOG_LEVEL = "INFO"
# Format of log lines: plain, for people, or ecs, which is JSON with the fields of the Elastic
# Common Schema.
LOG_FORMAT = env.choice("LOG_FORMAT", ("plain", "ecs"), default="plain")
LOGGING_CONFIG = "snap.observability.logs.configure"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "snap.observability.logs.make_formatter", "kind": LOG_FORMAT}},
    "filters": {
        "context": {"()": "snap.observability.logs.ContextFilter"},
        "only_errors": {"()": "snap.observability.logs.OnlyErrors"},
        "no_sockets": {"()": "snap.observability.logs.NoSockets"},
    },
    "handlers": {
        "console": {
            "class": "snap.observability.logs.LineHandler",
            "formatter": "line",
            "filters": ["context"],
        }
    },
    "root": {"handlers": ["console"], "level": LIBRARIES_LOG_LEVEL},
    "loggers": {
        "accounts": {"level": LOG_LEVEL},
        "guests": {"level": LOG_LEVEL},
        "notifications": {"level": LOG_LEVEL},
        "promo": {"level": LOG_LEVEL},
        "snap": {"level": LOG_LEVEL},
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # snap.requests has a line for each request. Those of a 4xx and 503 would be second ones.
        "django.request": {"filters": ["only_errors"]},
        "django.server": {"handlers": [], "propagate": False},
        # The servers' own lines also go through the formatter, because it hides tokens.
        "uvicorn": {"handlers": [], "propagate": True},
        # Three lines for each socket. snap.requests has one for each handshake.
        "uvicorn.error": {"handlers": [], "propagate": True, "filters": ["no_sockets"]},
        "uvicorn.access": {"handlers": [], "propagate": False},
        "_granian": {"handlers": [], "propagate": True},
        "granian.access": {"handlers": [], "propagate": True},
        # Celery logs a line for each wake-up. The tasks themselves log what they did.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # Says how processes of workers ended. It does not propagate. Without a handler Celery gives
        # it one of its own, which hides nothing.
        "multiprocessing": {"handlers": ["console"], "propagate": False},
        # They log each failure. `traces_not_sent` and `reports_not_sent` are logged once.
        "opentelemetry": {"level": "CRITICAL"},
        "sentry_sdk": {"level": "CRITICAL"},
        # axes warns of each wrong password. The sign-in itself logs each success.
        "axes": {"level": "WARNING"},
    },
}

# Traces and errors ------------------------------------------------------------------------------

# Address of a receiver of OpenTelemetry traces (OTLP over HTTP, in protobuf), such as
# http://localhost:4318. Empty: no traces, and OpenTelemetry is not imported.
OTEL_EXPORTER_OTLP_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", default="").removesuffix(
    "/v1/traces"
)
# Headers that the receiver wants, such as `authorization=Bearer%20secret`.
OTEL_EXPORTER_OTLP_HEADERS = env.pairs("OTEL_EXPORTER_OTLP_HEADERS", default={}, are_secret=True)
# Share of requests and tasks whose traces are recorded, from 0 to 1. A request that is not recorded
# costs a tenth of one that is.
OTEL_TRACES_SAMPLER_ARG = env.share("OTEL_TRACES_SAMPLER_ARG", default=0.1)
# Whether a request continues the trace that its `traceparent` header names. For a proxy that
# removes the header of visitors: with it they decide what is recorded.
OTEL_TRUST_TRACEPARENT = env.bool("OTEL_TRUST_TRACEPARENT", default=False)
# Name of this installation in traces.
OTEL_SERVICE_NAME = env.str("OTEL_SERVICE_NAME", default="snap")
# Further attributes of all processes in traces, such as `deployment.environment.name=production`.
OTEL_RESOURCE_ATTRIBUTES = env.pairs("OTEL_RESOURCE_ATTRIBUTES", default={})

# Address (DSN) of a project in Sentry, or in a server that speaks its protocol, to which errors are
# reported. Empty: no reports, and Sentry's package is not imported.
SENTRY_DSN = env.sentry_dsn("SENTRY_DSN", default="")
# Name of this installation in reports of errors.
SENTRY_ENVIRONMENT = env.str("SENTRY_ENVIRONMENT", default="production")
# Name of the running release in reports of errors, such as a commit. Empty: reports name none.
SENTRY_RELEASE = env.str("SENTRY_RELEASE", default="")

SILENCED_SYSTEM_CHECKS = [
    "auth.E003",
    "auth.W004",  # The constraint on phones is partial: a phone is null once it was removed.
]

# The log hides them.
SECRET_VALUES = env.known_secrets
