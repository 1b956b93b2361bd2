// The top of the face: what is being built, how it stands, how far it is, and whether that is the truth right now.

import { html, nothing, render, type TemplateResult } from "lit-html";
import { isSteered } from "../builds";
import type { Changes } from "../changes";
import { currentPhase, phaseTitle, stalledFor, type Tally, tally } from "../derive";
import { failures } from "../failures";
import {
  type AnyStatus,
  ago,
  clampPercent,
  duration,
  elapsed,
  fullTime,
  percent,
  plural,
  statusWord,
  type Tone,
  toneOf,
} from "../format";
import type { Live } from "../live";
import { parseMs } from "../order";
import { connectionPill } from "./connection-pill";
import { icon } from "./icons";
import { Steered } from "./steered-header";
import type { Face, View } from "./view";

export class Header implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;
  readonly #steered: Steered;
  #failures: number;

  constructor(face: Face) {
    this.#face = face;
    this.#steered = new Steered(face);
    this.#failures = failures(face.live.store).length;
    this.el.className = "bw-header";
    this.#render();
  }

  update(changes: Changes): void {
    this.#steered.update(changes);
    if (changes.all || changes.errors || changes.structure) this.#failures = failures(this.#face.live.store).length;
    this.#render();
  }

  tick(): void {
    this.#render();
  }

  #render(): void {
    const { live, uid } = this.#face;
    const { store, connection } = live;
    const now = live.now();
    // On a picture that is not kept up to date the clock stands still at the last news.
    const still = connection !== "live" && connection !== "busy";
    const clock = still ? (parseMs(store.updatedAt) ?? now) : now;
    const picture = isSteered(store)
      ? this.#steered.picture(clock, this.#failures)
      : plain(live, clock, still, uid, this.#failures);
    render(template(live, picture, now), this.el);
  }
}

/** What differs between builds that a system decides on and all others. */
export interface Picture {
  word: string;
  tone: Tone;
  title: string;
  /** The parts of the bar, in per cent of the whole; `open`: the range that running work leaves. */
  bar: { tone: "done" | "said" | "solid"; done: number; run: number; open: number; fail: number };
  /** After the percentage. */
  range: string;
  valueText: string;
  took: number | null;
  facts: TemplateResult;
}

function plain(live: Live, clock: number, still: boolean, uid: string, failed: number): Picture {
  const { store } = live;
  const { session, progress } = store;
  const stalled = still ? null : stalledFor(store, clock);
  const status: AnyStatus = stalled === null ? session.status : "stalled";
  return {
    word: statusWord(status),
    tone: toneOf(status),
    title: statusTitle(live, stalled),
    bar: { tone: "done", open: 0, ...bars(tally(store), progress.percent) },
    range: "",
    valueText: `${percent(progress.percent)}, ${statusWord(status)}`,
    took: elapsed(session.started_at, session.ended_at, clock),
    facts: html`<div class="bw-facts">
      ${phaseFact(live)}
      <span class="bw-counts" id="${uid}-counts">${counts(live, failed)}</span>
    </div>`,
  };
}

function template(live: Live, picture: Picture, now: number): TemplateResult {
  const { store } = live;
  const value = store.progress.percent;
  const { bar, tone, took } = picture;
  const project = store.session.project || lastPart(live.meta.path) || "Build";
  const since = parseMs(store.updatedAt);
  const segment = (kind: string, width: number): TemplateResult =>
    html`<span class="bw-seg bw-is-${kind}" .style=${`width:${width}%`}></span>`;
  return html`
    <div class="bw-title-row">
      <h2 class="bw-project" title=${live.meta.path || project}>${project}</h2>
      <span class="bw-badge bw-is-${tone}" title=${picture.title}
        >${icon(tone)}<span class="bw-badge-word">${picture.word}</span></span
      >
      <span class="bw-grow"></span>
      <span class="bw-updated bw-quiet" title=${fullTime(store.updatedAt)}
        >${since === null ? nothing : html`updated ${ago(now - since)}`}</span
      >
      ${connectionPill(live)}
    </div>
    <div class="bw-progress-row">
      <span class="bw-percent ${value === null ? "bw-percent-unknown" : ""}">${percent(value)}</span>
      ${picture.range ? html`<span class="bw-range">${picture.range}</span>` : nothing}
      <div
        class="bw-progress"
        role="progressbar"
        aria-label="Overall progress"
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${value === null ? nothing : String(clampPercent(value))}
        aria-valuetext=${value === null ? "unknown" : picture.valueText}
      >
        ${segment(bar.tone, bar.done)}${segment("run", bar.run)}${segment("open", bar.open)}${segment("fail", bar.fail)}
      </div>
      <span class="bw-elapsed" title=${times(live)}
        >${took === null ? nothing : html`<span class="bw-clock">${duration(took)}</span>`}</span
      >
    </div>
    ${picture.facts}
  `;
}

function statusTitle(live: Live, stalled: number | null): string {
  const { status, status_source: source } = live.store.session;
  if (stalled !== null) return `No news for ${duration(stalled)}, which is longer than usual`;
  return source ? `${statusWord(status)} (by ${source})` : statusWord(status);
}

function phaseFact(live: Live): TemplateResult | typeof nothing {
  const phase = currentPhase(live.store);
  const doing = [live.store.progress.current_component, live.store.progress.current_feature].filter(Boolean);
  if (phase === null) {
    const text = live.store.session.phase ?? doing.join(" · ");
    return text ? html`<span class="bw-phase" title=${text}>${text.replace(/_/g, " ")}</span>` : nothing;
  }
  const { tasks_done: done, tasks_total: total } = phase;
  const parts = [phaseTitle(phase)];
  if (phase.step_label) parts.push(phase.step_label);
  if (done !== null && total !== null && total > 0) parts.push(`${done}/${total}`);
  const text = parts.join(" · ");
  return html`<span class="bw-phase" title=${phase.current_task ?? text}>${text}</span>`;
}

/** What there is, and how it stands: two groups, so that a narrow header parts them there. */
function counts(live: Live, failed: number): TemplateResult[] {
  const { store } = live;
  const { counts: c } = store.session;
  const what: TemplateResult[] = [];
  const how: TemplateResult[] = [];
  const add = (n: number, one: string): void => {
    if (n > 0)
      what.push(html`<span class="bw-count"><b>${n.toLocaleString("en")}</b> ${n === 1 ? one : `${one}s`}</span>`);
  };
  add(Math.max(c.components, store.components.size), "component");
  add(Math.max(c.features, store.features.size), "feature");
  add(Math.max(c.tasks, store.tasks.size), "task");
  add(Math.max(c.checkpoints, store.checkpoints.length), "checkpoint");
  const part = (n: number, tone: "done" | "run" | "fail" | "block", word: string, noun: string): void => {
    if (n === 0) return;
    const title = plural(n, noun);
    how.push(
      html`<span class="bw-count bw-is-${tone}" title=${noun === "failure" ? title : `${title} ${word}`}
        >${icon(tone)}<b>${n.toLocaleString("en")}</b> ${word}</span
      >`,
    );
  };
  const t = tally(store);
  if (t !== null) {
    part(t.done, "done", "done", t.noun);
    part(t.running, "run", "in progress", t.noun);
  }
  // However many items tell of it, one failure is one.
  part(failed, "fail", "failed", "failure");
  if (t !== null) part(t.blocked, "block", "blocked", t.noun);
  const groups = [what, how].filter((group) => group.length > 0);
  return groups.map((group) => html`<span class="bw-count-group">${group}</span>`);
}

/** The widths of the parts of the bar, in per cent of the whole. What is filled before the red is exactly the percentage. */
export function bars(t: Tally | null, value: number | null): { done: number; run: number; fail: number } {
  const whole = clampPercent(value);
  if (t === null || t.total === 0) return { done: whole, run: 0, fail: 0 };
  const done = Math.min(whole, (100 * t.done) / t.total);
  const run = value === null ? 0 : whole - done;
  return { done, run, fail: Math.min(100 - done - run, (100 * t.failed) / t.total) };
}

function times(live: Live): string {
  const { started_at: from, ended_at: to } = live.store.session;
  return [from ? `Started ${fullTime(from)}` : "", to ? `Ended ${fullTime(to)}` : ""].filter(Boolean).join("\n");
}

function lastPart(path: string): string {
  return (
    path
      .replace(/[/\\]+$/, "")
      .split(/[/\\]/)
      .pop() ?? ""
  );
}
