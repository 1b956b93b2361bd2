// Errors first, then warnings: short, so that the table stays in sight, and open to more.

import { html, nothing, render, type TemplateResult } from "lit-html";
import { isElsewhere, isSteered } from "../builds";
import type { Changes } from "../changes";
import { type Failed, type Failure, failures } from "../failures";
import { errorLine, plural } from "../format";
import type { BuildWarning } from "../protocol";
import { icon, warningIcon } from "./icons";
import type { Face, View } from "./view";

const FEW_ERRORS = 3;
const FEW_WARNINGS = 2;
/** Items named for one error. */
const FEW_NAMES = 3;

/** What stands in one place of the list: a failure and all items that tell of it, or all failures that give no reason. */
interface Entry {
  key: string;
  reason: string;
  failures: number;
  items: Failed[];
}

export class Problems implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;
  #allErrors = false;
  #errors: Entry[] = [];
  #count = 0;
  /** What failed, but not in the builds at work; and whether it is shown. */
  #elsewhere: Entry[] = [];
  #elsewhereCount = 0;
  #elsewhereOpen = false;
  /** The errors and warnings that are shown whole, by key. */
  readonly #open = new Set<string>();
  /** Those of which something does not fit, by key. */
  #cut: ReadonlySet<string> = new Set();
  #frame = 0;

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-problems";
    this.#find();
    const observer = new ResizeObserver(() => this.#measureSoon());
    observer.observe(this.el);
    face.signal.addEventListener(
      "abort",
      () => {
        observer.disconnect();
        cancelAnimationFrame(this.#frame);
      },
      { once: true },
    );
    this.#render();
  }

  update(changes: Changes): void {
    const { store } = this.#face.live;
    // Which builds are at work decides on what is told first.
    const errors = changes.all || changes.errors || changes.structure || (changes.summary && isSteered(store));
    if (!errors && !changes.warnings) return;
    if (errors) this.#find();
    this.#render();
  }

  #find(): void {
    const { store } = this.#face.live;
    const found = failures(store);
    const inside: Failure[] = [];
    const outside: Failure[] = [];
    for (const failure of found) (isElsewhere(store, failure) ? outside : inside).push(failure);
    this.#count = inside.length;
    this.#errors = entries(inside);
    this.#elsewhereCount = outside.length;
    this.#elsewhere = entries(outside);
  }

  #render(): void {
    // What is waited for has a place of its own: see waiting.ts.
    const warnings = this.#face.live.store.warnings().filter((w) => w.code !== "waiting");
    this.el.hidden = this.#errors.length === 0 && warnings.length === 0 && this.#elsewhereCount === 0;
    render(html`${this.#errorList()}${this.#warningList(warnings)}${this.#elsewhereList()}`, this.el);
    this.#measureSoon();
  }

  /** In the next frame: what is rendered now may change our own size again. */
  #measureSoon(): void {
    cancelAnimationFrame(this.#frame);
    if (!this.el.hidden) this.#frame = requestAnimationFrame(() => this.#measure());
  }

  /** Finds what is cut off, at this width and with these fonts: its reader is offered the rest. */
  #measure(): void {
    const cut = new Set<string>();
    for (const item of this.el.querySelectorAll<HTMLElement>("[data-problem]")) {
      const key = item.dataset.problem as string;
      // Of what is open nothing is cut, and it has to be closed again all the same.
      if (this.#open.has(key) || [...item.querySelectorAll(".bw-cuts")].some(isCut)) cut.add(key);
    }
    const same = cut.size === this.#cut.size && [...cut].every((key) => this.#cut.has(key));
    this.#cut = cut;
    if (!same) this.#render();
  }

  #errorList(): TemplateResult | typeof nothing {
    const all = this.#errors;
    if (all.length === 0) return nothing;
    const shown = this.#allErrors ? all : all.slice(0, FEW_ERRORS);
    return html`<div class="bw-errors" role="group" aria-label="Errors">
      <h3 class="bw-section-title bw-is-fail">${icon("fail")}${plural(this.#count, "error")}</h3>
      <ul class="bw-list">
        ${shown.map((entry) => this.#error(entry))}
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

  /** Without alarm: it may be old, or of a test. */
  #elsewhereList(): TemplateResult | typeof nothing {
    const n = this.#elsewhereCount;
    if (n === 0) return nothing;
    const open = this.#elsewhereOpen;
    return html`<div class="bw-elsewhere" role="group" aria-label="Errors outside the builds at work">
      <h3 class="bw-section-title">${icon("fail")}${plural(n, "error")} outside the builds at work</h3>
      <button
        type="button"
        class="bw-button"
        aria-expanded=${String(open)}
        @click=${() => {
          this.#elsewhereOpen = !open;
          this.#render();
        }}
      >
        ${open ? "Hide" : "Show"}
      </button>
      ${
        open
          ? html`<ul class="bw-list">
              ${this.#elsewhere.map((entry) => this.#error(entry))}
            </ul>`
          : nothing
      }
    </div>`;
  }

  #error({ key, reason, failures: n, items }: Entry): TemplateResult {
    const open = this.#open.has(key);
    const named = open ? items : items.slice(0, FEW_NAMES);
    const rest = items.length - named.length;
    const line = errorLine(reason);
    const failed = n > 1 ? `${n.toLocaleString("en")} failures, no reason given` : "failed, no reason given";
    return html`<li class="bw-error ${open ? "bw-open" : ""}" data-problem=${key}>
      ${named.map(
        (f) =>
          html`<button type="button" class="bw-link bw-cuts" title=${f.name} @click=${() => this.#face.reveal(f.key)}>${f.name}</button>
            <span class="bw-kind">${f.kind}</span> `,
      )}
      ${rest > 0 ? html`<span class="bw-kind">and ${rest.toLocaleString("en")} more</span>` : nothing}
      <span class="bw-error-text bw-cuts" title=${reason}>${open ? reason.trim() || failed : line || failed}</span>
      ${this.#toggle(key, "error", rest > 0 || line !== reason.trim())}
    </li>`;
  }

  #warningList(all: readonly BuildWarning[]): TemplateResult | typeof nothing {
    if (all.length === 0) return nothing;
    const shown = all.slice(0, FEW_WARNINGS);
    const rest = all.length - shown.length;
    return html`<div class="bw-warnings" role="group" aria-label="Warnings">
      <h3 class="bw-section-title bw-is-pause">${warningIcon()}${plural(all.length, "warning")}</h3>
      <ul class="bw-list">
        ${shown.map(({ file_path: path, code, message }) => {
          const key = `warning:${path}:${code}`;
          return html`<li class="bw-warning ${this.#open.has(key) ? "bw-open" : ""}" data-problem=${key}>
            <span class="bw-mono bw-file bw-cuts" title=${path}><bdi>${path}</bdi></span>
            <span class="bw-warning-text bw-cuts" title=${message}>${message}</span>
            ${this.#toggle(key, "warning", false)}
          </li>`;
        })}
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

  /** The way to the whole of it by key or finger: a title is only for who has a mouse. */
  #toggle(key: string, what: string, more: boolean): TemplateResult | typeof nothing {
    const open = this.#open.has(key);
    if (!open && !more && !this.#cut.has(key)) return nothing;
    return html`<button
      type="button"
      class="bw-button bw-whole"
      aria-expanded=${String(open)}
      aria-label=${open ? `Less of this ${what}` : `More of this ${what}`}
      @click=${() => {
        if (!this.#open.delete(key)) this.#open.add(key);
        this.#render();
      }}
    >
      ${open ? "Less" : "More"}
    </button>`;
  }
}

function entries(found: readonly Failure[]): Entry[] {
  const all: Entry[] = [];
  let silent: Entry | undefined;
  for (const { reason, items } of found) {
    if (reason !== "") all.push({ key: `reason:${reason}`, reason, failures: 1, items });
    else if (silent) {
      silent.failures += 1;
      silent.items.push(...items);
    } else {
      silent = { key: "no reason", reason, failures: 1, items: [...items] };
      all.push(silent);
    }
  }
  return all;
}

function isCut(el: Element): boolean {
  // A pixel is lost to rounding, and the underline of a link hangs below its box.
  if (el.scrollWidth > el.clientWidth + 1) return true;
  return !el.classList.contains("bw-link") && el.scrollHeight > el.clientHeight + 2;
}
