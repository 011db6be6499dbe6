"""A real Chromium against a real site that has something on every page."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.stock import Stock, make_stock
from tests.browser.visitors import Visitors
from tests.takedowns.released import keys, published, setting, verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from takedowns.releases.models import Release
    from tests.processes import Gunicorn
    from tests.takedowns.released import Setting

__all__ = ["keys", "published", "setting", "verified"]

CHROMIUM = shutil.which("chromium")
# No sandbox: tests also run as root. The rest keeps the browser itself from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("There is no command `chromium` on this machine (Debian: apt-get install chromium).")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, and Django takes that for asynchronous code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def stock(transactional_db: None, setting: Setting, published: Release) -> Stock:
    return make_stock(setting, published)


@pytest.fixture
def visitors(chromium: Browser, stock: Stock, live_site: Gunicorn) -> Iterator[Visitors]:
    """Opens browsers for people; afterwards nothing may have gone wrong in any of them."""
    with Visitors(chromium, live_site.url) as opened:
        yield opened
    assert opened.troubles == []
