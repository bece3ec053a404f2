"""Settings: every value an operator may change comes from the environment or `.env` (see .env.example)."""

import re
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject

from arbsite import environment
from arbsite.desk import safety
from arbsite.environment import BASE_DIR
from arbsite.logs import logging_config
from arbsite.middleware.prefix import cookie_name, prefix_of
from core import targets
from core.proxies import no_proxy_problem, proxy_problem

VERSION = "0.5.0"
"""Of the desk; `GET /api/health` and CHANGELOG.md name it."""

django_stubs_ext.monkeypatch()  # lets `ModelAdmin[Exchange]` be written, as the type checker wants it

env = environment.Settings()
env.ENVIRON = environment.read(*environment.FILES)


def required_secret_key() -> str:
    """The secret key, asked for only by what signs something, so that `help` or `decode` need none.

    Raises:
        ImproperlyConfigured: there is none; the message says how to get one.
    """
    if key := env.str("SECRET_KEY", default=""):
        return str(key)
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. `make run` makes one by itself; for your own deployment put a random one "
        "into the environment or .env: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    )


# What this installation keeps: `make run` uses var/live or var/sim.
HOME = Path(env.str("ARB_HOME", default=str(BASE_DIR / "var" / "live")))
# "sim" puts the SIMULATED banner on every page. "auto" is a question only `make run` asks; it
# answers it for its processes, and any other process is a production one, which never falls back.
FEED = "sim" if env.str("FEED", default="live") == "sim" else "live"
SIMULATOR_URL = env.str("SIMULATOR_URL", default="")  # of a `make run` that is running, in a second terminal
PORT = env.int("PORT", default=8000)  # where `make run` serves the desk

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = SimpleLazyObject(required_secret_key)
if not environment.within_make_run() and (
    problem := safety.problem(env.str("SECRET_KEY", default=""), debug=DEBUG)
):
    raise ImproperlyConfigured(f"{problem}.")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# Keys of sealed secrets, by purpose (core.secrets.sealing), for processes that are given no SECRET_KEY.
SEALING_KEYS = {
    "proxies of exchanges": env.keys("SEALING_KEY_PROXIES", default=[]),
    "secrets of alert channels": env.keys("SEALING_KEY_CHANNELS", default=[]),
}
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# The path everything is under, where another web server has the rest of the host (docs/operations.md).
try:
    URL_PREFIX = prefix_of(env.str("URL_PREFIX", default=""))
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from error
FORCE_SCRIPT_NAME = URL_PREFIX or None

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "axes",
    "audit",
    "arbsite",
    "accounts",
    "markets",
    "collectors",
    "simulator",
    "realtime",
    "opportunities",
    "orderbook",
    "history",
    "monitoring",
    "agents",
]

MIDDLEWARE = [
    "arbsite.log_context.request_id_middleware",
    "arbsite.patient_postgres.patience_middleware",
    "audit.acting.audit_middleware",
    "arbsite.connections.release_middleware",
    "monitoring.metrics.traffic.traffic_middleware",
    "arbsite.middleware.headers.HeadersMiddleware",
    "arbsite.middleware.turns.turns_middleware",
    "django.middleware.security.SecurityMiddleware",
    "arbsite.middleware.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.sign_in.entry.EntryMiddleware",
    "arbsite.auth.TokenMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
    "accounts.mfa.confirming.ConfirmMiddleware",
    "arbsite.middleware.wrong_input.WrongInputMiddleware",
]

ROOT_URLCONF = "arbsite.urls"
ASGI_APPLICATION = "arbsite.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "realtime.context.feed",
            ],
        },
    },
]

# No persistent connections: under ASGI every worker thread would keep one of its own for good.
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgres://127.0.0.1/arbdesk")}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Who holds a lock and says nothing is ended, and nobody waits for one for ever. Web processes are stricter
# (arbsite.patient_postgres); what DATABASE_URL says (?options=) comes last, and wins.
POSTGRES_TIMES = "-c lock_timeout=60s -c idle_in_transaction_session_timeout=60s"
_GIVEN = DATABASES["default"].setdefault("OPTIONS", {}).get("options", "")
DATABASES["default"]["OPTIONS"].update(
    options=f"{POSTGRES_TIMES} {_GIVEN}".strip(),
    connect_timeout=5,  # seconds; a page must not hang
    # Nor may it over TCP, where a firewall forgets a connection: what is not taken for so long is given up.
    tcp_user_timeout=10_000,  # ms
    keepalives_idle=10, keepalives_interval=5, keepalives_count=3,  # s, s
)  # fmt: skip
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    },
}

# Celery names a Unix socket and its database differently from redis-py.
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)
# A task that a dying worker held comes back after this many seconds, longer than any may run.
# A Redis that hangs is given up: the timeout is longer than a worker's wait for a task.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 900,
    "socket_timeout": 4,
    "socket_connect_timeout": 4,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_CONCURRENCY = env.int("CELERY_CONCURRENCY", default=2)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 100  # returns the memory that a market catalogue takes
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 3  # seconds a task may finish in when the worker gets SIGQUIT
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "celerybeat-schedule")
CELERY_BEAT_SCHEDULER = "arbsite.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 60  # seconds; the schedule file's age is beat's sign of life
# Where tasks are queued; a process that queues one imports it first, and no other process loads Celery.
TASKS_APPLICATION = "arbsite.celery"
# What beat queues and when, in the words of a crontab: arbsite.celery makes schedules of them.
BEAT_SCHEDULE = {
    "sync-markets": {
        "task": "markets.tasks.sync_markets",
        "schedule": {"minute": 7},
        "options": {"expires": 3000},
    },
    "sync-resized": {
        "task": "markets.tasks.sync_resized",
        "schedule": {"minute": "*"},
        "options": {"expires": 55},
    },
    "sync-wallets": {
        "task": "markets.tasks.sync_wallets",
        "schedule": {"minute": "2-59/15"},
        "options": {"expires": 840},
    },
    # Hourly, although fees change at midnight only: the hour after makes up for a worker that was off.
    "follow-fees": {
        "task": "markets.tasks.follow_fees",
        "schedule": {"minute": 0},
        "options": {"expires": 3000},
    },
    "compact-lake": {
        "task": "history.tasks.compact",
        "schedule": {"minute": "*/10"},
        "options": {"expires": 540},
    },
    "retain-lake": {
        "task": "history.tasks.retain",
        "schedule": {"hour": 0, "minute": 25},  # a day is over, and its last hour compacted
        "options": {"expires": 12 * 3600},
    },
    "roll-up-store": {
        "task": "orderbook.tasks.roll_up",
        "schedule": {"minute": "*"},
        "options": {"expires": 55},
    },
    "fold-late-rows": {
        "task": "orderbook.tasks.fold_late",
        "schedule": {"minute": "5-59/15"},
        "options": {"expires": 600},
    },
    "retain-store": {
        "task": "orderbook.tasks.retain",
        "schedule": {"minute": 40},
        "options": {"expires": 3000},
    },
    "retain-episodes": {
        "task": "opportunities.tasks.retain_episodes",
        "schedule": {"hour": 0, "minute": 45},
        "options": {"expires": 12 * 3600},
    },
    "retain-alerts": {
        "task": "monitoring.tasks.retain_alerts",
        "schedule": {"hour": 0, "minute": 50},
        "options": {"expires": 12 * 3600},
    },
    "retain-sessions": {
        "task": "accounts.tasks.retain_sessions",
        "schedule": {"hour": 0, "minute": 55},
        "options": {"expires": 12 * 3600},
    },
    # Hourly: compaction doubles what lies on the disk until the files it replaced are gone.
    "clean-lake": {
        "task": "history.tasks.clean",
        "schedule": {"minute": 35},
        "options": {"expires": 3000},
    },
}

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "accounts.sign_in.signing_in.PatientBackend",
]
# Failures of one name from one address, and of one address, lock out for so long (accounts.sign_in).
AXES_FAILURE_LIMIT = env.int("SIGN_IN_FAILURES", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_HANDLER = "accounts.sign_in.signing_in.Handler"
AXES_CLIENT_IP_CALLABLE = "accounts.sign_in.signing_in.client_address"
AXES_USERNAME_CALLABLE = "accounts.sign_in.signing_in.name_of"
AXES_LOCKOUT_CALLABLE = "accounts.sign_in.signing_in.locked_out"
AXES_RESET_ON_SUCCESS = True
# Going on trying does not prolong it for the owner of the name.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_VERBOSE = False
AUDIT_CLIENT_ADDRESS = AXES_CLIENT_IP_CALLABLE
AUDIT_CSV_TEXT = "core.names.plain_names.no_formula"
# Not kept with a failure, whatever form it was typed in.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "password", "code", "old_password"]
AXES_SENSITIVE_PARAMETERS += ["new_password1", "new_password2"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = f"{URL_PREFIX}/"
LOGOUT_REDIRECT_URL = "login"
# A session ends when it was not used for so long, at the latest after so long (accounts.sessions).
SESSION_ENGINE = "accounts.sessions"
SESSION_IDLE_MINUTES = env.int("SESSION_IDLE_MINUTES", default=12 * 60)
SESSION_COOKIE_AGE = env.int("SESSION_HOURS", default=7 * 24) * 3600
for _name in ("SESSION_IDLE_MINUTES", "SESSION_HOURS", "CONFIRM_MINUTES"):
    if env.int(_name, default=1) < 1:
        raise ImproperlyConfigured(f"{_name} is {env.int(_name)}; set it to at least 1.")
# Password and code are asked for again before secrets or people are touched, when they were given longer ago.
CONFIRM_MINUTES = env.int("CONFIRM_MINUTES", default=15)
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = LANGUAGE_COOKIE_PATH = f"{URL_PREFIX}/"  # no neighbour's business
# A cookie of its own would be common to all desks of a host, and hold what messages say.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# To delete what the admin lists, each row comes as a field of its own: a catalogue has some ten thousand.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 30_000

# HTTPS everywhere unless a setting says otherwise; `make run` on loopback says otherwise.
HTTPS = env.bool("HTTPS", default=True)
SECURE_SSL_REDIRECT = HTTPS
# Probes ask the process itself, behind the proxy.
SECURE_REDIRECT_EXEMPT = [
    rf"^{re.escape(URL_PREFIX.removeprefix('/') + '/' if URL_PREFIX else '')}{path}$"
    for path in ("api/health", "health", "healthz", "readyz", "metrics")
]
# A second factor for users who may change secrets, people or live trading (accounts.mfa.second_factor).
# Without HTTPS only this machine should reach the desk; `make run` says what it wants (arbsite.desk.stack).
MFA = env.str("MFA", default="required" if HTTPS else "optional").strip().lower()
if MFA not in ("required", "optional"):
    raise ImproperlyConfigured(f"MFA is {MFA!r}; set it to required or optional.")
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = cookie_name("session", https=HTTPS, prefix=URL_PREFIX, port=PORT)
CSRF_COOKIE_NAME = cookie_name("csrf", https=HTTPS, prefix=URL_PREFIX, port=PORT)
CSRF_FAILURE_VIEW = "realtime.views.csrf_failure"
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=3600) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=False)
# Both bind the operator's whole domain, not just this desk: theirs to opt into, no fault to leave.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Only behind a proxy that sets this header itself: anybody else could claim HTTPS with it.
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Everything comes from here and nothing is inline, the admin included. 'self' covers our WebSocket too.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "connect-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
# A language joins when its catalogue is whole: half a page in each is worse than English.
LANGUAGES = [("en", "English")]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = f"{URL_PREFIX}/static/"
STATICFILES_DIRS = [BASE_DIR / "static", ("vendor/uplot", BASE_DIR / "node_modules" / "uplot" / "dist")]
# Images run `collectstatic` once and serve hashed names; a checkout serves the files where they lie.
STATIC_COLLECTED = env.bool("STATIC_COLLECTED", default=False)
STATIC_ROOT = BASE_DIR / "staticfiles" if STATIC_COLLECTED else None
WHITENOISE_USE_FINDERS = not STATIC_COLLECTED
WHITENOISE_MAX_AGE = 3600 if STATIC_COLLECTED else 0
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "arbsite.storage.StaticStorage"
        if STATIC_COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}

# What one process may take at most. Unset: what its cgroup allows, or all the machine has.
MEMORY_LIMIT_BYTES = env.int("MEMORY_LIMIT_MB", default=0) * 2**20 or None

# Where this process answers Prometheus (docs/metrics.md); 0: nowhere. The web process answers it at
# /metrics, too, for clients with the token. And the number of symbols that metrics report one by one.
METRICS_PORT = env.int("METRICS_PORT", default=0)
METRICS_HOST = env.str("METRICS_HOST", default="127.0.0.1")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_SYMBOLS = env.int("METRICS_SYMBOLS", default=0)

LOGGING = logging_config(env.str("LOG_LEVEL", default="INFO").upper(), environment.secrets(env.ENVIRON))

# Read-only API keys, by exchange: most exchanges answer nobody else whether their wallets are open.
EXCHANGE_KEYS = {
    name.removeprefix("EXCHANGE_KEYS_").lower(): value
    for name, value in env.ENVIRON.items()
    if name.startswith("EXCHANGE_KEYS_")
}

# The way out to exchanges, where it leads through a proxy (core.proxies); an exchange may have its own.
OUTBOUND_PROXY = env.str("OUTBOUND_PROXY", default="")
OUTBOUND_NO_PROXY = tuple(env.list("OUTBOUND_NO_PROXY", default=[]))
if OUTBOUND_PROXY and (problem := proxy_problem(OUTBOUND_PROXY)):
    raise ImproperlyConfigured(f"OUTBOUND_PROXY: {problem}.")
for _name in OUTBOUND_NO_PROXY:
    if problem := no_proxy_problem(_name):
        raise ImproperlyConfigured(f"OUTBOUND_NO_PROXY: {problem}.")

# Private, link-local and loopback networks that addresses of exchanges and alert channels may lie in; by
# default none (core.targets). The simulated exchanges of FEED=sim are on this machine.
try:
    PRIVATE_TARGETS = targets.networks(env.list("PRIVATE_TARGETS", default=[]))
except ValueError as error:
    raise ImproperlyConfigured(f"PRIVATE_TARGETS: {error}; write networks like 10.1.0.0/16, ::1.") from error
_OWN_SERVERS = (DATABASES["default"].get("PORT"), REDIS_URL, METRICS_PORT)
targets.keep_off(environment.ports(*_OWN_SERVERS))
EXCHANGE_TARGETS = (*PRIVATE_TARGETS, *(targets.LOOPBACK if FEED == "sim" else ()))

# Each sink gets its own bounded channel (collectors.sinks.Sink), so a slow one starves nobody. In this
# order they hand on what they make: PostgreSQL keeps the episodes, the lake the points and opportunities.
COLLECTOR_SINKS = [
    "realtime.sink.RealtimeSink",
    "realtime.depth.sink.DepthSink",
    "opportunities.sink.EpisodeSink",
    "history.write.sink.LakeSink",
    "monitoring.quality.sink.QualitySink",
    "realtime.funding.sink.FundingSink",
    "orderbook.ingest.sink.StoreSink",
]
COLLECTOR_CHANNEL_CAPACITY = env.int("COLLECTOR_CHANNEL_CAPACITY", default=100_000)

# What the monitor runs besides watching: coroutine functions `run(stop)`, each drained when it stops.
MONITOR_PARTS = ["monitoring.alerts.delivery.run"]

# The Delta tables of what was seen: a directory, or s3://bucket/prefix with AWS_* in the environment.
LAKE_URL = env.str("LAKE_URL", default=str(HOME / "lake"))
LAKE_STORAGE_OPTIONS = {name: value for name, value in env.ENVIRON.items() if name.startswith("AWS_")}

# Where batches for the store of quotes, trades and books wait while the database is away.
STORE_SPILL_DIR = env.str("STORE_SPILL_DIR", default=str(HOME / "store-spill"))

# How many days the story of an opportunity is kept (docs/opportunities.md).
EPISODE_DAYS = env.int("EPISODE_DAYS", default=180)

# Where people reach this desk: what the links in alerts begin with (docs/alerts.md). And how many days
# incidents and what was sent of them are kept.
_OWN_URL = f"https://{ALLOWED_HOSTS[0]}" if HTTPS else f"http://127.0.0.1:{PORT}"
PUBLIC_URL = env.str("PUBLIC_URL", default=_OWN_URL + URL_PREFIX)
ALERT_DAYS = env.int("ALERT_DAYS", default=90)

# More charts than this are no page; a filter over it is refused (see markets.selectors.check_cap).
MAX_OPPORTUNITIES_PER_FILTER = env.int("MAX_OPPORTUNITIES_PER_FILTER", default=500)

# A tab is a socket; the limit keeps one runaway script from taking the desk down.
REALTIME_SOCKETS_PER_USER = env.int("REALTIME_SOCKETS_PER_USER", default=20)

# Connections of a web process, WebSockets among them, and of one address those that are none
# (arbsite.daphne.doors).
WEB_CONNECTIONS = env.int("WEB_CONNECTIONS", default=4_000)
WEB_CONNECTIONS_PER_ADDRESS = env.int("WEB_CONNECTIONS_PER_ADDRESS", default=500)

# The HTTP API of the lake (docs/api.md). A page that pans twenty charts asks a hundred times at once.
HISTORY_MAX_RANGE_HOURS = env.int("HISTORY_MAX_RANGE_HOURS", default=7 * 24)
HISTORY_REQUESTS_PER_MINUTE = env.int("HISTORY_REQUESTS_PER_MINUTE", default=600)
HISTORY_READS_AT_ONCE = env.int("HISTORY_READS_AT_ONCE", default=32)
HISTORY_READS_PER_USER = env.int("HISTORY_READS_PER_USER", default=8)
