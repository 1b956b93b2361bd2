// Components with their features beneath, and the features' checklists.

import type { Changes } from "../changes";
import { inBuildOrder } from "../derive";
import type { Live } from "../live";
import { NaturalOrder } from "../order";
import type { Feature } from "../protocol";
import type { Entry } from "./entries";
import { BLANK, type Cells, checkCells, componentCells, featureCells, groupCells } from "./rows";
import { TreeTab } from "./tree-tab";
import type { TabSpec } from "./view";

const OTHER = "group:other-features";
/** With more items than this the components start folded. */
const UNFOLDED = 80;

export const buildTab: TabSpec = {
  id: "build",
  title: "Build",
  count: (live) => live.store.components.size + live.store.features.size,
  shown: () => true,
  create(face) {
    const orders: Orders = { components: new NaturalOrder(), features: new NaturalOrder() };
    return new TreeTab(face, {
      label: "Components and features",
      columns: [
        { id: "name", title: "Name" },
        { id: "status", title: "Status" },
        { id: "chip", title: "Type" },
        { id: "bar", title: "Progress" },
        { id: "tests", title: "Tests" },
        { id: "time", title: "Time" },
      ],
      empty: "No components yet. They appear as soon as a checkpoint names them.",
      roots: (live) => roots(live, orders),
      cells,
      *touched(changes: Changes) {
        for (const id of changes.components) yield `component:${id}`;
        for (const id of changes.features) yield `feature:${id}`;
      },
      reshaped(changes, known, live) {
        // A checklist that grew, shrank or moved on.
        for (const id of changes.features) {
          const entry = known.get(`feature:${id}`);
          const feature = live.store.features.get(id);
          if (entry === undefined || feature === undefined) return true;
          if (entry.children.length !== feature.tasks.length) return true;
          if (feature.tasks.some((t, i) => entry.children[i]?.status !== (t.completed ? "completed" : "not_started")))
            return true;
        }
        return false;
      },
      // What was done before anybody looked is folded: the eye should fall on what is going on.
      openAtFirst: (entry, total) => entry.kind !== "feature" && total <= UNFOLDED && entry.status !== "completed",
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
  const components = orders.components.sort(store.components.list(), (c) => c.component_id);
  const out: Entry[] = inBuildOrder(components).map((c) => ({
    key: `component:${c.component_id}`,
    kind: "component",
    status: c.status,
    name: c.name || c.component_id,
    progress: c.progress,
    text: `${c.component_id} ${c.name} ${c.component_type ?? ""} ${c.error ?? ""}`,
    selectable: true,
    detail: false,
    children: byComponent.get(c.component_id) ?? [],
  }));
  if (other.length > 0 && out.length > 0) {
    out.push({
      key: OTHER,
      kind: "group",
      status: "unknown",
      name: "Other features",
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
    status: f.status,
    name: f.name || f.feature_id,
    progress: f.progress,
    text: `${f.feature_id} ${f.name} ${f.priority ?? ""} ${f.description ?? ""} ${f.error ?? ""}`,
    selectable: true,
    detail: false,
    children: f.tasks.map((t, i) => ({
      key: `check:${i}:${f.feature_id}`,
      kind: "check",
      status: t.completed ? "completed" : "not_started",
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
    return c ? componentCells(c, entry?.children.length ?? 0, live.now()) : BLANK;
  }
  if (kind === "feature") {
    const f = store.features.get(id);
    return f ? featureCells(f) : BLANK;
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
