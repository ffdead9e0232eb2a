"""One stack and one browser for all tests of the page; see `site`.

Both end with the module: while Playwright runs, no other test of the worker can have a loop.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.browser.site import CHROMIUM, INSTALL, Site, chromium, running
from tests.conftest import absent


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium; skipped without it on a laptop, a failure where CI is set."""
    if not CHROMIUM.exists():
        absent(f"{CHROMIUM} is not here; install it with: {INSTALL}")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A whole stack whose gateway serves the page."""
    assert os.name == "posix"
    with running(tmp_path_factory.mktemp("site") / "home") as found:
        yield found
