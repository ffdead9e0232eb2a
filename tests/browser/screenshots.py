"""Writes docs/images: the page on a real stack, while it learns from a history.

    make screenshots

Nothing is staged but the moment: six machines are played in lockstep until a learnt model holds the
seat, others challenge it and a decision waits for a person.
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect
from tests.browser.site import CHROMIUM, INSTALL, ROOT, chromium, running, visit

IMAGES = ROOT / "docs" / "images"
SECONDS = 1_500
ARRIVES_MS = 400_000


def main() -> None:
    """Play, look, press stop, look again."""
    if not CHROMIUM.exists():
        sys.exit(f"{CHROMIUM} is not here; install it with: {INSTALL}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="flyball-") as folder,
        running(Path(folder) / "home") as site,
        chromium() as browser,
    ):
        page = visit(browser, site.link("ada", "admin")).page
        site.play(seconds=SECONDS)
        shoot(page)


def shoot(page: Page) -> None:
    """A seat, a challenger and a hold; then the same, stopped; then on a telephone in the dark."""
    expect(page.locator("section.seat")).to_contain_text(
        "Another trainer took the seat", timeout=ARRIVES_MS
    )
    expect(page.locator("section.challengers")).to_contain_text(
        re.compile(r"against (?!baseline).*after [2-9]\d blocks"), timeout=ARRIVES_MS
    )
    expect(page.locator("section.waiting li").first).to_be_visible(timeout=ARRIVES_MS)
    page.screenshot(path=IMAGES / "loop.png", full_page=True)
    page.get_by_role("button", name="Stop actions").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("the machines are being serviced")
    dialog.get_by_role("button", name="Stop actions").click()
    expect(page.locator(".alarm.stopped")).to_be_visible()
    expect(page.locator(".q-dialog")).to_have_count(0)
    expect(page.locator(".q-notification")).to_have_count(0, timeout=20_000)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=IMAGES / "loop-stopped.png")


if __name__ == "__main__":
    main()
