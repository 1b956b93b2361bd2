// What the trees hold, before folding, filtering and sorting. Pure.

import type { AnyStatus } from "../format";
import { matches, type Query } from "../query";
import type { Row } from "./virtual-tree";

export interface Entry {
  key: string;
  kind: string;
  /** The word of its system for what it is, if there is one: `phase`. */
  type?: string | null;
  status: AnyStatus;
  name: string;
  progress: number;
  /** What words of the filter may match. */
  text: string;
  selectable: boolean;
  /** Checklists, steps: shown when their owner is, never matched by themselves. */
  detail: boolean;
  /** It is at work now: open, once it becomes so. */
  pinned?: boolean;
  children: Entry[];
}

export const SORTS = [
  { id: "order", title: "Build order" },
  { id: "attention", title: "Attention first" },
  { id: "name", title: "Name" },
  { id: "progress", title: "Progress" },
] as const;

export type SortId = (typeof SORTS)[number]["id"];

const URGENCY: Partial<Record<AnyStatus, number>> = { error: 0, blocked: 1, in_progress: 2, paused: 3, not_started: 4 };

/** A comparison for a way to sort; null keeps the order as it is. */
export function comparison(
  sort: SortId,
  natural: (a: string, b: string) => number,
): ((a: Entry, b: Entry) => number) | null {
  switch (sort) {
    case "attention":
      return (a, b) => worst(a) - worst(b);
    case "name":
      return (a, b) => natural(a.name, b.name);
    case "progress":
      return (a, b) => b.progress - a.progress;
    default:
      return null;
  }
}

/** A group is as urgent as the most urgent thing in it. */
function worst(entry: Entry): number {
  let rank = URGENCY[entry.status] ?? 5;
  for (const child of entry.children) if (!child.detail) rank = Math.min(rank, worst(child));
  return rank;
}

/** The rows in sight: folded, filtered and sorted. */
export function flatten(
  roots: readonly Entry[],
  isOpen: (entry: Entry) => boolean,
  query: Query | null,
  compare: ((a: Entry, b: Entry) => number) | null,
): Row[] {
  const rows: Row[] = [];
  const kept = query === null ? null : new Set<Entry>();
  if (kept !== null && query !== null) for (const root of roots) mark(root, query, kept);
  const visit = (entries: readonly Entry[], level: number, filtered: boolean): void => {
    let list = filtered && kept !== null ? entries.filter((e) => kept.has(e)) : entries;
    if (compare !== null && list.length > 1 && !(list[0] as Entry).detail) list = [...list].sort(compare);
    list.forEach((entry, i) => {
      const found = kept?.has(entry) === true && entry.children.some((c) => kept.has(c));
      const open = found || isOpen(entry);
      rows.push({
        key: entry.key,
        level,
        expanded: entry.children.length === 0 ? null : open,
        posInSet: i + 1,
        setSize: list.length,
        selectable: entry.selectable,
      });
      if (entry.children.length > 0 && open) visit(entry.children, level + 1, found);
    });
  };
  visit(roots, 1, true);
  return rows;
}

function mark(entry: Entry, query: Query, kept: Set<Entry>): boolean {
  let keep = !entry.detail && matches(query, entry);
  for (const child of entry.children) if (!child.detail && mark(child, query, kept)) keep = true;
  if (keep) kept.add(entry);
  return keep;
}
