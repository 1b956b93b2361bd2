// What is said of builds that a system decides on: plans and their phases, who works on them, and whether they live.

import { stalledFor } from "./derive";
import { failures } from "./failures";
import { type AnyStatus, ago, clockTime, dateTime, duration, plural, statusWord, type Tone, toneOf } from "./format";
import { type Life, lifeOf } from "./life";
import { parseMs } from "./order";
import type { Component, Feature, Status } from "./protocol";
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

/** The items of the builds at work, by build; those of locks alone if no build is known. */
export function presentItems(store: Store): Map<string, Item[]> {
  const out = new Map<string, Item[]>((store.session.present ?? []).map((id) => [id, []]));
  if (out.size === 0)
    return new Map([["", store.phases.list().map((p) => ({ status: p.status, feature_type: "phase" }))]]);
  for (const id of store.features.ids()) {
    const feature = store.features.get(id) as Feature;
    if (feature.component_id !== null) out.get(feature.component_id)?.push(feature);
  }
  return out;
}

/** `3 of 8 phases, 1 running`. */
export function counted(s: Standing): string {
  const all = `${s.done.toLocaleString("en")} of ${plural(s.total, s.noun)}`;
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
    const standing = standingOf([...presentItems(store).values()].flat());
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
