// What went wrong, each thing once: the same rules as in buildwidget/failures.py, where they are told.

import { phaseTitle } from "./derive";
import type { Feature, Task } from "./protocol";
import type { Store } from "./store";

/** An item that tells of a failure. */
export interface Failed {
  /** `kind:id`, as the table's rows are named. */
  key: string;
  kind: "component" | "feature" | "task" | "phase";
  name: string;
}

/** One thing that went wrong, and all items that tell of it; components first, then features, tasks and phases. */
export interface Failure {
  /** Empty if no item gives one. */
  reason: string;
  items: [Failed, ...Failed[]];
}

/** The failed items, and those that they are in, by key. */
type Items = ReadonlyMap<string, Failed & { own: string }>;

/** The failures of a build; the length is their number. */
export function failures(store: Store): Failure[] {
  const found = new Map<string, Failure>();
  const tell = (item: Failed, same: string, reason: string): void => {
    const failure = found.get(same);
    if (failure) failure.items.push(item);
    else found.set(same, { reason, items: [item] });
  };
  const items = failedItems(store);
  const same = sameAs(items, failedParents(store, items));
  for (const { own: _, ...item } of items.values()) {
    const mark = same.get(item.key) as string;
    tell(item, mark, mark.startsWith("=") ? mark.slice(1) : "");
  }
  for (const phase of store.phases.list()) {
    const item: Failed = { key: `phase:${phase.phase_id}`, kind: "phase", name: phaseTitle(phase) };
    const reasons = new Set(phase.errors.map((error) => error.trim()).filter(Boolean));
    for (const reason of reasons) tell(item, `=${reason}`, reason);
    if (phase.status === "error" && reasons.size === 0) tell(item, item.key, "");
  }
  return [...found.values()];
}

function failedItems(store: Store): Items {
  const items = new Map<string, Failed & { own: string }>();
  const add = (kind: Failed["kind"], id: string, name: string, error: string | null): void => {
    items.set(`${kind}:${id}`, { key: `${kind}:${id}`, kind, name: name || id, own: error?.trim() ?? "" });
  };
  for (const c of store.components.failed()) add("component", c.component_id, c.name, c.error);
  for (const f of store.features.failed()) add("feature", f.feature_id, f.name, f.error);
  for (const t of store.tasks.failed()) add("task", t.task_id, t.name, t.error);
  return items;
}

/** Of each failed item what makes it the same failure as another one: `=reason`, or the key of one without a reason. */
function sameAs(items: Items, above: ReadonlyMap<string, string | null>): Map<string, string> {
  const reasons = new Map<string, string>();
  for (const key of items.keys()) {
    const way: string[] = [];
    let at: string | null = key;
    while (at !== null && !reasons.has(at)) {
      way.push(at);
      at = above.get(at) ?? null;
    }
    let reason = at === null ? "" : (reasons.get(at) ?? "");
    for (const one of way.reverse()) {
      reason = items.get(one)?.own || reason;
      reasons.set(one, reason);
    }
  }
  const whole = new Set(above.values());
  const parts = [...items.keys()].filter((key) => !whole.has(key));
  const same = new Map(parts.map((key) => [key, reasons.get(key) ? `=${reasons.get(key)}` : key]));
  const known = new Set(same.values());
  for (const part of parts) {
    // Whatever it is in tells of its own reason if something inside has that, else of the first part.
    const mark = same.get(part) as string;
    for (let at = above.get(part) ?? null; at !== null && !same.has(at); at = above.get(at) ?? null) {
      const own = `=${items.get(at)?.own}`;
      same.set(at, known.has(own) ? own : mark);
    }
  }
  return same;
}

/** Of each failed item the nearest failed one that it is in. What leads into a circle is in nothing. */
function failedParents(store: Store, items: Items): Map<string, string | null> {
  const above = new Map<string, string | null>();
  const nearest = new Map<string, string | null>(); // itself if it failed, else the nearest failed one above
  const circular = new Set<string>();
  for (const key of items.keys()) {
    const way: string[] = [];
    const seen = new Set<string>();
    let at: string | null = key;
    while (at !== null && !nearest.has(at) && !seen.has(at)) {
      way.push(at);
      seen.add(at);
      at = parentOf(store, at);
    }
    const endless = at !== null && (seen.has(at) || circular.has(at));
    let near = at === null || endless ? null : (nearest.get(at) ?? null);
    for (const one of way.reverse()) {
      if (endless) circular.add(one);
      if (items.has(one)) {
        above.set(one, near);
        near = endless ? null : one;
      }
      nearest.set(one, near);
    }
  }
  return above;
}

/** The key of the item that an item is in, if there is such a one. */
function parentOf(store: Store, key: string): string | null {
  const at = key.indexOf(":");
  const kind = key.slice(0, at);
  const id = key.slice(at + 1);
  if (kind === "feature") {
    const owner = (store.features.get(id) as Feature).component_id;
    return owner !== null && store.components.get(owner) ? `component:${owner}` : null;
  }
  if (kind !== "task") return null;
  const parent = (store.tasks.get(id) as Task).parent_id;
  if (parent === null) return null;
  if (parent !== id && store.tasks.get(parent)) return `task:${parent}`;
  if (store.features.get(parent)) return `feature:${parent}`;
  return store.components.get(parent) ? `component:${parent}` : null;
}
