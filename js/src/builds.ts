// What is said of builds that a system decides on: plans and their phases, who works on them, and whether they live.

import { stalledFor } from "./derive";
import { type Failure, failures } from "./failures";
import { type AnyStatus, ago, clockTime, dateTime, duration, plural, statusWord, type Tone, toneOf } from "./format";
import { type Life, lifeOf } from "./life";
import { naturalCompare, parseMs } from "./order";
import type { Component, Feature, Phase, Status } from "./protocol";
import type { Store } from "./store";

/** Whether plans and locks (or the like) decide, in place of checkpoints and registries. */
export function isSteered(store: Store): boolean {
  return (store.session.system ?? null) !== null;
}

/** The builds at work now. */
export function presentBuilds(store: Store): Component[] {
  return (store.session.present ?? []).flatMap((id) => store.components.get(id) ?? []);
}

/** How the items of one or more builds stand. */
export interface Standing {
  /** The word of the system for one: `phase`. */
  noun: string;
  /** Skipped and cancelled ones do not count. */
  total: number;
  done: number;
  running: number;
  failed: number;
  blocked: number;
  /** How many have a source that says otherwise. */
  disputed: number;
}

interface Item {
  status: Status;
  conflict?: string | null;
  feature_type?: string | null;
}

/** What of a build runs now, and the first phase that could be begun next, by number and name. */
export interface Agenda {
  running: string[];
  next: string | null;
}

const natural = naturalCompare();

export function agendaOf(store: Store, phases: readonly Feature[]): Agenda {
  const mine = [...phases].sort((a, b) => natural(a.feature_id, b.feature_id));
  const next = mine.find((f) => f.status === "not_started" && waitsFor(store, f).length === 0);
  return {
    running: mine.filter((f) => f.status === "in_progress").map(labelled),
    next: next === undefined ? null : labelled(next),
  };
}

export function standingOf(items: Iterable<Item>): Standing {
  const out: Standing = { noun: "", total: 0, done: 0, running: 0, failed: 0, blocked: 0, disputed: 0 };
  for (const { status, conflict, feature_type: type } of items) {
    const noun = type ?? "item";
    if (out.noun === "") out.noun = noun;
    else if (out.noun !== noun) out.noun = "item";
    if (conflict) out.disputed += 1;
    if (status === "skipped" || status === "cancelled") continue;
    out.total += 1;
    if (status === "completed") out.done += 1;
    else if (status === "in_progress") out.running += 1;
    else if (status === "error") out.failed += 1;
    else if (status === "blocked") out.blocked += 1;
  }
  out.noun ||= "phase";
  return out;
}

/** The phases of the builds at work, by build. */
export function presentPhases(store: Store): Map<string, Feature[]> {
  const out = new Map<string, Feature[]>((store.session.present ?? []).map((id) => [id, []]));
  if (out.size === 0) return out;
  for (const id of store.features.ids()) {
    const feature = store.features.get(id) as Feature;
    if (feature.component_id !== null) out.get(feature.component_id)?.push(feature);
  }
  return out;
}

/** How all that is at work stands; by the locks alone if no build is known. */
export function wholeOf(store: Store, phases: ReadonlyMap<string, readonly Feature[]>): Standing {
  if (phases.size > 0) return standingOf([...phases.values()].flat());
  return standingOf(store.phases.list().map((p) => ({ status: p.status, feature_type: "phase" })));
}

/** `3 of 8 phases, 1 running`; without the noun, `3 of 8, 1 running`. */
export function counted(s: Standing, noun = s.noun): string {
  const total = noun === "" ? s.total.toLocaleString("en") : plural(s.total, noun);
  const all = `${s.done.toLocaleString("en")} of ${total}`;
  return s.running > 0 ? `${all}, ${s.running.toLocaleString("en")} running` : all;
}

export interface Word {
  word: string;
  tone: Tone;
}

/** The word for the whole. Green is only what is done, where nothing failed and nobody says otherwise. */
export function wordFor(store: Store, s: Standing, life: Life, failed: number): Word {
  const { status } = store.session;
  if (status === "completed") {
    const whole = failed === 0 && s.done === s.total && s.disputed === 0;
    return {
      word: statusWord(status),
      tone: whole && presentBuilds(store).every((c) => !c.conflict) ? "done" : "said",
    };
  }
  if (status === "failed" || status === "unknown") return { word: statusWord(status), tone: toneOf(status) };
  if (life === "silent") return { word: "Silent", tone: "pause" };
  if (life === "idle" || life === "dormant") return { word: life === "idle" ? "Idle" : "Dormant", tone: "idle" };
  return { word: statusWord(status), tone: toneOf(status) };
}

/** The word for any build. `fresh`: the picture is kept up to date, so that silence means something. */
export function verdictOf(store: Store, now: number, fresh: boolean): Word {
  if (isSteered(store)) {
    const clock = fresh ? now : (parseMs(store.updatedAt) ?? now);
    const standing = wholeOf(store, presentPhases(store));
    return wordFor(store, standing, lifeOf(store, clock), failures(store).length);
  }
  const status = fresh && stalledFor(store, now) !== null ? "stalled" : store.session.status;
  return { word: statusWord(status), tone: toneOf(status) };
}

/** Whether somebody works on the build, and by which sign, in a sentence. */
export function lifeLine(store: Store, life: Life, now: number): string {
  const { session } = store;
  const text = session.evidence_at ?? store.updatedAt;
  const at = parseMs(text);
  if (at === null) return life === "unknown" ? "" : life;
  const sign = session.evidence_at == null ? "newest change" : (session.evidence ?? "last sign of life");
  const age = now - at;
  const seen = `${sign}, ${ago(age)}`;
  switch (life) {
    case "alive":
      return seen;
    case "quiet":
      return `quiet for ${duration(age).replace(/\u00a0\d\d\u00a0s$/, "")} · ${sign}`;
    case "silent":
      return `silent since ${clockTime(text, now)} (${ago(age)}) · ${sign}`;
    case "idle":
      return `idle, nothing is claimed · ${seen}`;
    case "dormant":
      return `dormant since ${dateTime(text)} · ${seen}`;
    case "done":
      return `done · ${seen}`;
    default:
      return seen;
  }
}

/** Whether a failure has nothing to do with the builds at work: of tasks, registries, and plans that are not built now. */
export function isElsewhere(store: Store, failure: Failure): boolean {
  if (!isSteered(store)) return false;
  const present = new Set<string | null>(store.session.present);
  return failure.items.every(({ key, kind }) => {
    const id = key.slice(kind.length + 1);
    if (kind === "component") return !present.has(id);
    if (kind === "feature") return !present.has(store.features.get(id)?.component_id ?? null);
    if (kind === "task") return true;
    const plan = store.phases.get(id)?.component_id ?? null;
    return plan !== null && !present.has(plan);
  });
}

/** Whether a lock is still there although its phase is over. */
export function isLeftBehind(store: Store, lock: Phase): boolean {
  if (!isSteered(store) || lock.feature_id == null) return false;
  return isSettled(store.features.get(lock.feature_id)?.status);
}

/** Whether no more work is to be done, and nothing failed. */
function isSettled(status: Status | undefined): boolean {
  return status === "completed" || status === "skipped" || status === "cancelled";
}

/** `lock · locks/phase-3/claim.json`: the rule and the file that decided a status. */
export function sourceText(source: string): string {
  const at = source.indexOf(":");
  if (at < 0) return source;
  return `${source.slice(0, at)} · ${source.slice(at + 1).replace(/^\.buildrunner\//, "")}`;
}

/** The tone of one item: what is done is green only where nobody says otherwise. */
export function toneOfItem(status: AnyStatus, conflict: string | null | undefined): Tone {
  return status === "completed" && conflict ? "said" : toneOf(status);
}

/** Plans at work first, then the newest; what is no plan comes after them, in the given order. */
export function plansInOrder(store: Store, components: readonly Component[]): Component[] {
  const present = store.session.present ?? [];
  const signs = new Map<string, number>();
  for (const id of store.features.ids()) {
    const f = store.features.get(id) as Feature;
    if (f.component_id === null) continue;
    const at = parseMs(f.heartbeat_at) ?? parseMs(f.claimed_at);
    if (at !== null) signs.set(f.component_id, Math.max(at, signs.get(f.component_id) ?? 0));
  }
  const rank = (c: Component): number => {
    const at = present.indexOf(c.component_id);
    return at >= 0 ? at : c.component_type === "plan" ? present.length : present.length + 1;
  };
  const newest = (c: Component): number =>
    Math.max(
      signs.get(c.component_id) ?? 0,
      ...[c.ended_at, c.started_at, c.created_at].map((text) => parseMs(text) ?? 0),
    );
  const keys = new Map(components.map((c) => [c, [rank(c), newest(c)] as const]));
  return [...components].sort((a, b) => {
    const [x, y] = [keys.get(a) as readonly [number, number], keys.get(b) as readonly [number, number]];
    return x[0] - y[0] || y[1] - x[1];
  });
}

/** `3` of `city-tours/3` in the plan `city-tours`. */
export function shortId(id: string, plan: string | null): string {
  return plan !== null && id.startsWith(`${plan}/`) ? id.slice(plan.length + 1) : id;
}

/** `Phase 3`, in the word of the system. */
export function named(f: Feature): string {
  const word = f.feature_type ?? "phase";
  return `${word.charAt(0).toUpperCase()}${word.slice(1)} ${shortId(f.feature_id, f.component_id)}`;
}

/** `3 · Walking times`. */
export function labelled(f: Feature): string {
  const label = named(f);
  return f.name && f.name !== label ? `${shortId(f.feature_id, f.component_id)} · ${f.name}` : label;
}

/** The ids of what a phase that has not begun still waits for. */
export function waitsFor(store: Store, f: Feature): string[] {
  if (f.status !== "not_started") return [];
  return f.dependencies
    .filter((id) => !isSettled(store.features.get(id)?.status))
    .map((id) => shortId(id, f.component_id));
}
