// The header of builds that a system decides on: which are built now, how far each is, and whether somebody works on them.

import { html, nothing, type TemplateResult } from "lit-html";
import {
  agendaOf,
  counted,
  isElsewhere,
  labelled,
  lifeLine,
  presentBuilds,
  presentPhases,
  type Standing,
  sourceText,
  standingOf,
  toneOfItem,
  wholeOf,
  wordFor,
} from "../builds";
import type { Changes } from "../changes";
import { failures } from "../failures";
import { clampPercent, elapsed, fullTime, percent, plural, type Tone } from "../format";
import { type Life, lifeOf } from "../life";
import type { Feature } from "../protocol";
import type { Store } from "../store";
import type { Picture } from "./header";
import { icon, warningIcon } from "./icons";
import type { Face } from "./view";

/** Builds named one by one. */
const FEW = 4;
const LIFE_TONES: Record<Life, Tone> = {
  alive: "run",
  quiet: "run",
  silent: "pause",
  idle: "idle",
  dormant: "idle",
  done: "idle",
  unknown: "unknown",
};

export class Steered {
  readonly #face: Face;
  #failedHere = 0;
  /** How the items of each present build stand, and all of them; null: to be counted. */
  #known: Known | null = null;

  constructor(face: Face) {
    this.#face = face;
  }

  update(changes: Changes): void {
    const { all, structure, summary, errors, features, phases } = changes;
    if (all || structure || summary || errors || features.size > 0 || phases.size > 0) this.#known = null;
  }

  picture(clock: number, failed: number): Picture {
    const { store } = this.#face.live;
    const { session, progress } = store;
    if (this.#known === null) {
      this.#known = count(store);
      this.#failedHere = failed === 0 ? 0 : failures(store).filter((one) => !isElsewhere(store, one)).length;
    }
    const { all } = this.#known;
    const life = lifeOf(store, clock);
    const { word, tone } = wordFor(store, all, life, failed);
    const value = progress.percent;
    const whole = clampPercent(value);
    const high = Math.max(whole, clampPercent(progress.high ?? value));
    const range = value !== null && high > whole ? `up to ${percent(high)} with what runs` : "";
    // Work that nobody does takes no time: the clock stops at the last sign of it.
    const at = life === "alive" || life === "quiet" ? null : (session.evidence_at ?? store.updatedAt);
    return {
      word,
      tone,
      title: session.status_source ? `${word} (by ${session.status_source})` : word,
      bar: {
        tone: tone === "done" || tone === "said" ? tone : "solid",
        done: whole,
        run: 0,
        open: high - whole,
        fail: all.total === 0 ? 0 : Math.min(100 - high, (100 * all.failed) / all.total),
      },
      range,
      valueText: [percent(value), range, word].filter(Boolean).join(", "),
      took: elapsed(session.started_at, session.ended_at ?? at, clock),
      facts: this.#facts(life, clock),
    };
  }

  #facts(life: Life, clock: number): TemplateResult {
    const { live, uid } = this.#face;
    const { store } = live;
    const { ended, each, all } = this.#known as Known;
    const builds = presentBuilds(store);
    const rest = builds.length - FEW;
    const here = this.#failedHere;
    const line = lifeLine(store, life, clock);
    const part = (n: number, tone: Tone, text: string, title = ""): TemplateResult | typeof nothing =>
      n === 0
        ? nothing
        : html`<span class="bw-count bw-is-${tone}" title=${title || nothing}>${icon(tone)}${text}</span>`;
    return html`<ul class="bw-now" aria-label="Built now">
        ${builds.slice(0, FEW).map((c) => {
          const standing = each.get(c.component_id);
          const tone = toneOfItem(c.status, c.conflict ?? (standing && standing.disputed > 0 ? "its parts" : null));
          const note = [standing?.agenda ?? "", c.conflict ?? ""].filter(Boolean).join(" · ");
          return html`<li class="bw-now-build">
            ${icon(tone)}
            <button
              type="button"
              class="bw-link bw-now-name"
              title=${c.status_source ? `by: ${sourceText(c.status_source)}` : c.component_id}
              @click=${() => this.#face.reveal(`component:${c.component_id}`)}
            >
              ${c.name || c.component_id}
            </button>
            ${builds.length > 1 && standing ? html`<span class="bw-now-count">${counted(standing)}</span>` : nothing}
            ${note === "" ? nothing : html`<span class="bw-now-note bw-quiet" title=${note}>${note}</span>`}
          </li>`;
        })}
        ${rest > 0 ? html`<li class="bw-quiet">and ${plural(rest, "more", "more")}</li>` : nothing}
      </ul>
      ${ended.slice(0, FEW).map((text) => html`<div class="bw-ended bw-is-pause" title=${text}>${warningIcon()}<span>${text}</span></div>`)}
      <div class="bw-facts">
        <span class="bw-life bw-life-${life} bw-is-${LIFE_TONES[life]}" title=${fullTime(store.session.evidence_at)}
          >${line === "" ? nothing : html`<span class="bw-beat" aria-hidden="true"></span><span>${line}</span>`}</span
        >
        <span class="bw-counts" id="${uid}-counts">
          <span class="bw-count">${counted(all)}</span>
          ${part(here, "fail", `${here.toLocaleString("en")} failed`)}
          ${part(all.blocked, "block", `${all.blocked.toLocaleString("en")} blocked`)}
          ${part(all.disputed, "said", `${all.disputed.toLocaleString("en")} in conflict`, `Of ${plural(all.disputed, all.noun)} another file says otherwise: see the notes in the list`)}
        </span>
      </div>`;
  }
}

interface Known {
  /** What running phases say of how a session of theirs ended. */
  ended: string[];
  each: Map<string, Standing & { agenda: string }>;
  all: Standing;
}

function count(store: Store): Known {
  const phases = presentPhases(store);
  const each = new Map([...phases].map(([id, list]) => [id, { ...standingOf(list), agenda: agenda(store, list) }]));
  const ended = [...phases.values()]
    .flat()
    .filter((f) => f.status === "in_progress" && f.error)
    .map((f) => `${labelled(f)}: ${f.error}`);
  return { ended, each, all: wholeOf(store, phases) };
}

/** `runs 3 · Walking times; next 7 · Printing`. */
function agenda(store: Store, phases: readonly Feature[]): string {
  const { running, next } = agendaOf(store, phases);
  const rest = running.length - FEW;
  const runs =
    running.length === 0 ? "" : `runs ${running.slice(0, FEW).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
  return [runs, next === null ? "" : `next ${next}`].filter(Boolean).join("; ");
}
