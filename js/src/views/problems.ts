// Errors first, then warnings: short, so that the table stays in sight, and open to more.

import { html, nothing, render, type TemplateResult } from "lit-html";
import type { Changes } from "../changes";
import { type Failure, failures } from "../failures";
import { errorLine, plural } from "../format";
import { icon, warningIcon } from "./icons";
import type { Face, View } from "./view";

const FEW_ERRORS = 3;
const FEW_WARNINGS = 2;
/** Items named for one error. */
const FEW_NAMES = 3;

export class Problems implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;
  #allErrors = false;
  #errors: Failure[] = [];

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-problems";
    this.#errors = failures(face.live.store);
    this.#render();
  }

  update(changes: Changes): void {
    const errors = changes.all || changes.errors || changes.structure;
    if (!errors && !changes.warnings) return;
    if (errors) this.#errors = failures(this.#face.live.store);
    this.#render();
  }

  #render(): void {
    // What is waited for has a place of its own: see face.ts.
    const warnings = this.#face.live.store.warnings().filter((w) => w.code !== "waiting");
    this.el.hidden = this.#errors.length === 0 && warnings.length === 0;
    render(html`${this.#errorList()}${this.#warningList(warnings)}`, this.el);
  }

  #errorList(): TemplateResult | typeof nothing {
    const all = this.#errors;
    if (all.length === 0) return nothing;
    const shown = this.#allErrors ? all : all.slice(0, FEW_ERRORS);
    return html`<div class="bw-errors" role="group" aria-label="Errors">
      <h3 class="bw-section-title bw-is-fail">${icon("fail")}${plural(all.length, "error")}</h3>
      <ul class="bw-list">
        ${shown.map(
          ({ reason, items }) =>
            html`<li class="bw-error">
              ${items.slice(0, FEW_NAMES).map(
                (f) =>
                  html`<button type="button" class="bw-link" @click=${() => this.#face.reveal(f.key)}>${f.name}</button>
                    <span class="bw-kind">${f.kind}</span>`,
              )}
              ${items.length > FEW_NAMES ? html`<span class="bw-kind">and ${items.length - FEW_NAMES} more</span>` : nothing}
              <span class="bw-error-text" title=${reason}
                >${errorLine(reason) || "failed, no reason given"}</span
              >
            </li>`,
        )}
      </ul>
      ${
        all.length > FEW_ERRORS
          ? html`<button
              type="button"
              class="bw-button bw-more"
              aria-expanded=${String(this.#allErrors)}
              @click=${() => {
                this.#allErrors = !this.#allErrors;
                this.#render();
              }}
            >
              ${this.#allErrors ? "Show fewer" : `Show ${all.length - FEW_ERRORS} more`}
            </button>`
          : nothing
      }
    </div>`;
  }

  #warningList(all: readonly { file_path: string; code: string; message: string }[]): TemplateResult | typeof nothing {
    if (all.length === 0) return nothing;
    const shown = all.slice(0, FEW_WARNINGS);
    const rest = all.length - shown.length;
    return html`<div class="bw-warnings" role="group" aria-label="Warnings">
      <h3 class="bw-section-title bw-is-pause">${warningIcon()}${plural(all.length, "warning")}</h3>
      <ul class="bw-list">
        ${shown.map(
          (w) =>
            html`<li class="bw-warning">
              <span class="bw-mono bw-file" title=${w.file_path}><bdi>${w.file_path}</bdi></span>
              <span class="bw-warning-text" title=${w.message}>${w.message}</span>
            </li>`,
        )}
      </ul>
      ${
        rest > 0
          ? html`<button type="button" class="bw-button bw-more" @click=${() => this.#face.openTab("warnings")}>
              Show ${rest} more
            </button>`
          : nothing
      }
    </div>`;
  }
}
