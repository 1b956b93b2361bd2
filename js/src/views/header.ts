// The top of the face: what is being built, how it stands, how far it is, and whether that is the truth right now.

import { html, nothing, render, type TemplateResult } from "lit-html";
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
  toneOf,
} from "../format";
import type { Live } from "../live";
import { parseMs } from "../order";
import { connectionPill } from "./connection-pill";
import { icon } from "./icons";
import type { Face, View } from "./view";

export class Header implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;
  #failures: number;

  constructor(face: Face) {
    this.#face = face;
    this.#failures = failures(face.live.store).length;
    this.el.className = "bw-header";
    this.#render();
  }

  update(changes: Changes): void {
    if (changes.all || changes.errors || changes.structure) this.#failures = failures(this.#face.live.store).length;
    this.#render();
  }

  tick(): void {
    this.#render();
  }

  #render(): void {
    const { live, uid } = this.#face;
    render(template(live, uid, this.#failures), this.el);
  }
}

function template(live: Live, uid: string, failed: number): TemplateResult {
  const { store } = live;
  const now = live.now();
  const still = live.connection !== "live" && live.connection !== "busy";
  const stalled = still ? null : stalledFor(store, now);
  const status: AnyStatus = stalled === null ? store.session.status : "stalled";
  const value = store.progress.percent;
  const bar = bars(tally(store), value);
  const project = store.session.project || lastPart(live.meta.path) || "Build";
  // On a picture that is not kept up to date the clock stands still at the last news.
  const clock = still ? (parseMs(store.updatedAt) ?? now) : now;
  const took = elapsed(store.session.started_at, store.session.ended_at, clock);
  const since = parseMs(store.updatedAt);
  return html`
    <div class="bw-title-row">
      <h2 class="bw-project" title=${live.meta.path || project}>${project}</h2>
      <span class="bw-badge bw-is-${toneOf(status)}" title=${statusTitle(live, stalled)}
        >${icon(toneOf(status))}<span class="bw-badge-word">${statusWord(status)}</span></span
      >
      <span class="bw-grow"></span>
      <span class="bw-updated bw-quiet" title=${fullTime(store.updatedAt)}
        >${since === null ? nothing : html`updated ${ago(now - since)}`}</span
      >
      ${connectionPill(live)}
    </div>
    <div class="bw-progress-row">
      <span class="bw-percent ${value === null ? "bw-percent-unknown" : ""}">${percent(value)}</span>
      <div
        class="bw-progress"
        role="progressbar"
        aria-label="Overall progress"
        aria-valuemin="0"
        aria-valuemax="100"
        aria-valuenow=${value === null ? nothing : String(clampPercent(value))}
        aria-valuetext=${value === null ? "unknown" : `${percent(value)}, ${statusWord(status)}`}
      >
        <span class="bw-seg bw-is-done" .style=${`width:${bar.done}%`}></span
        ><span class="bw-seg bw-is-run" .style=${`width:${bar.run}%`}></span
        ><span class="bw-seg bw-is-fail" .style=${`width:${bar.fail}%`}></span>
      </div>
      <span class="bw-elapsed" title=${times(live)}
        >${took === null ? nothing : html`<span class="bw-clock">${duration(took)}</span>`}</span
      >
    </div>
    <div class="bw-facts">
      ${phaseFact(live)}
      <span class="bw-counts" id="${uid}-counts">${counts(live, failed)}</span>
    </div>
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
