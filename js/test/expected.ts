// What should be seen, told by a second, plain way: lists are made anew from the state each time, nothing is kept.

import { statusWord } from "../src/format";
import type { Component, Event, Feature, State, Status, Task } from "../src/protocol";
import { matches, parseQuery } from "../src/query";

export interface ExpectedRow {
  key: string;
  name: string;
  status: string;
}

interface Node extends ExpectedRow {
  kind: string;
  raw: Status | "unknown";
  progress: number;
  text: string;
  detail: boolean;
  children: Node[];
}

/** What the person at the list has chosen. */
export interface Choices {
  tab: string;
  filter: string;
  /** By tab. */
  sort: Record<string, string>;
  folds: Record<string, Map<string, boolean>>;
  selected: Set<string>;
}

const byNumber = (a: string, b: string): number => a.localeCompare(b, undefined, { numeric: true });

export class Build {
  readonly components = new Map<string, Component>();
  readonly features = new Map<string, Feature>();
  readonly tasks = new Map<string, Task>();

  constructor(state: State) {
    for (const c of state.components) this.components.set(c.component_id, c);
    for (const f of state.features) this.features.set(f.feature_id, f);
    for (const t of state.tasks) this.tasks.set(t.task_id, t);
  }

  apply(event: Event): void {
    if (event.type === "component_update") this.components.set(event.component_id, event);
    if (event.type === "feature_update") this.features.set(event.feature_id, event);
    if (event.type === "task_update") this.tasks.set(event.task_id, event);
    if (event.type === "removed") {
      for (const items of [this.components, this.features, this.tasks]) items.delete(event.id);
    }
  }

  /** The forest of a tab, in the order of the build. */
  forest(tab: string): Node[] {
    return tab === "tasks" ? this.#tasks() : this.#parts();
  }

  #parts(): Node[] {
    const features = [...this.features.values()].sort((a, b) => byNumber(a.feature_id, b.feature_id));
    const nodes = features.map((f): [string | null, Node] => [
      f.component_id,
      {
        ...node("feature", f.feature_id, f),
        text: `${f.feature_id} ${f.name} ${f.priority ?? ""} ${f.description ?? ""} ${f.error ?? ""}`,
        children: f.tasks.map((t, i) => ({
          ...node("check", `${i}:${f.feature_id}`, { name: t.name, status: "unknown", progress: 0 }),
          status: t.completed ? "Done" : "Open",
          detail: true,
        })),
      },
    ]);
    const components = [...this.components.values()].sort((a, b) => byNumber(a.component_id, b.component_id));
    const roots = components.map((c) => ({
      ...node("component", c.component_id, c),
      text: `${c.component_id} ${c.name} ${c.component_type ?? ""} ${c.error ?? ""}`,
      children: nodes.filter(([owner]) => owner === c.component_id).map(([, n]) => n),
    }));
    const others = nodes.filter(([owner]) => owner === null || !this.components.has(owner)).map(([, n]) => n);
    if (others.length === 0) return roots;
    return [...roots, group("other-features", "Other features", others)];
  }

  #tasks(): Node[] {
    const tasks = [...this.tasks.values()].sort((a, b) => byNumber(a.task_id, b.task_id));
    const kinds = [...new Set(tasks.map((t) => t.kind))];
    const names: Record<string, string> = { orchestration: "Orchestration", pool: "Agent pools" };
    return kinds.map((kind) =>
      group(
        kind,
        names[kind] ?? kind,
        tasks
          .filter((t) => t.kind === kind)
          .map((t) => ({ ...node("task", t.task_id, t), text: `${t.task_id} ${t.name} ${t.kind} ${t.error ?? ""}` })),
      ),
    );
  }
}

function node(kind: string, id: string, item: { name: string; status: Status; progress: number }): Node {
  const { name, status, progress } = item;
  const word = statusWord(status);
  return {
    key: `${kind}:${id}`,
    kind,
    name,
    status: word,
    raw: status,
    progress,
    text: "",
    detail: false,
    children: [],
  };
}

function group(id: string, name: string, children: Node[]): Node {
  const own = node("group", id, { name, status: "unknown", progress: -1 });
  return { ...own, status: "", children };
}

/** The rows of a tab, from the first to the last. */
export function expectedRows(build: Build, choices: Choices): ExpectedRow[] {
  const { tab } = choices;
  const query = parseQuery(choices.filter);
  const sort = choices.sort[tab] ?? "order";
  const passes = (n: Node): boolean =>
    !n.detail && (query === null || matches(query, { ...n, status: n.raw }) || n.children.some(passes));
  const rows: ExpectedRow[] = [];
  const visit = (nodes: Node[], filtered: boolean): void => {
    const list = filtered && query !== null ? nodes.filter(passes) : [...nodes];
    if (list[0]?.detail !== true) list.sort(comparisons[sort]);
    for (const one of list) {
      rows.push(one);
      const forced = query !== null && passes(one) && one.children.some(passes);
      if (forced || isOpen(choices, one)) visit(one.children, forced);
    }
  };
  visit(build.forest(tab), true);
  return rows;
}

/** Everything starts folded (the build is large), but for the groups of tasks. */
export function isOpen(choices: Choices, one: { key: string; kind?: string }): boolean {
  const known = choices.folds[choices.tab]?.get(one.key);
  return known ?? (choices.tab === "tasks" && one.key.startsWith("group:"));
}

const RANK: Partial<Record<string, number>> = { error: 0, blocked: 1, in_progress: 2, paused: 3, not_started: 4 };

function worst(one: Node): number {
  return Math.min(RANK[one.raw] ?? 5, ...one.children.filter((c) => !c.detail).map(worst));
}

const comparisons: Record<string, (a: Node, b: Node) => number> = {
  order: () => 0,
  attention: (a, b) => worst(a) - worst(b),
  name: (a, b) => byNumber(a.name, b.name),
  progress: (a, b) => b.progress - a.progress,
};

/** All that can be folded and is no checklist. */
export function foldable(build: Build, tab: string): Node[] {
  const out: Node[] = [];
  const visit = (nodes: Node[]): void => {
    for (const one of nodes) {
      if (one.children.some((c) => !c.detail)) out.push(one);
      visit(one.children);
    }
  };
  visit(build.forest(tab));
  return out;
}

/** Where an item stands: what must be unfolded for it to be seen. */
export function ancestors(build: Build, tab: string, key: string): string[] {
  const find = (nodes: Node[], above: string[]): string[] | null => {
    for (const one of nodes) {
      if (one.key === key) return above;
      const found = find(one.children, [...above, one.key]);
      if (found !== null) return found;
    }
    return null;
  };
  return find(build.forest(tab), []) ?? [];
}
