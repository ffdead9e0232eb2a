"""The Loop page in a real browser, on a real stack that learns while people look at it."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.site import PIPELINE, Site, Visit, visit, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SECONDS = 1_500
ARRIVES_MS = 180_000
"""A succession comes after some minutes of event time, which the machine plays as fast as it can."""

Enter = Callable[[str, str], Visit]


@pytest.fixture
def enter(site: Site, browser: Browser) -> Iterator[Enter]:
    """Logs somebody in; what their browser asked for and complained about is checked at the end."""
    visits: list[Visit] = []

    def come_in(name: str, role: str) -> Visit:
        visits.append(visit(browser, site.link(name, role)))
        return visits[-1]

    yield come_in
    for found in visits:
        found.page.context.close()
        assert {urlsplit(url).hostname for url in found.asked if not url.startswith("data:")} == {
            "127.0.0.1"
        }
        assert found.complaints == []


@pytest.fixture(scope="module")
def played(site: Site) -> Site:
    """The stack after a history in which a learnt model took the seat and decisions wait."""
    wait_for(site.play(seconds=SECONDS), 300)
    return site


def answer(page: Page, button: str, why: str) -> None:
    """Press a button and say why in the dialog."""
    page.get_by_role("button", name=button).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill(why)
    dialog.get_by_role("button", name=button.split(maxsplit=1)[0]).click()
    expect(dialog).to_have_count(0)


def test_without_a_session_the_page_says_how_to_get_one(site: Site, browser: Browser) -> None:
    link = urlsplit(site.link("nobody", "viewer"))
    page = browser.new_page()
    answered = page.goto(f"{link.scheme}://{link.netloc}/")
    assert answered
    assert answered.status == 401
    expect(page.locator("body")).to_contain_text("flyball users invite NAME")
    page.context.close()


def test_a_login_link_works_once(site: Site, browser: Browser, enter: Enter) -> None:
    link = site.link("ada", "viewer")
    found = visit(browser, link)
    expect(found.page.locator(".person")).to_have_text("ada · viewer")
    found.page.context.close()
    second = browser.new_page()
    second.goto(link)
    expect(second.locator(".board")).to_have_count(0)
    second.context.close()


def test_a_succession_arrives_while_somebody_looks(site: Site, enter: Enter) -> None:
    page = enter("ada", "viewer").page
    playing = site.play(seconds=SECONDS)
    for stage in ("Ingest", "Inference", "Risk"):
        box = page.locator("section.flow .box").filter(has_text=stage)
        expect(box).to_contain_text(re.compile(r"[1-9]\S*\srows/s"), timeout=60_000)
    seat, events = page.locator("section.seat"), page.locator("section.events")
    expect(page.locator(".headline")).to_contain_text("built-in baseline", timeout=60_000)
    expect(seat).to_contain_text("Another trainer took the seat", timeout=ARRIVES_MS)
    expect(page.locator(".headline")).to_contain_text("model of trainer")
    expect(events).to_contain_text(re.compile(r"is better than baseline: log E \d+\.\d+ crossed"))
    expect(page.locator("section.figures")).to_contain_text("lowest")
    wait_for(playing, 300)


def test_an_approved_decision_goes_out_and_a_viewer_cannot_approve(
    played: Site, enter: Enter
) -> None:
    viewer, approver = enter("vi", "viewer").page, enter("ada", "approver").page
    waiting = viewer.locator("section.waiting")
    expect(waiting.get_by_role("button", name="Approve offload on machine-0")).to_be_disabled()
    expect(waiting).to_contain_text("You are viewer; approver and admin may answer.")
    assert played.actions("machine-0") == []
    answer(approver, "Approve offload on machine-0", "looked at it")
    expect(approver.get_by_role("status")).to_contain_text("approved")
    expect(approver.locator("section.events")).to_contain_text(
        "ada approved offload on machine-0: looked at it."
    )
    expect(waiting).to_contain_text("None now")
    (action,) = played.actions("machine-0")
    assert action["action"] == "offload"


def test_a_stop_is_seen_by_everybody_and_resumed_by_who_may(played: Site, enter: Enter) -> None:
    admin, other = enter("ada", "admin").page, enter("vi", "viewer").page
    expect(other.get_by_role("button", name="Stop actions")).to_be_disabled()
    answer(admin, "Stop actions", "antennas are being serviced")
    for page in (admin, other):
        expect(page.locator(".alarm.stopped")).to_contain_text(
            "Stopped by ada", use_inner_text=True
        )
        expect(page.locator(".alarm.stopped")).to_contain_text("antennas are being serviced")
    answer(admin, "Resume actions", "done")
    for page in (admin, other):
        expect(page.locator(".alarm.stopped")).to_have_count(0)
    expect(admin.locator("section.events")).to_contain_text("ada let the pipeline act again: done.")


def test_a_reason_is_asked_for(played: Site, enter: Enter) -> None:
    page = enter("ada", "operator").page
    page.get_by_role("button", name="Stop actions").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Stop actions").click()
    expect(dialog).to_contain_text("Say why")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator(".alarm.stopped")).to_have_count(0)


def test_it_can_be_used_by_keyboard(played: Site, enter: Enter) -> None:
    page = enter("ada", "operator").page
    stop = page.get_by_role("button", name="Stop actions")
    stop.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Why")).to_be_focused()
    page.keyboard.type("keyboard")
    page.keyboard.press("Enter")
    expect(page.locator(".alarm.stopped")).to_contain_text("keyboard")
    answer(enter("root", "admin").page, "Resume actions", "tried")
    expect(page.locator(".alarm.stopped")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(played: Site, browser: Browser, width: int) -> None:
    size = {"width": width, "height": 844}
    for scheme in ("light", "dark"):
        found = visit(browser, played.link("ada", "viewer"), viewport=size, color_scheme=scheme)
        expect(found.page.locator("section.seat dl")).to_be_visible()
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        found.page.context.close()


def test_one_page_is_about_one_pipeline(played: Site, enter: Enter) -> None:
    page = enter("ada", "viewer").page
    expect(page.locator(".headline")).to_contain_text("last(load) > 70")
    page.goto(f"{page.url.split('?')[0]}?pipeline={PIPELINE}")
    expect(page.locator(".headline")).to_contain_text("last(load) > 70")
