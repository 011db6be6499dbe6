from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from registry.embedded.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PRODUCTION = {
    "EXPUNGE_MODE": "production",
    "SECRET_KEY": "s3cret " * 12,
    "DATABASE_URL": "postgresql://someone:pass%20word@db.example.org:5433/name?sslmode=verify-full",
    "BROKER_URL": "redis://broker.example.org:6379/3",
    "ALLOWED_HOSTS": "expunge.example.org",
    "SITE_URL": "https://expunge.example.org/",
}


def python(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def settings(environment: dict[str, str], expression: str) -> Any:
    done = python(
        f"import json; from registry import settings as s; print(json.dumps({expression}))", environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def findings(environment: dict[str, str]) -> set[str]:
    script = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'registry.settings'; django.setup();"
        "from registry.checks import check_settings; print(*[e.id for e in check_settings()])"
    )
    done = python(script, environment)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def names_read() -> set[str]:
    source = (ROOT / "registry/settings.py").read_text()
    return set(re.findall(r"\benv\.\w+\(\s*\"([A-Z_]+)\"", source))


def test_every_setting_is_in_the_example_file_and_nothing_else() -> None:
    documented = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(names_read()) > 15
    assert set(documented) == names_read()
    assert len(documented) == len(set(documented))


def test_the_readme_names_what_production_must_set() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "ALLOWED_HOSTS", "SITE_URL", ".env.example"):
        assert name in readme


def test_they_import_with_nothing_set_and_start_nothing() -> None:
    assert settings({}, "[s.MODE, s.DATABASES['default']['NAME'], s.SECRET_KEY]") == ["production", "", ""]


def test_a_database_url_is_taken_apart() -> None:
    found = settings(PRODUCTION, "s.DATABASES['default']")
    assert found["NAME"] == "name"
    assert found["USER"] == "someone"
    assert found["PASSWORD"] == "pass word"
    assert (found["HOST"], found["PORT"]) == ("db.example.org", "5433")
    assert found["OPTIONS"]["sslmode"] == "verify-full"
    assert found["OPTIONS"]["pool"]
    assert found["CONN_MAX_AGE"] == 0


def test_a_socket_folder_goes_into_the_host() -> None:
    url = "postgresql://expunge@%2Ftmp%2Fa%20folder/expunge"
    assert settings({"DATABASE_URL": url}, "s.DATABASES['default']['HOST']") == "/tmp/a folder"


def test_the_cache_is_never_the_brokers_own_database() -> None:
    assert settings(PRODUCTION, "s.CACHES['default']['LOCATION']") == "redis://broker.example.org:6379/4"
    for broker, cache in [
        ("redis+socket:///tmp/x/valkey.sock", "unix:///tmp/x/valkey.sock?db=1"),
        ("redis+socket:///tmp/x/valkey.sock?virtual_host=2", "unix:///tmp/x/valkey.sock?db=3"),
        ("redis://:secret@host", "redis://:secret@host/1"),
        ("rediss://host:1/0?ssl_cert_reqs=required", "rediss://host:1/1?ssl_cert_reqs=required"),
    ]:
        assert settings({**PRODUCTION, "BROKER_URL": broker}, "s.CACHES['default']['LOCATION']") == cache


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXPUNGE_MODE", "prod"),
        ("UPLOAD_MAX_BYTES", "much"),
        ("UPLOAD_MAX_BYTES", "0"),
        ("RELEASE_SCHEDULE", "-1"),
        ("ADVISORY_PREFIX", "exp 1"),
        ("DATABASE_URL", "mysql://secret@host/name"),
        ("BEHIND_TLS", "perhaps"),
    ],
)
def test_a_value_that_makes_no_sense_stops_everything_and_is_named(name: str, value: str) -> None:
    done = python("import registry.settings", {name: value})
    assert done.returncode != 0
    assert name in done.stderr


def test_production_is_safe_by_default() -> None:
    names = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "BEHIND_TLS"]
    assert settings(PRODUCTION, f"[getattr(s, name) for name in {names}]") == [True] * 4
    assert settings(PRODUCTION, "s.SECURE_HSTS_SECONDS") >= 31_536_000
    assert settings(PRODUCTION, "s.DEBUG") is False
    assert settings(PRODUCTION, "s.CSRF_TRUSTED_ORIGINS") == ["https://expunge.example.org"]


def test_a_complete_production_has_no_findings(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert findings({**PRODUCTION, "VAR_DIR": str(tmp_path), "IMPORT_ROOTS": str(tmp_path / "in")}) == set()


def test_each_thing_missing_in_production_is_found(tmp_path: Path) -> None:
    nothing = {"VAR_DIR": str(tmp_path), "ALLOWED_HOSTS": "*", "DEBUG": "true"}
    assert findings(nothing) == {f"registry.E00{number}" for number in (1, 2, 3, 4, 5, 6)}


def test_folders_that_cannot_work_are_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    base = {**PRODUCTION, "VAR_DIR": str(tmp_path)}
    assert findings({**base, "STORE": str(tmp_path / "file/store")}) == {"registry.E007"}
    assert findings({**base, "IMPORT_ROOTS": str(tmp_path / "absent")}) == {"registry.E008"}
    assert findings({**base, "IMPORT_ROOTS": str(tmp_path)}) == {"registry.E009"}


def test_a_broker_that_is_none_of_ours_and_a_list_of_registries_that_is_not_there_are_found(
    tmp_path: Path,
) -> None:
    base = {**PRODUCTION, "VAR_DIR": str(tmp_path)}
    assert findings({**base, "BROKER_URL": "amqp://broker.example.org"}) == {"registry.E003"}
    assert findings({**base, "BROKER_URL": "valkey://broker.example.org/0"}) == {"registry.E003"}
    assert findings({**base, "RDAP_BOOTSTRAP": str(tmp_path / "absent.json")}) == {"registry.E012"}
    (tmp_path / "dns.json").write_text("{}")
    assert findings({**base, "RDAP_BOOTSTRAP": str(tmp_path / "dns.json")}) == set()
    assert findings({**base, "RDAP_BOOTSTRAP": ""}) == set()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LINKS_CONTACT", "write to us", "e-mail address"),
        ("ADVISORY_PREFIX", "exp", "capital letters"),
        ("LINKS_LEASE_SECONDS", "10", "80"),
        ("LINKS_TEST_TARGETS", "127.0.0.1:8099", "unset it in production"),
    ],
)
def test_a_command_says_in_one_line_which_setting_makes_no_sense(name: str, value: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env={"PATH": os.defpath, **PRODUCTION, name: value},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert name in done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_beat_keeps_its_own_file_where_the_site_writes(tmp_path: Path) -> None:
    expression = "s.CELERY_BEAT_SCHEDULE_FILENAME"
    assert settings({"VAR_DIR": str(tmp_path)}, expression) == str(tmp_path / "beat-schedule")


def test_whom_owners_of_sites_write_to_is_an_address_that_a_page_may_lead_to() -> None:
    for contact in ("links@example.org", "https://example.org/contact", ""):
        assert settings({**PRODUCTION, "LINKS_CONTACT": contact}, "s.LINKS_CONTACT") == contact
    for contact in ("javascript:alert(1)", "data:text/html,x@y", "somebody", "a b@example.org"):
        assert python("from registry import settings", {**PRODUCTION, "LINKS_CONTACT": contact}).returncode
