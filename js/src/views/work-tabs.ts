// Phases with their steps, and tasks by who runs them.

import { isLeftBehind, isSteered } from "../builds";
import type { Changes } from "../changes";
import { phasesInOrder, phaseTitle } from "../derive";
import type { Live } from "../live";
import { NaturalOrder } from "../order";
import type { Task } from "../protocol";
import { split } from "./build-tab";
import type { Entry } from "./entries";
import type { Column } from "./row-slot";
import { BLANK, type Cells, groupCells, leftCells, phaseCells, problemCells, stepCells, taskCells } from "./rows";
import { TreeTab } from "./tree-tab";
import type { TabSpec } from "./view";

const PHASE_COLUMNS: readonly Column[] = [
  { id: "name", title: "Phase" },
  { id: "status", title: "Status" },
  { id: "bar", title: "Tasks" },
  { id: "time", title: "Time" },
];
const TASK_COLUMNS: readonly Column[] = [
  { id: "name", title: "Task" },
  { id: "status", title: "Status" },
  { id: "chip", title: "Kind" },
  { id: "bar", title: "Progress" },
  { id: "time", title: "Time" },
];

const detail = (key: string): Entry => ({
  key,
  kind: "detail",
  status: "unknown",
  name: "",
  progress: 0,
  text: "",
  selectable: false,
  detail: true,
  children: [],
});

export const phasesTab: TabSpec = {
  id: "phases",
  // Where plans have phases, what is told here are the locks on them.
  title: (live) => (isSteered(live.store) ? "Locks" : "Phases"),
  count: (live) => live.store.phases.size,
  shown: (live) => live.store.phases.size > 0,
  create(face) {
    return new TreeTab(face, {
      label: "Phases and their steps",
      columns: () => PHASE_COLUMNS,
      empty: "No phases yet.",
      roots: (live) =>
        phasesInOrder(live.store).map((p) => ({
          key: `phase:${p.phase_id}`,
          kind: "phase",
          status: isLeftBehind(live.store, p) ? "completed" : p.status,
          name: phaseTitle(p),
          progress: p.tasks_total ? (100 * (p.tasks_done ?? 0)) / p.tasks_total : 0,
          text: `${p.phase_id} ${p.name} ${p.step_label ?? ""} ${p.current_task ?? ""} ${p.errors.join(" ")}`,
          selectable: true,
          detail: false,
          children: [
            ...p.errors.map((_, i) => detail(`perror:${i}:${p.phase_id}`)),
            ...p.warnings.map((_, i) => detail(`pwarning:${i}:${p.phase_id}`)),
            ...p.history.map((_, i) => detail(`pstep:${i}:${p.phase_id}`)),
          ],
        })),
      cells(live: Live, key: string): Cells {
        const [kind, id] = split(key);
        if (kind === "phase") {
          const p = live.store.phases.get(id);
          if (p === undefined) return BLANK;
          return isLeftBehind(live.store, p) ? leftCells(p, live.now()) : phaseCells(p, live.now());
        }
        const [index, owner] = split(id);
        const p = live.store.phases.get(owner);
        if (!p) return BLANK;
        const i = Number(index);
        if (kind === "pstep") {
          const step = p.history[i];
          return step ? stepCells(step, live.now()) : BLANK;
        }
        return kind === "perror" ? problemCells(p.errors[i] ?? "", "fail") : problemCells(p.warnings[i] ?? "", "pause");
      },
      *touched(changes: Changes) {
        for (const id of changes.phases) yield `phase:${id}`;
      },
      // Phases are few: make the rows anew when one changes.
      reshaped: (changes) => changes.phases.size > 0,
      openAtFirst: (entry) => entry.status === "in_progress" || entry.status === "error",
    });
  },
};

const KINDS: Record<string, string> = { orchestration: "Orchestration", workflow: "Workflows", pool: "Agent pools" };

export const tasksTab: TabSpec = {
  id: "tasks",
  title: "Tasks",
  count: (live) => live.store.tasks.size,
  shown: (live) => live.store.tasks.size > 0,
  create(face) {
    const order = new NaturalOrder();
    return new TreeTab(face, {
      label: "Tasks",
      columns: () => TASK_COLUMNS,
      empty: "No tasks yet.",
      roots: (live) => taskRoots(live, order),
      cells(live: Live, key: string, entry: Entry | undefined): Cells {
        const [kind, id] = split(key);
        if (kind === "task") {
          const t = live.store.tasks.get(id);
          return t ? taskCells(t, live.now()) : BLANK;
        }
        return groupCells(entry?.name ?? "", entry?.children.length ?? 0);
      },
      *touched(changes: Changes) {
        for (const id of changes.tasks) yield `task:${id}`;
      },
      openAtFirst: (entry, total) => total <= 200 || entry.kind === "group",
    });
  },
};

function taskRoots(live: Live, order: NaturalOrder): Entry[] {
  const { tasks } = live.store;
  const entries = new Map<string, Entry>();
  const list = order.sort(tasks.list(), (t) => t.task_id);
  for (const t of list) entries.set(t.task_id, taskEntry(t));
  const groups = new Map<string, Entry[]>();
  for (const t of list) {
    const entry = entries.get(t.task_id) as Entry;
    const parent = t.parent_id === null || leadsInCircle(tasks, t) ? undefined : entries.get(t.parent_id);
    if (parent) {
      parent.children.push(entry);
      continue;
    }
    const group = groups.get(t.kind);
    if (group) group.push(entry);
    else groups.set(t.kind, [entry]);
  }
  if (groups.size === 1) return [...groups.values()][0] as Entry[];
  return [...groups].map(([kind, children]) => ({
    key: `group:${kind}`,
    kind: "group",
    status: "unknown",
    name: KINDS[kind] ?? kind,
    progress: -1,
    text: "",
    selectable: false,
    detail: false,
    children,
  }));
}

/** Whether following the parents of a task leads in a circle: bad input, which must not swallow its tasks. */
function leadsInCircle(tasks: { get(id: string): Task | undefined }, task: Task): boolean {
  const met = new Set<string>();
  let at: Task | undefined = task;
  while (at !== undefined && at.parent_id !== null) {
    if (met.has(at.task_id)) return true;
    met.add(at.task_id);
    at = tasks.get(at.parent_id);
  }
  return false;
}

function taskEntry(t: Task): Entry {
  return {
    key: `task:${t.task_id}`,
    kind: "task",
    status: t.status,
    name: t.name || t.task_id,
    progress: t.progress,
    text: `${t.task_id} ${t.name} ${t.kind} ${t.error ?? ""}`,
    selectable: true,
    detail: false,
    children: [],
  };
}
