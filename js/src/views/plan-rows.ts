// The rows of plans and their phases. Pure: items in, rows of plain text out.

import { counted, labelled, named, sourceText, standingOf, toneOfItem } from "../builds";
import { ago, clampPercent, dateTime, errorLine, fullTime, percent } from "../format";
import { parseMs } from "../order";
import type { Component, Feature } from "../protocol";
import { BLANK, type Cells, head } from "./rows";

export function planCells(c: Component, phases: readonly Feature[], now: number): Cells {
  const h = head(c.status, null);
  const standing = standingOf(phases);
  const disputed = standing.disputed > 0 ? `${standing.disputed} in conflict` : "";
  const note = [
    standing.total > 0 ? counted(standing, "") : "",
    c.error ? errorLine(c.error) : "",
    c.conflict ?? "",
    disputed,
  ];
  const signs = phases.map((f) => f.heartbeat_at ?? null).filter((text): text is string => parseMs(text) !== null);
  const newest = signs.reduce<string | null>(
    (a, b) => ((parseMs(a) ?? 0) > (parseMs(b) as number) ? a : b),
    c.ended_at,
  );
  const at = parseMs(newest);
  return {
    ...BLANK,
    tone: toneOfItem(c.status, c.conflict ?? disputed),
    status: h.status,
    name: c.name || c.component_id,
    note: note.filter(Boolean).join(" · "),
    noteIsError: c.status === "error",
    bar: clampPercent(c.progress),
    barText: percent(c.progress),
    time: at === null ? dateTime(c.created_at) : ago(now - at),
    timeTitle: at === null ? (c.created_at ? "The date in the plan" : "") : fullTime(newest),
    title: [
      c.component_id,
      h.statusTitle,
      c.status_raw ? `header: ${c.status_raw}` : "",
      by(c),
      c.conflict ?? "",
      c.error ?? "",
    ]
      .filter(Boolean)
      .join("\n"),
  };
}

/** A phase of a plan; `waiting`: what it still waits for. Its boxes say nothing of how far it is. */
export function planPhaseCells(f: Feature, waiting: readonly string[], now: number): Cells {
  const h = head(f.status, f.status_raw);
  const wait = waiting.length > 0 ? `waits for ${waiting.join(", ")}` : "";
  const running = f.status === "in_progress";
  const at = parseMs(f.heartbeat_at);
  const time = at === null ? "" : ago(now - at);
  const label = named(f);
  return {
    ...BLANK,
    tone: toneOfItem(f.status, f.conflict),
    status: h.status,
    name: labelled(f),
    note: [f.error ? errorLine(f.error) : "", f.conflict ?? "", wait].filter(Boolean).join(" · "),
    noteIsError: f.status === "error",
    chip: f.owner ?? "",
    // Where there is no room for columns of their own.
    barText: running ? [time, f.owner ?? ""].filter(Boolean).join(" · ") : "",
    time,
    timeTitle: [
      f.heartbeat_at ? `Heartbeat ${fullTime(f.heartbeat_at)}` : "",
      f.claimed_at ? `Claimed ${fullTime(f.claimed_at)}` : "",
    ]
      .filter(Boolean)
      .join("\n"),
    title: [label, f.description ?? "", h.statusTitle, f.owner ?? "", by(f), f.conflict ?? "", f.error ?? ""]
      .filter(Boolean)
      .join("\n"),
  };
}

function by(item: Component | Feature): string {
  return item.status_source ? `by: ${sourceText(item.status_source)}` : "";
}
