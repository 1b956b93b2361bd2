// Several sessions: which build is how far.

import { html, nothing, render, type TemplateResult } from "lit-html";
import { ago, clampPercent, fullTime, percent, plural, statusWord, toneOf } from "../format";
import { parseMs } from "../order";
import { icon } from "../views/icons";
import type { SessionRow } from "./sessions";

/** Where a session is shown. */
export function sessionHref(id: string): string {
  return `?session=${encodeURIComponent(id)}`;
}

/** Puts the list into an element; `open` is asked instead of the browser for an ordinary click. */
export function renderList(
  host: HTMLElement,
  rows: readonly SessionRow[] | null,
  now: number,
  open: (event: MouseEvent, id: string) => void,
): void {
  render(
    html`<div class="bw-list-head">
        <h2 class="bw-list-title">All builds</h2>
        <span class="bw-quiet">${rows === null ? nothing : summary(rows)}</span>
      </div>
      ${
        rows === null
          ? html`<p class="bw-list-empty">Connecting to the server…</p>`
          : rows.length === 0
            ? html`<p class="bw-list-empty">
                There is no build on this server yet. It is shown here as soon as something is published.
              </p>`
            : html`<ul class="bw-builds">
                ${rows.map((row) => build(row, now, open))}
              </ul>`
      }`,
    host,
  );
}

function summary(rows: readonly SessionRow[]): string {
  const count = (status: SessionRow["status"]): number => rows.filter((row) => row.status === status).length;
  const parts = [plural(rows.length, "build")];
  const running = count("in_progress");
  const failed = count("failed");
  if (running > 0) parts.push(`${running} in progress`);
  if (failed > 0) parts.push(`${failed} failed`);
  return parts.join(" · ");
}

/** Locks number their phases, checkpoints name them. */
function phaseName(phase: string | null): string {
  if (phase === null) return "";
  return /^\d/.test(phase) ? `Phase ${phase}` : phase.replace(/_/g, " ");
}

function build(row: SessionRow, now: number, open: (event: MouseEvent, id: string) => void): TemplateResult {
  const tone = toneOf(row.status);
  const since = parseMs(row.updatedAt);
  const whole = clampPercent(row.percent);
  const nothingYet = row.status === "unknown" && row.percent === null;
  return html`<li class="bw-build bw-is-${tone}" data-session=${row.id}>
    <a class="bw-build-link" href=${sessionHref(row.id)} @click=${(event: MouseEvent) => open(event, row.id)}>
      <span class="bw-build-name">${row.project}</span>
      ${row.project === row.id ? nothing : html`<span class="bw-build-id bw-mono">${row.id}</span>`}
    </a>
    <span class="bw-build-status bw-state">${icon(tone)}${statusWord(row.status)}</span>
    <span class="bw-build-phase bw-quiet" title=${row.phase ?? nothing}>${phaseName(row.phase)}</span>
    <span
      class="bw-progress bw-build-bar"
      role="progressbar"
      aria-label="Progress of ${row.project}"
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${row.percent === null ? nothing : String(whole)}
      aria-valuetext=${row.percent === null ? "unknown" : `${percent(row.percent)}, ${statusWord(row.status)}`}
      ><span class="bw-seg bw-is-${tone}" .style=${`width:${whole}%`}></span
    ></span>
    <span class="bw-build-percent ${row.percent === null ? "bw-quiet" : ""}">${nothingYet ? nothing : percent(row.percent)}</span>
    <span class="bw-build-age bw-quiet" title=${fullTime(row.updatedAt)}
      >${since === null ? "no news yet" : ago(now - since)}</span
    >
  </li>`;
}
