"""What only the demo knows, kept between runs: passwords, the secrets of reports, and how long each step took."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """A small JSON file that its owner alone may read. Every change is on disk before the next thing happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def belongs_to(self, database: str) -> None:
        """Begin anew when the journal is about another database, by the id of the demo's organisation there."""
        if self._kept.get("database") != database:
            self._kept = {"database": database, "passwords": self._kept.get("passwords", {})}
            self._save()

    def password(self, username: str) -> str:
        """The user's password, made on first use."""
        passwords = self._kept.setdefault("passwords", {})
        if username not in passwords:
            passwords[username] = secrets.token_urlsafe(12)
            self._save()
        return str(passwords[username])

    @property
    def status_secrets(self) -> dict[str, str]:
        """Secrets of the reports' status pages, by the number of the report."""
        return dict(self._kept.get("secrets", {}))

    def keep_secret(self, number: str, secret: str) -> None:
        """Keep the secret of a report, which the site shows once."""
        self._kept.setdefault("secrets", {})[number] = secret
        self._save()

    @property
    def street_port(self) -> int:
        """The port that the demo's links name; 0 before they are made."""
        return int(self._kept.get("street_port", 0))

    def keep_street_port(self, port: int) -> None:
        """Keep the port that the links name."""
        self._kept["street_port"] = port
        self._save()

    @property
    def seconds(self) -> dict[str, float]:
        """How long each finished step took, by its title, in order."""
        return dict(self._kept.get("seconds", {}))

    def step_done(self, title: str, seconds: float) -> None:
        """Keep how long a step took. The run that did the work counts, not a later one that found it done."""
        if self.finished:
            return
        kept = self._kept.setdefault("seconds", {})
        kept[title] = max(seconds, kept.get(title, 0.0))
        self._save()

    @property
    def finished(self) -> str:
        """When the whole job was finished, in words; empty before."""
        return str(self._kept.get("finished", ""))

    def finish(self, when: str) -> None:
        """Keep that the whole job is finished."""
        self._kept["finished"] = when
        self._save()

    def _save(self) -> None:
        aside = self.path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(self._kept, indent=1))
        aside.rename(self.path)
