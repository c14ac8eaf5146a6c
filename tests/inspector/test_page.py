"""The inspector in a real browser: who may look, what is shown, and what a click does."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.inspector.conftest import PATIENCE, Inspected
from tests.support import wait_until

VIEWS = ("live", "held", "dead", "rules", "people", "sources")


def order(user: str = "ines", **parts: Any) -> dict[str, Any]:
    user_ = {"id": user, "email": f"{user}@shop.example"}
    return {"name": "order complete", "data": {"total": 55}, "user": user_, **parts}


def opened(page: Page, inspected: Inspected, view: str = "live") -> Page:
    """Open the page with its token, at a view."""
    page.goto(inspected.address)
    expect(page.locator("#link")).to_have_text("Live")
    if view != "live":
        page.click(f"nav a[href='#/{view}']")
    expect(page.locator(f"#{view}")).to_be_visible()
    return page


def dead_letter(page: Page, inspected: Inspected) -> Page:
    """Open the view with one dead letter, of an order that the warehouse has refused."""
    inspected.send(order())
    opened(page, inspected, "dead")
    expect(page.locator("#dead-list .letters li")).to_have_count(1)
    return page


# --- who may look --------------------------------------------------------------------------------


def test_page_without_its_token_asks_for_it_and_shows_nothing(
    page: Page, inspected: Inspected
) -> None:
    bare, _, token = inspected.address.partition("#token=")
    page.goto(bare)
    expect(page.get_by_role("heading", name="This page needs its token")).to_be_visible()
    expect(page.locator("#live")).to_be_hidden()
    page.get_by_label("Token").fill("a-token-that-is-wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert").filter(has_text="The token is wrong")).to_be_visible()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", name="Live", exact=True)).to_be_visible()


def test_token_leaves_the_address_at_once_and_is_in_no_request_line(
    page: Page, inspected: Inspected
) -> None:
    token = inspected.address.partition("#token=")[2]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("#")[0]))
    opened(page, inspected)
    assert token not in page.url
    assert not [url for url in asked if token in url]
    assert page.context.cookies() == []
    page.reload()
    expect(page.locator("#link")).to_have_text("Live")
    assert page.evaluate("localStorage.length") == 0


# --- what is shown -------------------------------------------------------------------------------


def test_live_event_appears_within_a_second(page: Page, inspected: Inspected) -> None:
    opened(page, inspected)
    expect(page.locator("#destinations article")).to_have_count(3)
    began = time.monotonic()
    inspected.send(order())
    expect(page.locator("#events li").filter(has_text="archive")).to_be_visible(timeout=1000)
    assert time.monotonic() - began < 2
    row = page.locator("#events li").filter(has_text="archive")
    row.locator("summary").click()
    expect(row.locator("pre").last).to_contain_text('"name": "order complete"')
    expect(row).to_contain_text("delivered")
    expect(page.locator("#tiles div").filter(has_text="Held")).to_contain_text("1")


def test_held_event_says_why(page: Page, inspected: Inspected) -> None:
    opened(page, inspected)
    inspected.send(order())
    row = page.locator("#events li").filter(has_text="newsletter")
    row.locator("summary").click()
    expect(row).to_contain_text("needs consent to marketing")
    expect(row).to_contain_text("marketing: nobody has said anything")
    page.click("nav a[href='#/held']")
    group = page.locator("#held-list article")
    expect(group).to_have_count(1)
    expect(group).to_contain_text("newsletter needs consent to marketing")
    inspected.send(order(consent={"marketing": True}))  # which releases the one before
    expect(page.locator("#held-list")).to_contain_text("Nothing is held.")


def test_rules_that_none_was_for_are_told(page: Page, inspected: Inspected) -> None:
    opened(page, inspected)
    inspected.send(order(consent={"marketing": True}), {"name": "page view"})
    page.click("nav a[href='#/rules']")
    rows = page.locator("#rules-rows tr").filter(has_text="newsletter")
    expect(rows.filter(has_text="order complete")).to_contain_text("1")
    expect(rows.filter(has_text="page view")).to_contain_text("ignores")
    expect(rows.filter(has_text="product add")).to_contain_text("never matched")


def test_source_tells_its_requests_and_refusals(page: Page, inspected: Inspected) -> None:
    opened(page, inspected, "sources")
    inspected.send(order(), order())
    card = page.locator("#sources-list article")
    expect(card).to_contain_text("web")
    expect(card.locator("div").filter(has_text="Events accepted").first).to_contain_text("2")


def test_values_are_masked_until_they_are_asked_for(page: Page, inspected: Inspected) -> None:
    opened(page, inspected)
    inspected.send(order())
    row = page.locator("#events li").filter(has_text="archive")
    row.locator("summary").click()
    expect(row.locator("pre").last).to_contain_text('"total": "***"')
    assert "ines@shop.example" not in page.content()
    page.get_by_role("button", name="Show values").click()
    expect(page.locator("#unmasked")).to_be_visible()
    expect(row.locator("pre").last).to_contain_text('"total": 55')
    expect(row.locator("pre").last).to_contain_text("ines@shop.example")
    page.get_by_role("button", name="Mask values").click()
    expect(page.locator("#unmasked")).to_be_hidden()
    expect(row.locator("pre").last).to_contain_text('"total": "***"')
    assert "ines@shop.example" not in page.content()


def test_opened_dead_letter_stays_open_as_its_values_are_shown(
    page: Page, inspected: Inspected
) -> None:
    letter = dead_letter(page, inspected).locator("#dead-list .letters li")
    letter.locator("summary").click()
    expect(letter.locator("pre")).to_contain_text('"total": "***"')
    page.get_by_role("button", name="Show values").click()
    expect(letter.locator("pre")).to_contain_text('"total": 55')
    page.get_by_role("button", name="Mask values").click()
    expect(letter.locator("pre")).to_contain_text('"total": "***"')
    assert "ines@shop.example" not in page.content()


def test_everything_can_be_reached_on_a_narrow_screen(page: Page, inspected: Inspected) -> None:
    page.set_viewport_size({"width": 375, "height": 800})
    opened(page, inspected, "rules")
    for item in [*page.locator("nav a").all(), page.get_by_text("never matched").first]:
        expect(item).to_be_in_viewport(ratio=1)


def test_list_can_be_paused_and_filtered(page: Page, inspected: Inspected) -> None:
    opened(page, inspected)
    page.get_by_role("button", name="Pause").click()
    inspected.send(order())
    resume = page.get_by_role("button", name=re.compile(r"Resume \(\d+ new\)"))
    expect(resume).to_be_visible()
    expect(page.locator("#events li")).to_have_count(0)
    resume.click()
    expect(page.locator("#events li")).to_have_count(3)
    page.get_by_label("Outcome").select_option("held")
    expect(page.locator("#events li")).to_have_count(1)
    page.get_by_label("Outcome").select_option("all")
    page.get_by_label("Filter by event, person or destination").fill("warehouse")
    expect(page.locator("#events li")).to_have_count(1)
    page.get_by_label("Filter by event, person or destination").fill("nothing like it")
    expect(page.locator("#no-events")).to_have_text(
        "None of the latest 3 events here matches the filter."
    )


# --- what a click does ---------------------------------------------------------------------------


def test_dead_letter_is_replayed_by_a_click_and_arrives(page: Page, inspected: Inspected) -> None:
    dead_letter(page, inspected)
    expect(page.locator("#dead-list .reason")).to_contain_text("422")
    inspected.hook.healthy = True
    page.locator("#dead-list .letters summary").click()
    page.locator("#dead-list .letters").get_by_role("button", name="Replay").click()
    expect(page.get_by_role("status").filter(has_text="1 event on the way again")).to_be_visible()
    wait_until(lambda: len(inspected.hook.taken) == 1, "the event arrived")
    expect(page.locator("#dead-list")).to_contain_text("There are no dead letters.")


def test_dead_letters_of_a_reason_are_deleted_after_a_question(
    page: Page, inspected: Inspected
) -> None:
    inspected.send(order(), order("tom"))
    opened(page, inspected, "dead")
    remove = page.get_by_role("button", name="Delete all 2")
    remove.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#dead-list .letters li")).to_have_count(2)
    remove.click()
    expect(page.get_by_role("dialog")).to_contain_text("2 dead letters")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#dead-list")).to_contain_text("There are no dead letters.")
    assert inspected.hook.taken == []


def test_person_is_forgotten_after_a_question(page: Page, inspected: Inspected) -> None:
    inspected.send(order())
    opened(page, inspected, "people")
    page.get_by_label("Identifier").fill("ines")
    page.get_by_role("button", name="Look up").click()
    card = page.locator("#person article")
    expect(card).to_contain_text("Known as")
    expect(card.locator(".letters li")).to_have_count(1)
    card.get_by_role("button", name="Forget…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Forget ines?")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(card.locator(".letters li")).to_have_count(1)
    card.get_by_role("button", name="Forget…").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page.locator("#person")).to_contain_text("Nothing is known of id:ines.")
    page.click("nav a[href='#/live']")
    expect(page.locator("#no-events")).to_contain_text("as a person was erased")


# --- for everybody -------------------------------------------------------------------------------


def test_everything_can_be_done_by_keyboard(page: Page, inspected: Inspected) -> None:
    dead_letter(page, inspected)
    inspected.hook.healthy = True
    press, focused = page.keyboard.press, page.locator(":focus")
    page.reload()
    expect(page.locator("#link")).to_have_text("Live")
    press("Tab")
    expect(focused).to_have_text("Skip to the content")
    go_to(page, "#dead-list .letters summary")
    press("Enter")
    go_to(page, "#dead-list .letters button.danger")
    press("Enter")
    expect(focused).to_have_text("Cancel")
    press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(focused).to_have_text("Delete")
    page.keyboard.press("Shift+Tab")
    press("Enter")
    wait_until(lambda: len(inspected.hook.taken) == 1, "the event arrived")
    expect(page.locator("#dead-list")).to_contain_text("There are no dead letters.")
    expect(focused).to_have_text("Dead letters")
    press("Shift+Tab")
    go_to(page, "nav a[href='#/people']", "Shift+Tab")
    press("Enter")
    expect(focused).to_have_text("People")
    go_to(page, "#key")
    page.keyboard.type("ines")
    press("Enter")
    go_to(page, "#forget")


def go_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Press a key until an element has the focus."""
    page.locator(selector).first.wait_for(timeout=PATIENCE)
    for _ in range(40):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"no {key} leads to {selector}")


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 1440)])
def test_contrast_labels_and_structure_are_right_in_every_view(
    scheme: Any, width: int, page: Page, inspected: Inspected, axe: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    inspected.send(order(), order("tom"), {"name": "page view"})
    page.goto(inspected.address.partition("#")[0])
    expect(page.locator("#entry")).to_be_visible()
    found = faults(page, axe, "entry")
    opened(page, inspected)
    inspected.send(order("lea"))
    expect(page.locator("#events li").first).to_be_visible()
    for summary in page.locator("#events summary").all()[:3]:
        summary.click()
    for view in VIEWS:
        page.click(f"nav a[href='#/{view}']")
        if view == "people":
            page.get_by_label("Identifier").fill("ines")
            page.keyboard.press("Enter")
            page.locator("#person summary").first.click()
        if view in ("held", "dead"):
            page.locator(f"#{view}-list summary").first.click()
        found += faults(page, axe, view)
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), f"{view} is wider than the window"
    page.click("nav a[href='#/dead']")
    page.get_by_role("button", name=re.compile("Delete all")).click()
    found += faults(page, axe, "dialog")
    assert "\n".join(found) == ""


def faults(page: Page, axe: str, view: str) -> list[str]:
    """Return the faults that axe-core finds in the page as it is."""
    page.evaluate(f"() => {{ {axe} }}")  # not as a script of the page: its policy forbids that
    result = page.evaluate("axe.run()")
    return [
        f"{view}: {fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in result["violations"]
        for node in fault["nodes"]
    ]
