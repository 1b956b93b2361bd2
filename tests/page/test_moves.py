"""The list of the real page is never blank: after each move, the rows that are seen are those that belong there."""

from __future__ import annotations

import random
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ..projects import until
from ..serving import published, serving
from .conftest import Windows

MOVES = 60
PARTS, EACH = 20, 12

# What is seen: the rows that touch the window of the list, and what it should be by their numbers.
_SEEN = """() => {
  const list = document.querySelector('.bw-tree-scroll');
  const view = list.getBoundingClientRect();
  const rows = [...list.querySelectorAll('.bw-row')].map(row => [row, row.getBoundingClientRect()])
    .filter(([, box]) => box.bottom > view.top + 1 && box.top < view.bottom - 1)
    .sort((a, b) => a[1].top - b[1].top);
  return {
    top: list.scrollTop, height: list.clientHeight, whole: list.scrollHeight, row: rows[0]?.[1].height ?? 0,
    names: rows.map(([row]) => row.querySelector('.bw-name').textContent),
  };
}"""


def _names(unfolded: bool, wanted: str) -> list[str]:
    """The names of all rows, from the first to the last."""
    names: list[str] = []
    for part in range(PARTS):
        below = [f"Thing {part:02}-{one:02}" for one in range(EACH)]
        found = [name for name in below if wanted in name.lower()]
        if wanted and not found:
            continue
        names.append(f"Part {part:02}")
        names += found if wanted else below if unfolded else []
    return names


def _check(page: Page, names: list[str], told: str) -> None:
    def right() -> bool:
        seen: dict[str, Any] = page.evaluate(_SEEN)
        if not seen["row"] or abs(seen["whole"] - max(seen["height"], len(names) * seen["row"])) > 1:
            return False
        first = int((seen["top"] + 1) // seen["row"])
        return seen["names"] == names[first : first + len(seen["names"])] and (
            len(seen["names"]) >= min(len(names) - first, int(seen["height"] // seen["row"]))
        )

    until(right, what=f"the rows that belong there, after {told}")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rows_seen_are_those_that_belong_there(windows: Windows, seed: int) -> None:
    chance = random.Random(seed)
    unfolded, wanted = False, ""
    with published() as session, serving(session) as server:
        for part in range(PARTS):
            name = f"Part {part:02}"
            session.publish({"type": "component_update", "component_id": f"part-{part:02}", "name": name})
            for one in range(EACH):
                thing = {"feature_id": f"thing-{part:02}-{one:02}", "name": f"Thing {part:02}-{one:02}"}
                session.publish({"type": "feature_update", "component_id": f"part-{part:02}", **thing})
        session.publish({"type": "terminal_output", "output": "one line"})
        page = windows.open(server.url)
        expect(page.locator(".bw-name", has_text="Part 00")).to_be_visible()
        scroll = page.locator(".bw-tree-scroll")
        told: list[str] = []
        for _ in range(MOVES):
            move = chance.choice(
                ["scroll", "scroll", "end", "fold", "sort", "filter", "hide", "width", "update", "tab"]
            )
            told.append(move)
            if move == "scroll":
                scroll.evaluate("(list, share) => { list.scrollTop = share * list.scrollHeight; }", chance.random())
            elif move == "end":
                scroll.evaluate("list => { list.scrollTop = list.scrollHeight; }")
            elif move == "fold" and not wanted:
                unfolded = not unfolded
                page.get_by_role("button", name="Unfold all" if unfolded else "Fold all", exact=True).click()
            elif move == "sort":
                page.get_by_label("Sort by").select_option(chance.choice(["order", "name"]))
            elif move == "filter":
                wanted = chance.choice(["", "00-", "9-0"])
                page.get_by_label("Filter", exact=True).fill(wanted)
            elif move == "hide":
                page.evaluate("() => { document.querySelector('#page').style.display = 'none'; }")
                page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
                page.evaluate("() => { document.querySelector('#page').style.display = ''; }")
            elif move == "width":
                page.set_viewport_size({"width": chance.choice([380, 700, 1000]), "height": chance.choice([700, 900])})
            elif move == "tab":
                page.get_by_role("tab", name="Output").click()
                page.get_by_role("tab", name="Build").click()
            elif move == "update":
                progress = chance.randrange(101)
                part = {"component_id": "part-07", "name": "Part 07", "progress": progress}
                session.publish({"type": "component_update", **part})
            _check(page, _names(unfolded, wanted), ", ".join(told[-6:]))
