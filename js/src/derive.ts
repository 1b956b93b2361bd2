// What the faces compute from the state and the clock: the state itself holds no ages.

import { naturalCompare, parseMs } from "./order";
import type { Component, Phase, Status } from "./protocol";
import type { Store } from "./store";

const MINUTE = 60_000;
export const SILENT_AT_FIRST = 15 * MINUTE;
const SILENT_AT_LEAST = 2 * MINUTE;
const GAPS_NEEDED = 20;

/** Silence longer than this (ms) means a stalled build. The same rule as `silent_after` in buildwidget/progress.py. */
export function silentAfter(gaps: readonly number[]): number {
  if (gaps.length < GAPS_NEEDED) return SILENT_AT_FIRST;
  const sorted = [...gaps].sort((a, b) => a - b);
  const rank = Math.floor((95 * sorted.length + 99) / 100);
  return Math.max(SILENT_AT_LEAST, 4 * (sorted[rank - 1] as number));
}

/** How long (ms) the build has been silent, if that is long enough to call it stalled; else null. */
export function stalledFor(store: Store, now: number): number | null {
  if (store.session.status !== "in_progress") return null;
  const last = parseMs(store.updatedAt);
  if (last === null) return null;
  const silent = now - last;
  return silent > silentAfter(store.gaps) ? silent : null;
}

/** What a build without a `.buildrunner` waits for, in a sentence; null when there is something to show. */
export function waitingFor(store: Store): string | null {
  if (!isBlank(store)) return null;
  return store.warnings().find((w) => w.code === "waiting" && w.file_path === ".buildrunner")?.message ?? null;
}

/** Whether nothing has been named or said yet: such a picture is not called live. */
export function isBlank(store: Store): boolean {
  const { components, features, tasks, phases, checkpoints } = store;
  if ([components, features, tasks, phases].some((items) => items.size > 0) || checkpoints.length > 0) return false;
  return store.progress.percent === null && store.session.status === "unknown" && store.outputCount === 0;
}

/** How many of the build's items are in which state: of features, or the nearest thing there is. */
export interface Tally {
  noun: string;
  total: number;
  done: number;
  running: number;
  /** Items, not failures: see failures.ts. */
  failed: number;
  blocked: number;
  /** Not started, paused, skipped, cancelled, unknown. */
  rest: number;
}

export function tally(store: Store): Tally | null {
  const of = (noun: string, from: { size: number; count(status: Status): number }): Tally => {
    const done = from.count("completed");
    const running = from.count("in_progress");
    const failed = from.count("error");
    const blocked = from.count("blocked");
    return {
      noun,
      total: from.size,
      done,
      running,
      failed,
      blocked,
      rest: from.size - done - running - failed - blocked,
    };
  };
  if (store.components.size > 0) return of("component", store.components);
  if (store.features.size > 0) return of("feature", store.features);
  if (store.tasks.size > 0) return of("task", store.tasks);
  if (store.phases.size > 0) return of("phase", store.phases);
  return null;
}

/** `Phase 5`, or `Phase 5 · Checkout` with its name. A lock that names its phase is told by that: `shop · Phase 5`. */
export function phaseTitle(phase: Phase): string {
  const { component_id: plan, feature_id: feature } = phase;
  if (plan && feature?.startsWith(`${plan}/`)) {
    return [plan, `Phase ${feature.slice(plan.length + 1)}`, phase.name].filter(Boolean).join(" · ");
  }
  const head = /^phase\b/i.test(phase.phase_id) ? phase.phase_id : `Phase ${phase.phase_id}`;
  return phase.name && phase.name !== phase.phase_id && phase.name !== head ? `${head} · ${phase.name}` : head;
}

/** The phase at work: the one the build names, else the running one that moved last. */
export function currentPhase(store: Store): Phase | null {
  const named = store.session.phase === null ? undefined : store.phases.get(store.session.phase);
  if (named) return named;
  let best: Phase | null = null;
  for (const phase of store.phases.list()) {
    if (phase.status !== "in_progress" && phase.status !== "error" && phase.status !== "blocked") continue;
    if (best === null || (phase.updated_at ?? "") >= (best.updated_at ?? "")) best = phase;
  }
  return best;
}

/** Phases by number: 9 before 10, 10.5 between 10 and 11. */
export function phasesInOrder(store: Store): Phase[] {
  const natural = naturalCompare();
  const number = (id: string): number => {
    const m = /\d+(\.\d+)?/.exec(id);
    return m ? Number(m[0]) : Number.POSITIVE_INFINITY;
  };
  return store.phases.list().sort((a, b) => {
    const x = number(a.phase_id);
    const y = number(b.phase_id);
    return x === y ? natural(a.phase_id, b.phase_id) : x - y;
  });
}

/** What others depend on comes first; else the given order is kept. A circle is broken where it is met. */
export function inBuildOrder(components: readonly Component[]): Component[] {
  const byId = new Map(components.map((c) => [c.component_id, c]));
  const out: Component[] = [];
  const state = new Map<string, "open" | "done">();
  for (const root of components) {
    // Without recursion: a chain may be longer than the stack is deep.
    const stack: Component[] = [root];
    while (stack.length > 0) {
      const c = stack[stack.length - 1] as Component;
      const seen = state.get(c.component_id);
      if (seen === "done") {
        stack.pop();
        continue;
      }
      state.set(c.component_id, "open");
      const next = seen === "open" ? undefined : c.dependencies;
      const waiting = (next ?? [])
        .map((id) => byId.get(id))
        .filter((d): d is Component => d !== undefined && state.get(d.component_id) === undefined);
      if (waiting.length > 0) {
        stack.push(...waiting.reverse());
        continue;
      }
      stack.pop();
      if (state.get(c.component_id) !== "done") out.push(c);
      state.set(c.component_id, "done");
    }
  }
  return out;
}
