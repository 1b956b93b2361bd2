// A tab that is a tree: the toolbar above it, and when to make its rows anew.

import { html, nothing, render } from "lit-html";
import { isSteered } from "../builds";
import type { Changes } from "../changes";
import type { Live } from "../live";
import { naturalCompare } from "../order";
import { parseQuery } from "../query";
import { comparison, type Entry, flatten, SORTS, type SortId } from "./entries";
import type { Column } from "./row-slot";
import { BLANK, type Cells } from "./rows";
import type { Face, TabView } from "./view";
import { type Row, VirtualTree } from "./virtual-tree";

/** Where the items of a tree come from. */
export interface TreeSource {
  label: string;
  /** May be others for another system: the same list as long as they are the same. */
  columns(live: Live): readonly Column[];
  /** What to say when there is nothing at all. */
  empty: string;
  roots(live: Live): Entry[];
  cells(live: Live, key: string, entry: Entry | undefined): Cells;
  /** The keys of the rows that these changes touch. */
  touched(changes: Changes): Iterable<string>;
  /** Whether these changes alter which rows there are (beyond `structure`). */
  reshaped?(changes: Changes, known: ReadonlyMap<string, Entry>, live: Live): boolean;
  /** Whether the entry is open until somebody folds it. */
  openAtFirst(entry: Entry, total: number): boolean;
}

/** Rows are put in a new order at most this often (ms), so that nothing jumps under the eye. */
const REORDER = 2000;
/** A filter is applied to changed items at most this often (ms). */
const REFILTER = 250;
/** Below this width (px) a row has two lines. */
const NARROW = 440;
const ROW = 28;
const TALL_ROW = 46;

export class TreeTab implements TabView {
  readonly el: HTMLElement;
  readonly #face: Face;
  readonly #source: TreeSource;
  readonly #tree: VirtualTree;
  readonly #tools: HTMLElement;
  readonly #empty: HTMLElement;
  readonly #natural = naturalCompare();
  readonly #folds = new Map<string, boolean>();
  #entries = new Map<string, Entry>();
  #openDefault: ((entry: Entry) => boolean) | null = null;
  #columns: readonly Column[];
  /** The entries that were opened because they were pinned: once, not against who folds them. */
  readonly #pinned = new Set<string>();
  #sort: SortId = "order";
  #shown = 0;
  #total = 0;
  #builtAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(face: Face, source: TreeSource) {
    this.#face = face;
    this.#source = source;
    this.el = document.createElement("div");
    this.el.className = "bw-tab-body";
    this.#tools = document.createElement("div");
    this.#tools.className = "bw-tools";
    this.#empty = document.createElement("p");
    this.#empty.className = "bw-empty-line";
    this.#columns = source.columns(face.live);
    this.#tree = new VirtualTree(
      source.label,
      this.#columns,
      {
        cells: (row) => this.#cells(row.key),
        toggle: (row, expanded) => this.#fold(row.key, expanded),
        expandSiblings: (row) => this.#expandSiblings(row),
        select: (keys) => face.live.select(keys),
        selected: () => face.live.selected,
      },
      face.signal,
    );
    // As wide as the tab and never higher: what is done when it changes cannot change it again.
    const ruler = document.createElement("div");
    this.el.append(ruler, this.#tools, this.#tree.el, this.#empty);
    const observer = new ResizeObserver(() => this.#fit());
    observer.observe(ruler);
    face.signal.addEventListener(
      "abort",
      () => {
        observer.disconnect();
        clearTimeout(this.#timer);
      },
      { once: true },
    );
    this.#layout();
    this.#rebuild();
  }

  update(changes: Changes): void {
    if (changes.layout) this.#layout();
    // Shown again: it may be narrower than it was.
    if (changes.all) this.#fit();
    const { live } = this.#face;
    if (changes.all || changes.structure || changes.filter || this.#source.reshaped?.(changes, this.#entries, live)) {
      this.#rebuild();
      return;
    }
    const keys = new Set(this.#source.touched(changes));
    if (keys.size > 0) {
      this.#tree.refresh(keys);
      // What is filtered or sorted by state must follow the state, but not at every message.
      if (live.filter.trim() !== "") this.#rebuildSoon(REFILTER);
      else if (this.#sort === "attention" || this.#sort === "progress") this.#rebuildSoon(REORDER);
    }
    if (changes.selection) {
      this.#tree.refreshSelection();
      this.#toolbar();
    }
  }

  tick(): void {
    this.#tree.refresh(null);
  }

  reveal(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    let rebuild = false;
    for (const [parentKey, parent] of this.#entries) {
      if (contains(parent, entry) && !this.#isOpen(parent)) {
        this.#folds.set(parentKey, true);
        rebuild = true;
      }
    }
    if (rebuild) this.#rebuild();
    if (!this.#tree.has(key)) {
      this.#face.live.setFilter("");
      this.#rebuild();
    }
    return this.#tree.reveal(key);
  }

  /** Two lines for each row where there is no room for one. */
  #fit(): void {
    const width = this.el.clientWidth;
    if (width > 0) this.#tree.setRowHeight(width < NARROW ? TALL_ROW : ROW);
  }

  #layout(): void {
    const { height } = this.#face.live;
    this.#tree.setMaxHeight(height > 0 ? `${height}px` : "clamp(240px, 60vh, 720px)");
  }

  #rebuildSoon(wait: number): void {
    if (this.#timer !== undefined) return;
    const since = performance.now() - this.#builtAt;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        // Under the pointer nothing moves to another place: it might be clicked right now.
        if (this.#sort !== "order" && this.el.querySelector(".bw-tree-body:hover")) this.#rebuildSoon(REORDER);
        else this.#rebuild();
      },
      Math.max(0, wait - since),
    );
  }

  #rebuild(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#builtAt = performance.now();
    const { live } = this.#face;
    const columns = this.#source.columns(live);
    if (columns !== this.#columns) this.#tree.setColumns(columns);
    this.#columns = columns;
    const roots = this.#source.roots(live);
    const entries = new Map<string, Entry>();
    let total = 0;
    const collect = (list: readonly Entry[]): void => {
      for (const entry of list) {
        entries.set(entry.key, entry);
        if (!entry.detail && entry.selectable) total += 1;
        collect(entry.children);
      }
    };
    collect(roots);
    this.#entries = entries;
    this.#total = total;
    if (this.#openDefault === null && total > 0) {
      this.#openDefault = (entry) => this.#source.openAtFirst(entry, total);
    }
    const query = parseQuery(live.filter);
    const rows = flatten(roots, (e) => this.#isOpen(e), query, comparison(this.#sort, this.#natural));
    this.#shown = rows.reduce((n, row) => n + (row.selectable ? 1 : 0), 0);
    this.#tree.el.hidden = rows.length === 0;
    this.#tree.setRows(rows);
    this.#empty.hidden = rows.length > 0;
    this.#empty.textContent = total > 0 ? "Nothing matches the filter." : this.#source.empty;
    this.#toolbar();
  }

  #cells(key: string): Cells {
    const entry = this.#entries.get(key);
    return entry === undefined ? BLANK : this.#source.cells(this.#face.live, key, entry);
  }

  #isOpen(entry: Entry): boolean {
    if (entry.pinned === true && !this.#pinned.has(entry.key)) {
      this.#pinned.add(entry.key);
      this.#folds.set(entry.key, true);
    }
    const known = this.#folds.get(entry.key);
    if (known !== undefined) return known;
    const open = this.#openDefault?.(entry) ?? false;
    // Decided once: a row must not fold under the eye because its status changed.
    if (entry.children.length > 0) this.#folds.set(entry.key, open);
    return open;
  }

  #fold(key: string, expanded: boolean): void {
    this.#folds.set(key, expanded);
    this.#rebuild();
  }

  #foldAll(expanded: boolean): void {
    for (const entry of this.#entries.values()) {
      if (entry.children.some((c) => !c.detail)) this.#folds.set(entry.key, expanded);
    }
    this.#rebuild();
  }

  #expandSiblings(row: Row): void {
    const kind = this.#entries.get(row.key)?.kind;
    for (const entry of this.#entries.values()) {
      if (entry.kind === kind && entry.children.length > 0) this.#folds.set(entry.key, true);
    }
    this.#rebuild();
  }

  #toolbar(): void {
    const { live, uid } = this.#face;
    const filtered = parseQuery(live.filter) !== null;
    const chosen = live.selected.size;
    const groups = [...this.#entries.values()].filter((e) => e.children.some((c) => !c.detail));
    const allOpen = groups.length > 0 && groups.every((e) => this.#isOpen(e));
    render(
      html`<div class="bw-search">
          <svg viewBox="0 0 16 16" aria-hidden="true" class="bw-icon">
            <path class="bw-stroke" d="M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.3 3.3"></path>
          </svg>
          <input
            type="text"
            class="bw-input"
            aria-label="Filter"
            aria-describedby="${uid}-filter-help"
            placeholder=${`Filter: words, status:error, kind:${isSteered(live.store) ? "phase" : "feature"}`}
            spellcheck="false"
            autocomplete="off"
            data-lm-suppress-shortcuts="true"
            .value=${live.filter}
            @input=${(e: Event) => live.setFilter((e.target as HTMLInputElement).value)}
            @keydown=${(e: KeyboardEvent) => this.#filterKey(e)}
          />
          ${
            live.filter === ""
              ? nothing
              : html`<button type="button" class="bw-clear" aria-label="Clear the filter" @click=${() => live.setFilter("")}>
                  ×
                </button>`
          }
        </div>
        <span id="${uid}-filter-help" class="bw-hidden">
          Words match names, types and errors. status: and kind: narrow the list, as in status:error kind:feature.
        </span>
        ${
          filtered
            ? html`<span class="bw-quiet" role="status">${this.#shown.toLocaleString("en")} of ${this.#total.toLocaleString("en")}</span>`
            : nothing
        }
        ${
          chosen > 0
            ? html`<button type="button" class="bw-button" @click=${() => live.select([])}>
                ${chosen} selected <span aria-hidden="true">×</span><span class="bw-hidden">, clear the selection</span>
              </button>`
            : nothing
        }
        <span class="bw-grow"></span>
        ${
          groups.length > 0
            ? html`<button type="button" class="bw-button" @click=${() => this.#foldAll(!allOpen)}>
                ${allOpen ? "Fold all" : "Unfold all"}
              </button>`
            : nothing
        }
        <label class="bw-sort"
          ><span class="bw-sort-label">Sort</span>
          <select
            class="bw-select"
            aria-label="Sort by"
            data-lm-suppress-shortcuts="true"
            @change=${(e: Event) => this.#setSort((e.target as HTMLSelectElement).value)}
          >
            ${SORTS.map((s) => html`<option value=${s.id} ?selected=${s.id === this.#sort}>${s.title}</option>`)}
          </select></label
        >`,
      this.#tools,
    );
  }

  #filterKey(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.#face.live.filter !== "") {
      this.#face.live.setFilter("");
      event.preventDefault();
    }
    // What is typed into a field is for the field: the notebook has one-letter commands.
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  }

  #setSort(value: string): void {
    this.#sort = SORTS.find((s) => s.id === value)?.id ?? "order";
    this.#rebuild();
  }
}

function contains(parent: Entry, entry: Entry): boolean {
  return parent.children.some((c) => c === entry || contains(c, entry));
}
