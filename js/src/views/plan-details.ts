// A plan or a phase of one, whole: what decided its status, what says otherwise, who works on it, and what it is to bring.

import { html, nothing, type TemplateResult } from "lit-html";
import { shortId, sourceText } from "../builds";
import { dateTime, plural, statusWord } from "../format";
import type { Live } from "../live";
import type { Component, Feature } from "../protocol";
import { icon } from "./icons";
import { aged, list, type Pair, time } from "./pairs";
import { checkStatus } from "./rows";

/** As many as are shown before somebody asks for all. */
const MANY_FILES = 12;

export function planPairs(c: Component, live: Live): Pair[] {
  return [
    ["Id", c.component_id],
    ...said(c),
    ...(c.status_raw ? [["Header", c.status_raw] satisfies Pair] : []),
    ...(c.created_at ? [["Created", dateTime(c.created_at)] satisfies Pair] : []),
    ...time("Started", c.started_at, live),
    ...time("Ended", c.ended_at, live),
    ...list("Depends on", c.dependencies),
  ];
}

export function planPhasePairs(f: Feature, live: Live): Pair[] {
  const plan = f.component_id;
  const pairs: Pair[] = [];
  if (f.description) pairs.push(["Goal", f.description]);
  pairs.push(...said(f));
  if (f.status_raw) pairs.push(["Written", f.status_raw]);
  if (f.owner) pairs.push(["Owner", f.owner]);
  pairs.push(...aged("Claimed", f.claimed_at, live), ...aged("Heartbeat", f.heartbeat_at, live));
  if (f.dependencies.length > 0) pairs.push(["Blocked by", html`${blockers(f, live)}`]);
  const after = f.metadata.after;
  if (typeof after === "string" && after !== "") pairs.push(["After", after]);
  const outside = f.metadata["blocked by"];
  if (typeof outside === "string" && outside !== "") pairs.push(["Waits for", outside]);
  if (plan !== null) pairs.push(["Plan", live.store.components.get(plan)?.name || plan]);
  return pairs;
}

/** `1 done, 3 in progress`. */
function blockers(f: Feature, live: Live): string {
  return f.dependencies
    .map((id) => {
      const status = live.store.features.get(id)?.status;
      return status === undefined ? id : `${shortId(id, f.component_id)} (${statusWord(status).toLowerCase()})`;
    })
    .join(", ");
}

/** Whose word the status is, and who says otherwise. */
function said(item: Component | Feature): Pair[] {
  const pairs: Pair[] = [];
  if (item.status_source) pairs.push(["By", sourceText(item.status_source)]);
  if (item.conflict) pairs.push(["But", item.conflict]);
  return pairs;
}

/** The boxes and the files of a phase. */
export function deliverables(f: Feature): TemplateResult | typeof nothing {
  const files = f.files ?? [];
  if (f.tasks.length === 0 && files.length === 0) return nothing;
  const ticked = f.tasks.filter((t) => t.completed).length;
  const rest = files.length - MANY_FILES;
  const row = ({ path, action }: (typeof files)[number]): TemplateResult =>
    html`<li><span class="bw-action">${action ?? ""}</span> <span class="bw-mono">${path}</span></li>`;
  return html`<div class="bw-lists">
    ${
      f.tasks.length === 0
        ? nothing
        : html`<section>
            <h4>Deliverables, ${ticked} of ${f.tasks.length} ticked</h4>
            <ul class="bw-list">
              ${f.tasks.map((t) => {
                const status = checkStatus(t);
                const tone = status === "completed" ? "said" : status === "in_progress" ? "run" : "idle";
                const word = t.completed ? "ticked" : status === "in_progress" ? "begun" : "open";
                return html`<li>${icon(tone)}<span><span class="bw-hidden">${word}: </span>${t.name || t.id}</span></li>`;
              })}
            </ul>
          </section>`
    }
    ${
      files.length === 0
        ? nothing
        : html`<section>
            <h4>${plural(files.length, "file")}</h4>
            <ul class="bw-list">
              ${files.slice(0, MANY_FILES).map(row)}
            </ul>
            ${
              rest > 0
                ? html`<details>
                    <summary>${plural(rest, "more file")}</summary>
                    <ul class="bw-list">
                      ${files.slice(MANY_FILES).map(row)}
                    </ul>
                  </details>`
                : nothing
            }
          </section>`
    }
  </div>`;
}
