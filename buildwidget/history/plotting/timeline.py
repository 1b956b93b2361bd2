"""What the timeline shows: the items that were begun, from their start to their end, and the critical path."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from .. import analysis
from ..analysis import Tables
from .look import LIFECYCLE, STATUS_WORDS, count_of, date_words, duration_words
from .views import TIME, Chosen, Frame, Timeline, chosen_of, kinds_linked

__all__ = ["MOST_BARS", "timeline"]

_pd: Any = pd  # it does not type its functions in full
MOST_BARS: Final = 60
_ENDED: Final = ("completed", "error", "skipped", "cancelled")
_URGENT: Final = ("error", "blocked", "in_progress", "paused")
_TO_COME: Final = ("not_started", "blocked", "paused", "unknown")
_NOT_BEGUN: Final = ("not_started", "skipped", "cancelled", "unknown")


def timeline(t: Tables, *, kind: str | None, session_id: str | None) -> Timeline:
    """A bar for each item that was begun: from its start to its end, or to now. Features are below their components."""
    chosen = chosen_of(t, kind, session_id, linked=True)
    noun = chosen.kind
    found = _begun(t, chosen, noun)
    above = _begun(t, chosen, "component") if noun == "feature" else found.iloc[:0]
    _keep_the_longer_path(found, above)
    items = found[found["begun"]].drop(columns="begun").reset_index(drop=True)
    waiting = int((~found["begun"] & found["status"].isin(_TO_COME)).sum())
    view = Timeline("Timeline", chosen.notes, _in_rows(Timeline(""), items.iloc[:0], {}), noun=noun)
    if items.empty:
        view.empty = f"No {noun} has been started yet." if waiting else chosen.nothing
        return view
    total = len(items)
    first, last = items["started"].min(), items["ended"].max()
    if first == last:
        view.empty = f"When the {total:,} {noun}s were worked on is not known: all were over when they were first seen."
        if total == 1 or items["running"].any():
            view.empty = (
                f"The only time that is known is {last:%H:%M}, {date_words(last, last)} (UTC): nothing to draw yet."
            )
        return view
    if total > MOST_BARS:
        items = _most_relevant(items)
        view.notes.append(
            f"{MOST_BARS} of {total:,} {noun}s are shown: those under way or stuck first, then the critical path, then "
            f"the longest. {total - MOST_BARS:,} are left out."
        )
    if waiting:
        view.notes.append(f"{count_of(waiting, noun)} not started.")
    path = _pd.concat([one[one["critical"]] for one in (found, above)])
    if path["begun"].any():
        named = count_of(len(path), str(path["kind"].iloc[0]))
        said = f"Outlined: the critical path, {named} that decide how long it takes"
        left = int((~path["begun"]).sum())
        view.notes.insert(0, f"{said}; {left:,} of them still to begin." if left else f"{said}.")
    heads: dict[str, Any] = {str(row["item_id"]): row for _, row in above.iterrows()}
    view.data = _in_rows(view, items, heads)
    view.statuses = [name for name in LIFECYCLE if (view.data["status"] == name).any()]
    view.now = t.present_ts if view.data["running"].any() else None
    view.least = (last - first).total_seconds() / 3600 / 250
    view.days = date_words(first, last)
    view.title = f"Timeline: {count_of(total, noun)} in {duration_words((last - first).total_seconds())}"
    return view


def _keep_the_longer_path(found: Any, above: Any) -> None:
    """Where both the features and their components have a critical path, show that which takes longer."""
    paths = [frame["hours"].where(frame["critical"]).sum() for frame in (found, above)]
    if all(paths):
        (found if paths[0] < paths[1] else above)["critical"] = False


def _begun(t: Tables, chosen: Chosen, kind: str) -> Frame:
    """The items of a kind, when they were begun, if they were, and when they ended."""
    items: Any = t.items
    items = items[(items["kind"] == kind) & (items["session_id"] == chosen.session)]
    moves: Any = t.transitions
    moves = moves[(moves["kind"] == kind) & (moves["session_id"] == chosen.session)]
    after = moves["to_status"].astype(object)
    moves = moves[after.ne(moves["from_status"].astype(object)) & after.notna()]
    ids, after = moves["item_id"].astype(object), moves["to_status"].astype(object)
    last: Any = moves["ts"].groupby(ids).max()
    names: Any = items["item_id"].astype(object).reset_index(drop=True)
    found: Any = _pd.DataFrame(
        {
            "item_id": names,
            "name": items["name"].astype(object).reset_index(drop=True).fillna(names),
            "kind": kind,
            "group": items["parent_id"].astype(object).to_numpy(),
            "status": items["status"].astype(object).to_numpy(),
        }
    )
    found["ended"] = _times(names, last)
    over = found["status"].isin(_ENDED)
    worked: Any = analysis.spans_of_work(t, kind=kind, session_id=chosen.session)
    worked = worked.set_index("item_id")
    ended = _times(names, worked["ended"])
    found["ended"] = ended.where(ended.notna(), found["ended"]).where(over, t.present_ts)
    found["started"] = _times(names, worked["started"])
    # A start that nobody saw is no start: the bar is open on its left, and begins where it was first seen.
    first = _times(names, worked["first"])
    found["open_start"] = found["started"].isna() & first.notna()
    found["started"] = found["started"].fillna(first.where(first <= found["ended"]))
    seen = found["started"].notna() & ~found["open_start"]
    # Of the others nobody saw anything but their end: a mark there.
    unseen = found["started"].isna() & found["status"].isin(["completed", "error"])
    found["started"] = found["started"].where(~unseen, found["ended"])
    found["running"] = ~over
    found["begun"] = found["started"].notna() & ~found["status"].isin(_NOT_BEGUN)
    found["hours"] = ((found["ended"] - found["started"]).dt.total_seconds() / 3600).where(seen)
    found["critical"] = False
    if kind in kinds_linked(t, chosen.session):
        path: Any = analysis.critical_path(t, kind=kind, session_id=chosen.session)
        found["critical"] = names.isin(path["item_id"].astype(object))
    return found.sort_values(["started", "item_id"], kind="stable", ignore_index=True)


def _times(names: Any, known: Any) -> Any:
    return _pd.Series(known.reindex(names).to_numpy(), dtype="datetime64[us, UTC]")


def _most_relevant(items: Frame) -> Frame:
    rank = _pd.DataFrame(
        {
            "calm": ~items["status"].isin(_URGENT),
            "slack": ~items["critical"],
            "short": items["started"] - items["ended"],
        }
    )
    kept = rank.sort_values(["calm", "slack", "short"], kind="stable").index[:MOST_BARS]
    return items.loc[kept.sort_values()].reset_index(drop=True)


def _in_rows(view: Timeline, items: Frame, heads: dict[str, Any]) -> Frame:
    """The bars in the order of the chart, with the names at the left; a group's name is above its bars."""
    groups = items["group"].fillna("").unique().tolist()
    bars: list[Frame] = []
    for group in groups:  # by their first start, as the items are
        rows = items[items["group"].fillna("") == group]
        if 1 < len(groups) < len(items) or group in heads:
            head = heads.get(group)
            name = str(group) or "(no group)"
            if head is not None:
                name = str(head["name"])
                if head["begun"]:
                    bars.append(
                        head.drop("begun")
                        .to_frame()
                        .T.assign(item_id=group, group=group, row=len(view.rows), head=True)
                    )
            view.heads.add(len(view.rows))
            view.rows.append(name)
        bars.append(rows.assign(row=len(view.rows) + np.arange(len(rows)), head=False))
        view.rows += rows["name"].tolist()
    made = _pd.concat(bars, ignore_index=True) if bars else items.assign(row=0, head=False)
    types = dict.fromkeys(("running", "critical", "head", "open_start"), "bool") | dict.fromkeys(
        ("started", "ended"), TIME
    )
    made = made.astype({**types, "row": "int64", "hours": "float64"})
    made["group"] = made["group"].astype(object).fillna("")
    made["words"] = [
        ", ".join(
            part
            for part in (
                "" if status == "completed" else STATUS_WORDS[status],
                f"more than {duration_words(least * 3600)}" if open_start else "",
                "" if np.isnan(hours) else duration_words(hours * 3600),
            )
            if part
        )
        for status, hours, least, open_start in zip(
            made["status"],
            made["hours"],
            (made["ended"] - made["started"]).dt.total_seconds() / 3600,
            made["open_start"],
            strict=True,
        )
    ]
    texts = ("item_id", "name", "kind", "group", "status", "words")
    columns = ["row", "item_id", "name", "kind", "group", "head", "status", "started", "ended", "running", "hours"]
    columns.append("open_start")
    return made.astype(dict.fromkeys(texts, "str"))[[*columns, "critical", "words"]]
