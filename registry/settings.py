"""The one settings file: the environment is read once, here, and nothing is started.

`.env.example` describes every name. With nothing set this file still imports (the type checker needs that): what is
missing then fails where it is used, and `registry/checks.py` says what to set. `manage.py` starts the embedded
servers and sets the names that a laptop needs; the tests do the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env, validate
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from registry.lib.broker import cache_beside
from registry.lib.request_log import LOG_PROCESSORS, configure_structlog

django_stubs_ext.monkeypatch()  # `ModelAdmin[User]` and the like, which only the type checker reads, also run

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()

# production | demo (a laptop: keys and secrets are made under VAR_DIR, plain HTTP) | test
MODE = env.str("EXPUNGE_MODE", "production", validate=validate.OneOf(["production", "demo", "test"]))
DEBUG = env.bool("DEBUG", False)
LOG_LEVEL = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]))

# --- Where things are kept; a relative path is relative to the folder of manage.py ---
VAR_DIR = (BASE_DIR / (env.str("VAR_DIR", "") or "var")).resolve()
STORE = (BASE_DIR / (env.str("STORE", "") or VAR_DIR / "store")).resolve()
IMPORT_ROOTS = [(BASE_DIR / root).resolve() for root in env.list("IMPORT_ROOTS", [], subcast=str) if root]
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 2 * 1024**3, validate=validate.Range(min=1))
MINISIGN_KEY = BASE_DIR / (env.str("EXPUNGE_MINISIGN_KEY", "") or VAR_DIR / "keys/minisign.key")
OMS_KEY = BASE_DIR / (env.str("EXPUNGE_OMS_KEY", "") or VAR_DIR / "keys/oms.key")

# --- The site --------------------------------------------------------------------------------------------------------
SITE_NAME = env.str("SITE_NAME", "Expunge")
SITE_URL = env.str("SITE_URL", "http://127.0.0.1:8000").rstrip("/")
ADVISORY_PREFIX = env.str(
    "ADVISORY_PREFIX",
    "EXP",
    validate=validate.Regexp(
        r"^[A-Z][A-Z0-9]{1,9}$", error="Give 2 to 10 capital letters and digits, a letter first."
    ),
)
RELEASE_SCHEDULE = env.float(
    "RELEASE_SCHEDULE", 0, validate=validate.Range(min=0)
)  # seconds; 0: by hand only
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", [] if MODE == "production" else ["localhost", "127.0.0.1", "[::1]"])
SECRET_KEY = env.str("SECRET_KEY", "")  # Django refuses to use an empty one
BEHIND_TLS = env.bool("BEHIND_TLS", MODE == "production")
PROXY_COUNT = env.int("PROXY_COUNT", 0, validate=validate.Range(min=0))

# --- Database --------------------------------------------------------------------------------------------------------
DATABASE_URL = env.str("DATABASE_URL", "")
try:
    _database: dict[str, Any] = dict(conninfo_to_dict(DATABASE_URL)) if DATABASE_URL else {}
except ProgrammingError:  # its text may hold the password
    raise ImproperlyConfigured(
        "DATABASE_URL is not of the form postgresql://user:password@host/name"
    ) from None
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.pop("dbname", ""),
        "USER": _database.pop("user", ""),
        "PASSWORD": _database.pop("password", ""),
        "HOST": _database.pop("host", ""),  # a folder: the unix socket in it
        "PORT": str(_database.pop("port", "")),
        "CONN_MAX_AGE": 0,  # the pool keeps connections, not the thread
        "OPTIONS": {
            **_database,  # sslmode and the like
            "pool": False if MODE == "test" else {"min_size": 1, "max_size": 8, "timeout": 10},
        },
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Jobs ------------------------------------------------------------------------------------------------------------
# A running job whose heartbeat is older belongs to a worker that died; it is claimed again.
JOB_STALE_SECONDS = env.int("JOB_STALE_SECONDS", 60, validate=validate.Range(min=1))

# --- Broker, work and cache ------------------------------------------------------------------------------------------
BROKER_URL = env.str("BROKER_URL", "")
CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# An unacknowledged message comes back after this many seconds. The database is the truth and a message only a wake-up,
# so a job that is still running when its message comes back is left alone, and `jobs_resume` is quicker anyway.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "unacked_restore_throttle": 1,
    "unacked_restore_interval": 5,
}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# In KiB. A process that held more (a large job, or many batches of links) makes room for a new one after its task: what
# the allocator keeps of it comes back, and workers that check links stay as small after a million as after the first.
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 142_000
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = "UTC"
# When beat sent what. The folder of the code may be closed to it.
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "beat-schedule")
# A worker takes from both unless it is told otherwise (-Q links: one that only checks links, as a user of its own).
CELERY_TASK_QUEUES: dict[str, dict[str, Any]] = {"celery": {}, "links": {}}
CELERY_TASK_ROUTES = {
    f"registry.links.tasks.{task}": {"queue": "links"}
    for task in ("links_check", "domains_census", "registries_ask", "opt_outs_read")
}

if MODE == "test" or not BROKER_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": cache_beside(BROKER_URL),
            "KEY_PREFIX": "cache",
        },
    }

# --- Outgoing HTTP (registry/lib/safe_http) ----------------------------------------------------------------------------
# None: the machine's own.
NAME_SERVERS = [server for server in env.list("NAME_SERVERS", [], subcast=str) if server]
# Resolvers of somebody else, asked before a domain is called gone. None: no domain is.
NAME_SERVERS_SECOND = [server for server in env.list("NAME_SERVERS_SECOND", [], subcast=str) if server]
# Loopback addresses that may be fetched, `address:port`: for the servers that the demo and the tests start.
LINKS_TEST_TARGETS = [target for target in env.list("LINKS_TEST_TARGETS", [], subcast=str) if target]
if LINKS_TEST_TARGETS and MODE == "production":
    raise ImproperlyConfigured("LINKS_TEST_TARGETS is for EXPUNGE_MODE=demo and test; unset it in production")

# --- Checking links (registry/links) -------------------------------------------------------------------------------------
# Batches under way at once, over all workers. Each takes a worker process for up to five minutes.
LINKS_BATCHES = env.int("LINKS_BATCHES", 1, validate=validate.Range(min=0))
# After so long the hosts of a worker that died are another's. Batches renew theirs, so they may last longer. No request
# takes longer than a quarter of it: else two workers might ask one host.
LINKS_LEASE_SECONDS = env.int(
    "LINKS_LEASE_SECONDS", 120, validate=validate.Range(min=80 if MODE == "production" else 1)
)
LINKS_KEEP_MONTHS = env.int("LINKS_KEEP_MONTHS", 13, validate=validate.Range(min=1))
# From where links are asked, for those who read the figures: a host may be dead from one country only.
LINKS_VANTAGE = env.str("LINKS_VANTAGE", "") or "this site's server"
# Whom owners of sites write to, shown to them at /about/links/: an e-mail address or a web address.
LINKS_CONTACT = env.str(
    "LINKS_CONTACT",
    "",
    validate=validate.Regexp(
        r"(?:https?://[^\s/]+\S*|[^@\s/:]+@[^@\s/:]+)?\Z",
        error="Give an e-mail address, or a web address that begins with https://.",
    ),
)
# Where IANA says which registry answers for which top-level domain (RDAP): an address, or a file. Empty: none is asked.
RDAP_BOOTSTRAP = env.str("RDAP_BOOTSTRAP", "https://data.iana.org/rdap/dns.json")

# --- Applications ----------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "registry.User"
ROOT_URLCONF = "registry.urls"
WSGI_APPLICATION = "registry.wsgi.application"
INSTALLED_APPS = [
    "registry",
    "takedowns",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "pgtrigger",
    "csp",
    "django_structlog",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "registry.lib.nul.RefuseNul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "registry.lib.request_log.RequestLog",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
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
                "registry.lib.site.site",
            ],
        },
    },
]

# --- Static files: collected under VAR_DIR, served by whitenoise ------------------------------------------------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
_static_storage = {
    "production": "whitenoise.storage.CompressedManifestStaticFilesStorage",
    "demo": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
    "test": "django.contrib.staticfiles.storage.StaticFilesStorage",
}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_storage[MODE]},
}
WHITENOISE_USE_FINDERS = MODE == "test"
MEDIA_ROOT = VAR_DIR / "uploads"
FILE_UPLOAD_HANDLERS = [
    "registry.lib.uploads.LimitedUpload",  # UPLOAD_MAX_BYTES over all files of one request
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024**2  # a pasted report of 100,000 lines

# --- People ----------------------------------------------------------------------------------------------------------
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
if MODE == "test":  # a slow hash protects nobody here
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# --- Language and time -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
USE_THOUSAND_SEPARATOR = False

# --- Safety ----------------------------------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = BEHIND_TLS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = BEHIND_TLS
CSRF_TRUSTED_ORIGINS = [SITE_URL] if BEHIND_TLS and SITE_URL.startswith("https://") else []
SECURE_SSL_REDIRECT = BEHIND_TLS
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]  # probes speak plain HTTP to the process itself
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_TLS
SECURE_HSTS_PRELOAD = BEHIND_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS else None
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}

# --- API -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        # First, so that a bad or missing key is answered 401 with WWW-Authenticate.
        "registry.accounts.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "EXCEPTION_HANDLER": "registry.lib.api_errors.answer",
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "registry.lib.parsers.LimitedJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "registry.lib.pagination.Pages",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
        "rest_framework.throttling.ScopedRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": (
        {"anon": None, "user": None, "reports": None, "opt_outs": None}
        if MODE == "test"
        else {"anon": "600/min", "user": "3000/min", "reports": "30/hour", "opt_outs": "20/hour"}
    ),
    "NUM_PROXIES": PROXY_COUNT,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": f"{SITE_NAME} API",
    "DESCRIPTION": "What every version of a dataset contains, what must go, and the clean releases.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Several models have a `state` or a `kind`: each set of values keeps its own name.
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "registry.jobs.models.JobState",
        "LineageKindEnum": "registry.datasets.models.LineageKind",
        "VersionStatusEnum": "registry.datasets.models.VersionStatus",
        "ContentChecksEnum": "registry.links.content.states.ContentChecks",
        "ContentStateEnum": "registry.links.content.states.ContentState",
        "LinkStateEnum": "registry.links.states.LinkState",
        "LinkOutcomeEnum": "registry.links.outcomes.Outcome",
        "DistributionKindEnum": "registry.links.distributions.models.DistributionKind",
        "CaseStateEnum": "takedowns.cases.models.CaseState",
        "ReleaseStateEnum": "takedowns.releases.models.ReleaseState",
    },
}

# --- Logs: no client address, no path or query string (a path may be a secret link), no values ------------------------
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = 10  # DEBUG: one line a request is enough
DJANGO_STRUCTLOG_CELERY_DEFAULT_LOG_LEVEL = (
    10  # what a task does is in its job; failures have levels of their own
)
configure_structlog()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": LOG_PROCESSORS["json" if MODE == "production" else "text"]},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # These would write the path; RequestLog has said the same already, with the route in its place.
        "django.request": {"level": "CRITICAL"},
        "django.security.csrf": {"level": "CRITICAL"},
        "django.server": {"level": "CRITICAL"},
        "celery": {"level": "WARNING"},
    },
}
