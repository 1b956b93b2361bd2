// What the build printed: the newest lines, with their numbers and colours. It stays at the end until somebody scrolls.

import { html, nothing, render } from "lit-html";
import { parseAnsi } from "../ansi";
import type { Changes } from "../changes";
import { plural } from "../format";
import type { TerminalLine } from "../protocol";
import type { Face, TabSpec, TabView } from "./view";

/** Lines are put into the page at most this often (ms): a flood need not be shown line by line. */
const EVERY = 80;
/** Who comes this near (px) to the end wants to be at the end; who leaves it is away after a step of the browser's rounding. */
const NEAR = 24;
const ROUNDING = 2;
/** What stands before a line that is no ordinary output. */
const MARKS: Record<string, { word: string; tone: string }> = {
  stderr: { word: "err", tone: "warn" },
  error: { word: "error", tone: "fail" },
  success: { word: "ok", tone: "done" },
  info: { word: "info", tone: "run" },
};
const EARLIER = /^[\d,]+ earlier (line|byte)s? not shown$/;
const SCROLLS = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End", " "]);

export const outputTab: TabSpec = {
  id: "output",
  title: "Output",
  count: (live) => live.store.outputCount,
  shown: (live) => live.store.output.length > 0,
  create: (face) => new OutputTab(face),
};

interface Shown {
  el: HTMLElement;
  of: TerminalLine;
  /** Whether the name of the source stands above. */
  headed: boolean;
}

class OutputTab implements TabView {
  readonly el = document.createElement("div");
  readonly #face: Face;
  readonly #tools = document.createElement("div");
  readonly #scroller = document.createElement("div");
  readonly #list = document.createElement("div");
  readonly #rows = new Map<number, Shown>();
  #following = true;
  #wrapped = true;
  /** The newest line when the reader left the end. */
  #leftAt = 0;
  /** Where the reader is, as far as we know: kept for when the tab is shown again. */
  #top = 0;
  /** How far could be scrolled when we last looked. */
  #end = 0;
  #inPage = false;
  #madeAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-tab-body";
    this.#tools.className = "bw-tools";
    this.#scroller.className = "bw-output";
    this.#scroller.tabIndex = 0;
    // Not a live region: a log that talks without end helps nobody.
    this.#scroller.setAttribute("role", "region");
    this.#scroller.setAttribute("aria-label", "Output of the build, newest lines last");
    this.#list.className = "bw-output-list";
    this.#scroller.append(this.#list);
    this.el.append(this.#tools, this.#scroller);
    const { signal } = face;
    this.#scroller.addEventListener("scroll", () => this.#look(true), { passive: true, signal });
    this.#scroller.addEventListener(
      "keydown",
      (event) => {
        // The notebook would move to another cell.
        if (SCROLLS.has(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
      },
      { signal },
    );
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(this.#scroller);
    observer.observe(this.#list);
    signal.addEventListener(
      "abort",
      () => {
        observer.disconnect();
        clearTimeout(this.#timer);
      },
      { once: true },
    );
    this.#layout();
    this.#make();
  }

  update(changes: Changes): void {
    if (changes.all || changes.layout) this.#layout();
    if (changes.all) {
      this.#make();
      // Who was away from the page has lost the place.
      if (!this.#following && this.#scroller.scrollTop !== this.#top) this.#scrollTo(this.#top);
    } else if (changes.terminal) this.#makeSoon();
  }

  #layout(): void {
    const { height } = this.#face.live;
    this.#scroller.style.maxHeight = height > 0 ? `${height}px` : "clamp(240px, 60vh, 720px)";
    this.#list.classList.toggle("bw-unwrapped", !this.#wrapped);
  }

  #makeSoon(): void {
    if (this.#timer !== undefined) return;
    const wait = this.#madeAt + EVERY - performance.now();
    if (wait <= 0) this.#make();
    else this.#timer = setTimeout(() => this.#make(), wait);
  }

  /** Brings the page to what the store holds. Lines that are there already stay as they are. */
  #make(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#madeAt = performance.now();
    // The event that tells of the reader's scrolling may still be on its way.
    this.#look(false);
    const lines = this.#face.live.store.output;
    const anchor = this.#following ? null : this.#firstInSight();
    const wanted = new Set(lines.map((line) => line.line));
    for (const [number, row] of this.#rows) {
      if (wanted.has(number)) continue;
      row.el.remove();
      this.#rows.delete(number);
    }
    let source: string | null = null;
    let marked = false;
    let at = this.#list.firstChild;
    for (const line of lines) {
      const headed = line.source !== source && line.source !== null;
      source = line.source;
      marked ||= line.output_type in MARKS;
      const known = this.#rows.get(line.line);
      const row = this.#row(line, headed);
      if (known !== undefined && known !== row) {
        if (known.el === at) at = at.nextSibling;
        known.el.remove();
      }
      if (row.el === at) at = at.nextSibling;
      else this.#list.insertBefore(row.el, at);
    }
    this.#list.classList.toggle("bw-with-marks", marked);
    this.#list.style.setProperty("--bw-digits", `${Math.max(3, String(lines.at(-1)?.line ?? 0).length)}ch`);
    if (this.#following) this.#toEnd();
    else if (anchor !== null) {
      // What was taken away above must not move what is being read.
      const moved = anchor.el.isConnected ? anchor.el.offsetTop - anchor.top : 0;
      if (moved !== 0) this.#scrollTo(this.#top + moved);
      else this.#end = this.#furthest();
    }
    this.#toolbar();
  }

  #row(line: TerminalLine, headed: boolean): Shown {
    const known = this.#rows.get(line.line);
    if (known !== undefined && known.of === line && known.headed === headed) return known;
    const row = { el: makeRow(line, headed), of: line, headed };
    this.#rows.set(line.line, row);
    return row;
  }

  #toolbar(): void {
    const { store } = this.#face.live;
    const all = store.outputCount;
    const first = store.output[0];
    // A log that was entered in the middle says so itself, in the line before the first one that is shown.
    const earlier = first === undefined || EARLIER.test(first.text) ? 0 : first.line - 1;
    const fresh = all - this.#leftAt;
    render(
      html`<span class="bw-quiet"
          >${plural(all, "line")}${earlier > 0 ? `, ${plural(earlier, "earlier line")} not shown` : ""}</span
        >
        <span class="bw-grow"></span>
        ${
          this.#following
            ? nothing
            : html`<button type="button" class="bw-button bw-newest" @click=${() => this.#follow()}>
                ${fresh > 0 ? `${plural(fresh, "new line")} ` : "To the end "}<span aria-hidden="true">↓</span>
              </button>`
        }
        <button
          type="button"
          class="bw-button"
          aria-pressed=${String(this.#wrapped)}
          @click=${() => {
            this.#wrapped = !this.#wrapped;
            this.#layout();
            this.#toolbar();
          }}
        >
          Wrap lines
        </button>`,
      this.#tools,
    );
  }

  // -- where the reader is ---------------------------------------------------------------------------------------

  /**
   * Finds out whether the reader has scrolled. Only a place that is not where we left it tells that: lines that came, or
   * a box that grew or shrank, move the end, and nobody has scrolled.
   *
   * @param told whether the browser says that something has scrolled. Unless it does, the very top means nothing: an
   *   element that is put elsewhere in the page begins there.
   */
  #look(told: boolean): void {
    const el = this.#scroller;
    if (!this.#inPage || el.clientHeight === 0) return;
    const top = el.scrollTop;
    if (Math.abs(top - this.#top) < 1 || (top === 0 && !told)) return;
    const up = top < this.#top;
    const end = this.#furthest();
    // Who goes down to what was the end follows, though lines have come meanwhile.
    const following = top >= (up ? end - ROUNDING : Math.min(end, this.#end) - NEAR);
    this.#top = top;
    this.#end = end;
    if (following === this.#following) return;
    this.#following = following;
    this.#leftAt = this.#face.live.store.outputCount;
    this.#toolbar();
  }

  #resized(): void {
    const inPage = this.#scroller.clientHeight > 0;
    const back = inPage && !this.#inPage;
    if (!back) this.#look(false);
    this.#inPage = inPage;
    if (!inPage) return;
    if (this.#following) this.#toEnd();
    else if (back) this.#scrollTo(this.#top);
    else this.#end = this.#furthest();
  }

  #follow(): void {
    this.#following = true;
    this.#toEnd();
    this.#toolbar();
    // The button is gone; whoever pressed it by key stays here.
    this.#scroller.focus({ preventScroll: true });
  }

  #toEnd(): void {
    this.#scrollTo(this.#scroller.scrollHeight);
  }

  #scrollTo(top: number): void {
    const el = this.#scroller;
    el.scrollTop = top;
    // In a tab that is not shown nothing can be scrolled, and the place is still wanted.
    if (el.clientHeight > 0) this.#top = el.scrollTop;
    this.#end = this.#furthest();
  }

  #furthest(): number {
    return this.#scroller.scrollHeight - this.#scroller.clientHeight;
  }

  #firstInSight(): { el: HTMLElement; top: number } | null {
    for (const { el } of this.#ordered()) {
      const top = el.offsetTop;
      if (top + el.offsetHeight > this.#top) return { el, top };
    }
    return null;
  }

  #ordered(): Shown[] {
    return [...this.#rows.values()].sort((a, b) => a.of.line - b.of.line);
  }
}

function makeRow(line: TerminalLine, headed: boolean): HTMLElement {
  const el = document.createElement("div");
  el.className = "bw-line";
  el.dataset.line = String(line.line);
  if (headed) {
    const head = document.createElement("div");
    head.className = "bw-line-source";
    head.textContent = line.source;
    el.append(head);
  }
  const number = document.createElement("span");
  number.className = "bw-line-number";
  number.dataset.number = String(line.line);
  const mark = document.createElement("span");
  mark.className = "bw-line-mark";
  const known = MARKS[line.output_type];
  if (known !== undefined) {
    mark.textContent = known.word;
    el.classList.add(`bw-line-${known.tone}`);
  }
  const text = document.createElement("span");
  text.className = "bw-line-text";
  // Text of programs enters the page here, as text and nothing else.
  for (const run of parseAnsi(line.text)) {
    if (run.classes === "") {
      text.append(run.text);
      continue;
    }
    const span = document.createElement("span");
    span.className = run.classes;
    span.textContent = run.text;
    text.append(span);
  }
  el.append(number, mark, text);
  return el;
}
