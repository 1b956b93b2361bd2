// What stands above the page while it is not kept up to date: why, how old the picture is, and when it is tried again.

import { html, nothing, render } from "lit-html";
import { ago } from "../format";
import { warningIcon } from "../views/icons";

/** What is wrong with the connection. */
export interface Trouble {
  /** In a word or two. */
  word: string;
  /** In a sentence, with what to do. */
  why: string;
  /** When it is tried again, ms since 1970; null: it is being tried. */
  retryAt: number | null;
  /** When what is shown was last true, ms since 1970; null: nothing is shown. */
  trueAt: number | null;
}

/** A loss that is over sooner (ms) is told by the pill alone: nothing jumps for it. */
const BRIEF = 700;
const NB = "\u00a0";

export class Strip {
  readonly el = document.createElement("div");
  readonly #retry: () => void;
  #trouble: Trouble | null = null;
  /** When it began, ms since 1970. */
  #since = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(retry: () => void) {
    this.#retry = retry;
    this.el.className = "bw-strip";
    this.el.setAttribute("role", "region");
    this.el.setAttribute("aria-label", "Connection");
    this.el.hidden = true;
  }

  /** Another picture, of which nothing is known yet. */
  reset(): void {
    this.#trouble = null;
    clearTimeout(this.#timer);
    this.el.hidden = true;
  }

  set(trouble: Trouble | null): void {
    const now = Date.now();
    if (this.#trouble === null) this.#since = now;
    this.#trouble = trouble;
    clearTimeout(this.#timer);
    const rest = this.#since + BRIEF - now;
    if (trouble !== null && rest > 0) {
      this.#timer = setTimeout(() => this.tick(), rest);
      return;
    }
    this.tick();
  }

  tick(): void {
    const trouble = this.#trouble;
    const now = Date.now();
    this.el.hidden = trouble === null || now - this.#since < BRIEF;
    if (trouble === null || this.el.hidden) return;
    const age = trouble.trueAt === null ? null : now - trouble.trueAt;
    render(
      html`${warningIcon()}
        <span class="bw-strip-text"
          ><b>${trouble.word}.</b> ${trouble.why}
          ${age === null ? nothing : html`What you see was true ${ago(age)}.`}</span
        >
        <span class="bw-strip-next">${nextTry(trouble.retryAt, now)}</span>
        <button type="button" class="bw-button" @click=${this.#retry}>Try now</button>`,
      this.el,
    );
  }
}

function nextTry(at: number | null, now: number): string {
  if (at === null) return "Trying…";
  const seconds = Math.max(0, Math.ceil((at - now) / 1000));
  return `Next try in ${seconds}${NB}s`;
}
