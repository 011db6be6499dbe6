"""HTTP to the demo's own site, at its loopback address and nowhere else.

The server's outgoing HTTP has a door of its own; this is not the server but somebody who uses it, so the standard
library's plain client is enough.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from takedowns.management.demo.steps import StepFailed

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 60


class Client:
    """Somebody who talks to the site: with an API key, or a stranger."""

    def __init__(self, site_url: str, api_key: str = "") -> None:
        self._host = urlsplit(site_url).netloc
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        """What the API answers to GET. Raises StepFailed unless it is 200."""
        return self._json("GET", path, None, headers or {}, expected={200})

    def find(self, path: str) -> Any | None:
        """As `get`, but None where there is nothing."""
        answer = self._json("GET", path, None, {}, expected={200, 404})
        return None if set(answer) == {"detail"} else answer

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the API answers to POST. Raises StepFailed unless it was done or begun."""
        return self._json("POST", path, body or {}, {}, expected={200, 201, 202})

    def refused(self, path: str, body: dict[str, Any]) -> str:
        """The reason why a POST is refused. Raises StepFailed when it is not."""
        return str(self._json("POST", path, body, {}, expected={403, 409})["detail"])

    def status(self, path: str) -> int:
        """The HTTP status of a page."""
        return self._request("GET", path, None, {})[0]

    def download(self, path: str, target: Path) -> int:
        """Save what is at a path in a new file; returns its size in bytes. Raises StepFailed unless it is 200."""
        status, content = self._request("GET", path, None, {})
        if status != http.client.OK:
            raise StepFailed(f"The download of {path} was answered {status}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return len(content)

    def _json(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str], expected: set[int]
    ) -> Any:
        status, content = self._request(method, f"/api/v1{path}", body, headers)
        if status not in expected:
            # Paths of the API hold no secret and refusals no value of an item.
            raise StepFailed(
                f"{method} /api/v1{path} was answered {status}: {content.decode(errors='replace')[:600]}"
            )
        return json.loads(content)

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json", **self._headers, **headers},
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise StepFailed(f"The site does not answer: {error}.") from error
        finally:
            connection.close()
