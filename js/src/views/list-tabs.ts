// Checkpoints and warnings: real tables, as they are short (200 rows at most).

import { html, render, type TemplateResult } from "lit-html";
import type { Changes } from "../changes";
import { clockTime, fullTime, plural } from "../format";
import type { Live } from "../live";
import { icon } from "./icons";
import type { Face, TabSpec, TabView } from "./view";

class TableTab implements TabView {
  readonly el = document.createElement("div");
  readonly #face: Face;
  readonly #table: (live: Live) => TemplateResult;
  readonly #concerns: (changes: Changes) => boolean;

  constructor(
    face: Face,
    label: string,
    table: (live: Live) => TemplateResult,
    concerns: (changes: Changes) => boolean,
  ) {
    this.#face = face;
    this.#table = table;
    this.#concerns = concerns;
    this.el.className = "bw-tab-body bw-table-scroll";
    this.el.tabIndex = 0;
    this.el.setAttribute("role", "region");
    this.el.setAttribute("aria-label", label);
    this.#render();
  }

  update(changes: Changes): void {
    if (changes.all || changes.layout || this.#concerns(changes)) this.#render();
  }

  #render(): void {
    const { live } = this.#face;
    this.el.style.maxHeight = live.height > 0 ? `${live.height}px` : "clamp(240px, 60vh, 720px)";
    render(this.#table(live), this.el);
  }
}

export const checkpointsTab: TabSpec = {
  id: "checkpoints",
  title: "Checkpoints",
  count: (live) => Math.max(live.store.checkpoints.length, live.store.session.counts.checkpoints),
  shown: (live) => live.store.checkpoints.length > 0,
  create: (face) => new TableTab(face, "Checkpoints", checkpointTable, (c) => c.checkpoints || c.summary),
};

function checkpointTable(live: Live): TemplateResult {
  const list = [...live.store.checkpoints].reverse();
  const all = live.store.session.counts.checkpoints;
  const more = all > list.length ? ` The newest ${list.length} of ${all.toLocaleString("en")}.` : "";
  const now = live.now();
  return html`<table class="bw-table">
    <caption class="${more ? "" : "bw-hidden"}">Checkpoints, newest first.${more}</caption>
    <thead>
      <tr>
        <th scope="col">Time</th>
        <th scope="col">Checkpoint</th>
        <th scope="col">Phase</th>
        <th scope="col">State</th>
        <th scope="col" class="bw-num bw-wide">Holds</th>
      </tr>
    </thead>
    <tbody>
      ${list.map((c) => {
        const back = c.status === "rolled_back";
        const active = c.status === "active";
        const state = (c.status ?? "unknown").replace(/_/g, " ");
        const holds = [
          c.tasks_completed.length > 0 ? plural(c.tasks_completed.length, "task") : "",
          c.files_created.length > 0 ? plural(c.files_created.length, "file") : "",
        ].filter(Boolean);
        const guess = c.ts_source === "file" ? "" : `\nTime from: ${c.ts_source.replace(/_/g, " ")}`;
        return html`<tr class="${back ? "bw-rolled" : ""}">
          <td class="bw-nowrap" title="${fullTime(c.created_at)}${guess}">${clockTime(c.created_at, now) || "unknown"}</td>
          <th scope="row" class="bw-mono">${back ? html`<s>${c.checkpoint_id}</s>` : c.checkpoint_id}</th>
          <td>${c.phase ?? ""}</td>
          <td class="bw-nowrap">
            <span class="bw-state ${active ? "bw-is-done" : back ? "bw-is-skip" : "bw-is-idle"}"
              >${icon(active ? "done" : back ? "skip" : "idle")}${state}</span
            >
          </td>
          <td class="bw-num bw-wide">${holds.join(", ")}</td>
        </tr>`;
      })}
    </tbody>
  </table>`;
}

export const warningsTab: TabSpec = {
  id: "warnings",
  title: "Warnings",
  count: (live) => Math.max(live.store.warningCount, live.store.session.counts.warnings),
  shown: (live) => live.store.warningCount > 0,
  create: (face) => new TableTab(face, "Warnings", warningTable, (c) => c.warnings),
};

function warningTable(live: Live): TemplateResult {
  return html`<table class="bw-table">
    <caption class="bw-hidden">Files that could not be read as expected</caption>
    <thead>
      <tr>
        <th scope="col">File</th>
        <th scope="col">Reason</th>
        <th scope="col" class="bw-wide">Code</th>
      </tr>
    </thead>
    <tbody>
      ${live.store.warnings().map(
        (w) =>
          html`<tr>
            <th scope="row" class="bw-mono">${w.file_path}</th>
            <td>${w.message}</td>
            <td class="bw-wide bw-mono">${w.code}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
