// What the kernel said besides the build, above everything else until it is dismissed.

import { html, nothing, render, type TemplateResult } from "lit-html";
import type { Changes } from "../changes";
import type { Notice } from "../notices";
import { icon, warningIcon } from "./icons";
import type { Face, View } from "./view";

export class NoticeBar implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;
  /** One element per notice: a reader's alert must be new when the notice is, and only then. */
  readonly #shown = new Map<number, HTMLElement>();

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-notices";
    this.el.setAttribute("role", "group");
    this.el.setAttribute("aria-label", "Notices");
    this.#render();
  }

  update(changes: Changes): void {
    if (changes.notices) this.#render();
  }

  #render(): void {
    const notices = this.#face.live.notices.list();
    const gone = new Map(this.#shown);
    for (const notice of notices) {
      gone.delete(notice.id);
      let el = this.#shown.get(notice.id);
      if (el === undefined) {
        el = document.createElement("div");
        el.className = `bw-notice bw-is-${notice.level === "error" ? "fail" : "pause"}`;
        this.el.append(el);
        this.#shown.set(notice.id, el);
      }
      render(this.#notice(notice), el);
    }
    const left = [...gone.values()].some((el) => el.matches(":focus-within"));
    for (const [id, el] of gone) {
      el.remove();
      this.#shown.delete(id);
    }
    this.el.hidden = notices.length === 0;
    // Whoever dismissed by key stays in the cell.
    if (left) {
      const near =
        this.el.querySelector("button") ?? this.el.parentElement?.querySelector('[role="tab"][tabindex="0"]');
      (near as HTMLElement | null | undefined)?.focus({ preventScroll: true });
    }
  }

  #notice({ id, level, text, times }: Notice): TemplateResult {
    const label = `${this.#face.uid}-notice-${id}`;
    return html`${level === "error" ? icon("fail") : warningIcon()}
      <span class="bw-notice-text" id=${label} role="alert" title=${text}>${text}</span>
      ${
        times > 1
          ? html`<span class="bw-notice-times" title="Said ${times.toLocaleString("en")} times">×${times.toLocaleString("en")}</span>`
          : nothing
      }
      <button type="button" class="bw-button" aria-describedby=${label} @click=${() => this.#face.live.dismiss(id)}>
        Dismiss
      </button>`;
  }
}
