// The one chosen item, whole: what does not fit in its row.

import { html, nothing, render, type TemplateResult } from "lit-html";
import { isSteered, named, toneOfItem } from "../builds";
import type { Changes } from "../changes";
import { minutes, statusWord } from "../format";
import type { Live } from "../live";
import type { Component, Feature, Phase, Task } from "../protocol";
import { split } from "./build-tab";
import { icon } from "./icons";
import { list, type Pair, time } from "./pairs";
import { deliverables, planPairs, planPhasePairs } from "./plan-details";
import type { Face, View } from "./view";

export class Details implements View {
  readonly el = document.createElement("aside");
  readonly #face: Face;

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-details";
    this.el.setAttribute("aria-label", "Selected item");
    this.#render();
  }

  update(changes: Changes): void {
    const key = this.#key();
    if (key === null && !changes.selection) return;
    const [kind, id] = split(key ?? ":");
    const touched =
      (kind === "component" && changes.components.has(id)) ||
      (kind === "feature" && changes.features.has(id)) ||
      (kind === "task" && changes.tasks.has(id)) ||
      (kind === "phase" && changes.phases.has(id));
    if (changes.all || changes.selection || changes.structure || touched) this.#render();
  }

  /** The ages in it. */
  tick(): void {
    if (!this.el.hidden) this.#render();
  }

  #key(): string | null {
    const { selected } = this.#face.live;
    if (selected.size !== 1) return null;
    return [...selected][0] ?? null;
  }

  #render(): void {
    const key = this.#key();
    const content = key === null ? null : this.#content(key);
    this.el.hidden = content === null;
    render(content ?? nothing, this.el);
  }

  #content(key: string): TemplateResult | null {
    const { live } = this.#face;
    const [kind, id] = split(key);
    const { store } = live;
    if (kind === "component") {
      const c = store.components.get(id);
      if (c === undefined) return null;
      const steered = isSteered(store);
      return this.#frame(
        c.name || id,
        steered ? { ...c, status_raw: null } : c,
        steered ? planPairs(c, live) : componentPairs(c, live),
        c.error,
      );
    }
    if (kind === "feature") {
      const f = store.features.get(id);
      if (f === undefined) return null;
      if (!f.feature_type) return this.#frame(f.name || id, f, featurePairs(f), f.error);
      const label = named(f);
      const title = f.name && f.name !== label ? `${label} · ${f.name}` : label;
      return this.#frame(title, { ...f, status_raw: null }, planPhasePairs(f, live), f.error, deliverables(f));
    }
    if (kind === "task") {
      const t = store.tasks.get(id);
      return t ? this.#frame(t.name || id, t, taskPairs(t, live), t.error) : null;
    }
    if (kind === "phase") {
      const p = store.phases.get(id);
      return p ? this.#frame(p.name || id, p, phasePairs(p, live), p.errors.join("\n")) : null;
    }
    return null;
  }

  #frame(
    name: string,
    item: { status: Component["status"]; status_raw: string | null; conflict?: string | null },
    pairs: readonly Pair[],
    error: string | null,
    more: TemplateResult | typeof nothing = nothing,
  ): TemplateResult {
    const tone = toneOfItem(item.status, item.conflict);
    const raw = item.status_raw && item.status_raw !== item.status ? ` (${item.status_raw})` : "";
    return html`<div class="bw-details-head">
        <span class="bw-is-${tone} bw-state">${icon(tone)}${statusWord(item.status)}${raw}</span>
        <h3 class="bw-details-name">${name}</h3>
        <button type="button" class="bw-clear" aria-label="Close details" @click=${() => this.#face.live.select([])}>×</button>
      </div>
      ${error ? html`<pre class="bw-pre ${item.status === "error" ? "" : "bw-pre-quiet"}">${error}</pre>` : nothing}
      <dl class="bw-pairs">${pairs.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
      ${more}`;
  }
}

function componentPairs(c: Component, live: Live): Pair[] {
  return [
    ["Id", c.component_id],
    ...time("Started", c.started_at, live),
    ...time("Ended", c.ended_at, live),
    ...list("Depends on", c.dependencies),
    ...list("Files", c.files),
  ];
}

function featurePairs(f: Feature): Pair[] {
  const out: Pair[] = [["Id", f.feature_id]];
  if (f.component_id) out.push(["Component", f.component_id]);
  if (f.description) out.push(["About", f.description]);
  if (f.estimated_minutes !== null) out.push(["Estimated", minutes(f.estimated_minutes)]);
  if (f.actual_minutes !== null) out.push(["Took", minutes(f.actual_minutes)]);
  return [...out, ...list("Depends on", f.dependencies)];
}

function taskPairs(t: Task, live: Live): Pair[] {
  const out: Pair[] = [["Id", t.task_id]];
  if (t.parent_id) out.push(["Part of", t.parent_id]);
  if (t.retry_count) out.push(["Retries", String(t.retry_count)]);
  return [
    ...out,
    ...time("Started", t.started_at, live),
    ...time("Ended", t.completed_at, live),
    ...list("Depends on", t.dependencies),
  ];
}

function phasePairs(p: Phase, live: Live): Pair[] {
  const out: Pair[] = [["Id", p.phase_id]];
  if (p.step_label) out.push(["Step", p.step_label]);
  if (p.current_task) out.push(["Task", p.current_task]);
  if (p.tasks_done !== null && p.tasks_total !== null) out.push(["Tasks", `${p.tasks_done} of ${p.tasks_total}`]);
  if (p.owner) out.push(["Owner", p.owner]);
  if (p.mode) out.push(["Mode", p.mode]);
  if (p.exit_code != null) out.push(["Exit code", String(p.exit_code)]);
  return [
    ...out,
    ...time("Started", p.started_at, live),
    ...time("Updated", p.updated_at, live),
    ...time("Claimed", p.claimed_at ?? null, live),
    ...time("Heartbeat", p.heartbeat_at ?? null, live),
    ...time("Exited", p.exit_at ?? null, live),
    ...list("Warnings", p.warnings),
  ];
}
