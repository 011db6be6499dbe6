"""Browsers for the people of a test, and what went wrong in them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from tests.factories import PASSWORD

if TYPE_CHECKING:
    from types import TracebackType

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

    from registry.accounts.models import User


class Visitors:
    """Opens one browser profile a person, and collects `troubles`: what the console says, a part of a page that is
    missing, a request that leaves this machine. Violations of the content security policy are said on the console.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self.troubles: list[str] = []
        self._browser = browser
        self._opened = ExitStack()

    def open(self, user: User | None = None, **options: Any) -> Page:
        """A page of a new profile, signed in if a user is given; addresses may be paths. `options` are Playwright's."""
        context = self._opened.enter_context(self._browser.new_context(base_url=self.url, **options))
        context.set_default_timeout(10_000)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.troubles.append(f"script: {error.error}"))
        context.on("request", self._sent)
        context.on("response", self._answered)
        page = context.new_page()
        if user:
            page.goto("/sign-in/")
            page.get_by_label("Username").fill(user.username)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name="Sign out").wait_for()
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        # That a page itself is missing is what some tests want; for a part of one see `_answered`.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.troubles.append(f"console: {message.text}")

    def _sent(self, request: Request) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            self.troubles.append(f"left this machine: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.troubles.append(f"{response.status}: {response.url}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
