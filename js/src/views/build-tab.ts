// Components with their features beneath, and the features' checklists.

import { isSteered, plansInOrder, waitsFor } from "../builds";
import type { Changes } from "../changes";
import { inBuildOrder } from "../derive";
import type { Live } from "../live";
import { NaturalOrder } from "../order";
import type { Feature } from "../protocol";
import type { Entry } from "./entries";
import { planCells, planPhaseCells } from "./plan-rows";
import type { Column } from "./row-slot";
import { BLANK, type Cells, checkCells, checkStatus, componentCells, featureCells, groupCells } from "./rows";
import { TreeTab } from "./tree-tab";
import type { TabSpec } from "./view";

const OTHER = "group:other-features";
/** With more items than this the components start folded. */
const UNFOLDED = 80;

const COLUMNS: readonly Column[] = [
  { id: "name", title: "Name" },
  { id: "status", title: "Status" },
  { id: "chip", title: "Type" },
  { id: "bar", title: "Progress" },
  { id: "tests", title: "Tests" },
  { id: "time", title: "Time" },
];
const PLAN_COLUMNS: readonly Column[] = [
  { id: "name", title: "Name" },
  { id: "status", title: "Status" },
  { id: "chip", title: "Owner" },
  { id: "bar", title: "Progress" },
  { id: "time", title: "When" },
];

export const buildTab: TabSpec = {
  id: "build",
  title: "Build",
  count: (live) => live.store.components.size + live.store.features.size,
  shown: () => true,
  create(face) {
    const orders: Orders = { components: new NaturalOrder(), features: new NaturalOrder() };
    return new TreeTab(face, {
      label: "Components and features",
      columns: (live) => (isSteered(live.store) ? PLAN_COLUMNS : COLUMNS),
      empty: "No components yet. They appear as soon as a checkpoint names them.",
      roots: (live) => roots(live, orders),
      cells,
      *touched(changes: Changes) {
        for (const id of changes.components) yield `component:${id}`;
        for (const id of changes.features) yield `feature:${id}`;
      },
      reshaped(changes, known, live) {
        if (changes.summary) {
          const present = new Set(live.store.session.present);
          for (const entry of known.values()) {
            if (entry.kind === "component" && (entry.pinned === true) !== present.has(split(entry.key)[1])) return true;
          }
        }
        // A checklist that grew, shrank or moved on.
        for (const id of changes.features) {
          const entry = known.get(`feature:${id}`);
          const feature = live.store.features.get(id);
          if (entry === undefined || feature === undefined) return true;
          if (entry.children.length !== feature.tasks.length) return true;
          if (feature.tasks.some((t, i) => entry.children[i]?.status !== checkStatus(t))) return true;
        }
        return false;
      },
      // What was done before anybody looked is folded: the eye should fall on what is going on.
      // Where plans decide, those at work are open, and nothing else.
      openAtFirst: (entry, total) =>
        entry.kind !== "feature" && !isSteered(face.live.store) && total <= UNFOLDED && entry.status !== "completed",
    });
  },
};

interface Orders {
  components: NaturalOrder;
  features: NaturalOrder;
}

function roots(live: Live, orders: Orders): Entry[] {
  const { store } = live;
  const byComponent = new Map<string, Entry[]>();
  const other: Entry[] = [];
  const features = orders.features.sort(store.features.list(), (f) => f.feature_id);
  for (const feature of features) {
    const owner = feature.component_id;
    if (owner === null || store.components.get(owner) === undefined) {
      other.push(featureEntry(feature));
      continue;
    }
    const list = byComponent.get(owner);
    if (list) list.push(featureEntry(feature));
    else byComponent.set(owner, [featureEntry(feature)]);
  }
  const natural = orders.components.sort(store.components.list(), (c) => c.component_id);
  const steered = isSteered(store);
  const present = new Set(steered ? store.session.present : []);
  const components = steered ? plansInOrder(store, natural) : inBuildOrder(natural);
  const out: Entry[] = components.map((c) => ({
    key: `component:${c.component_id}`,
    kind: "component",
    type: c.component_type,
    pinned: present.has(c.component_id),
    status: c.status,
    name: c.name || c.component_id,
    progress: c.progress,
    text: `${c.component_id} ${c.name} ${c.component_type ?? ""} ${c.error ?? ""} ${c.conflict ?? ""}`,
    selectable: true,
    detail: false,
    children: byComponent.get(c.component_id) ?? [],
  }));
  if (other.length > 0 && out.length > 0) {
    out.push({
      key: OTHER,
      kind: "group",
      status: "unknown",
      name: steered ? "Registry" : "Other features",
      progress: -1,
      text: "",
      selectable: false,
      detail: false,
      children: other,
    });
    return out;
  }
  return out.length > 0 ? out : other;
}

function featureEntry(f: Feature): Entry {
  return {
    key: `feature:${f.feature_id}`,
    kind: "feature",
    type: f.feature_type ?? null,
    status: f.status,
    name: f.name || f.feature_id,
    progress: f.progress,
    text: `${f.feature_id} ${f.name} ${f.priority ?? ""} ${f.description ?? ""} ${f.error ?? ""} ${f.owner ?? ""} ${f.conflict ?? ""}`,
    selectable: true,
    detail: false,
    children: f.tasks.map((t, i) => ({
      key: `check:${i}:${f.feature_id}`,
      kind: "check",
      status: checkStatus(t),
      name: t.name,
      progress: 0,
      text: "",
      selectable: false,
      detail: true,
      children: [],
    })),
  };
}

function cells(live: Live, key: string, entry: Entry | undefined): Cells {
  const { store } = live;
  const [kind, id] = split(key);
  if (kind === "component") {
    const c = store.components.get(id);
    if (c === undefined) return BLANK;
    if (!isSteered(store)) return componentCells(c, entry?.children.length ?? 0, live.now());
    const parts = entry?.children.flatMap((child) => store.features.get(split(child.key)[1]) ?? []) ?? [];
    return planCells(c, parts, live.now());
  }
  if (kind === "feature") {
    const f = store.features.get(id);
    if (f === undefined) return BLANK;
    return f.feature_type ? planPhaseCells(f, waitsFor(store, f), live.now()) : featureCells(f);
  }
  if (kind === "check") {
    const [index, owner] = split(id);
    const t = store.features.get(owner)?.tasks[Number(index)];
    return t ? checkCells(t, live.now()) : BLANK;
  }
  return groupCells(entry?.name ?? "", entry?.children.length ?? 0);
}

/** `kind:id` in two; the id may hold colons. */
export function split(key: string): [string, string] {
  const at = key.indexOf(":");
  return [key.slice(0, at), key.slice(at + 1)];
}
