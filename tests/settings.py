"""The one settings file, with the environment of a test. Servers are named later, by `tests/conftest.py`, if needed."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

NAMES = ["ADVISORY_PREFIX", "ALLOWED_HOSTS", "BEHIND_TLS", "DEBUG", "EXPUNGE_MINISIGN_KEY", "EXPUNGE_OMS_KEY"]
NAMES += [
    "JOB_STALE_SECONDS",
    "LINKS_LEASE_SECONDS",
    "LINKS_TEST_TARGETS",
    "LOG_LEVEL",
    "NAME_SERVERS",
    "NAME_SERVERS_SECOND",
    "PROXY_COUNT",
    "RELEASE_SCHEDULE",
    "SITE_NAME",
    "SITE_URL",
    "STORE",
    "UPLOAD_MAX_BYTES",
]
for name in NAMES:
    os.environ.pop(name, None)

# One folder for the whole run: pytest-xdist's workers inherit this name from the process that starts them.
if "EXPUNGE_TEST_VAR" not in os.environ:
    os.environ["EXPUNGE_TEST_VAR"] = tempfile.mkdtemp(prefix="expunge-tests-")
    atexit.register(shutil.rmtree, os.environ["EXPUNGE_TEST_VAR"], ignore_errors=True)
    Path(os.environ["EXPUNGE_TEST_VAR"]).chmod(0o711)  # root runs PostgreSQL as a user who must get through

var = Path(os.environ["EXPUNGE_TEST_VAR"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ |= {
    "EXPUNGE_MODE": "test",
    "SECRET_KEY": "for tests only " * 4,
    "VAR_DIR": str(var),
    "IMPORT_ROOTS": str(var / "imports"),
    "DATABASE_URL": "postgresql://expunge@/expunge",
    "BROKER_URL": "redis+socket:///nowhere",
    "RDAP_BOOTSTRAP": "",
}
for folder in ("imports", "static"):
    (var / folder).mkdir(parents=True, exist_ok=True)

from registry.settings import *  # noqa: E402, F403 - after the environment is set
