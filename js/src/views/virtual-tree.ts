// A tree of rows of one height, of which only those in sight are in the page. Rows are patched in place: no view is
// made again because a number changed. An ARIA treegrid with a roving tabindex.

import { attr, type Column, div, fillSlot, makeSlot, type Slot } from "./row-slot";
import { RowWindow } from "./row-window";
import type { Cells } from "./rows";

export interface Row {
  /** `kind:id`, unique in the tree. */
  key: string;
  level: number;
  /** null: nothing to expand. */
  expanded: boolean | null;
  posInSet: number;
  setSize: number;
  selectable: boolean;
}

export interface TreeModel {
  cells(row: Row): Cells;
  toggle(row: Row, expanded: boolean): void;
  /** Siblings of this row are to be expanded as well (the `*` key). */
  expandSiblings(row: Row): void;
  select(keys: readonly string[], row: Row): void;
  selected(): ReadonlySet<string>;
}

/** Every row has these cells; those that a tree has no column for are not displayed. */
const COLUMNS: readonly Column["id"][] = ["name", "status", "chip", "bar", "tests", "time"];
const ROW_HEIGHT = 28;
const PAGE_LEAST = 5;

export class VirtualTree {
  readonly el: HTMLElement;
  readonly #headRow = div("bw-row bw-row-head");
  readonly #scroller: HTMLElement;
  readonly #body: HTMLElement;
  readonly #window: RowWindow;
  readonly #model: TreeModel;
  #rows: readonly Row[] = [];
  #index = new Map<string, number>();
  #slots = new Map<string, Slot>();
  #free: Slot[] = [];
  #active: string | null = null;
  #anchor: string | null = null;
  #typed = "";
  #typedAt = 0;

  constructor(label: string, columns: readonly Column[], model: TreeModel, signal: AbortSignal) {
    this.#model = model;
    this.el = document.createElement("div");
    this.el.className = "bw-tree";
    this.el.setAttribute("role", "treegrid");
    this.el.setAttribute("aria-label", label);
    this.el.setAttribute("aria-multiselectable", "true");
    const headGroup = div("bw-tree-head");
    headGroup.setAttribute("role", "rowgroup");
    this.#headRow.setAttribute("role", "row");
    this.#headRow.setAttribute("aria-rowindex", "1");
    headGroup.append(this.#headRow);
    this.setColumns(columns);
    this.#scroller = div("bw-tree-scroll");
    this.#scroller.setAttribute("role", "presentation");
    this.#body = div("bw-tree-body");
    this.#body.setAttribute("role", "rowgroup");
    this.#scroller.append(this.#body);
    this.el.append(headGroup, this.#scroller);

    this.#window = new RowWindow(this.#scroller, this.#body, ROW_HEIGHT, () => this.#place(), signal);
    this.#body.addEventListener("click", (e) => this.#onClick(e), { signal });
    this.#body.addEventListener("keydown", (e) => this.#onKey(e), { signal });
    this.#body.addEventListener("focusin", (e) => this.#onFocus(e), { signal });
  }

  /** The columns and their titles. */
  setColumns(columns: readonly Column[]): void {
    this.el.setAttribute("aria-colcount", String(columns.length));
    const shown = columns.map((c) => c.id);
    this.el.dataset.without = COLUMNS.filter((id) => !shown.includes(id)).join(" ");
    this.el.dataset.titles = columns.map((c) => c.title).join(" ");
    this.#headRow.replaceChildren(
      ...columns.map((column) => {
        const cell = div(`bw-c bw-c-${column.id}`);
        cell.setAttribute("role", "columnheader");
        cell.textContent = column.title;
        return cell;
      }),
    );
  }

  /** The rows in order. Call when rows came, went or moved. */
  setRows(rows: readonly Row[]): void {
    this.#rows = rows;
    this.#index = new Map(rows.map((row, i) => [row.key, i]));
    if (this.#active === null || !this.#index.has(this.#active)) this.#active = rows[0]?.key ?? null;
    this.el.setAttribute("aria-rowcount", String(rows.length + 1));
    this.#window.setCount(rows.length);
    this.#place();
    this.refresh(null);
  }

  /** Writes what changed into the rows in sight; null: into all of them. */
  refresh(keys: ReadonlySet<string> | null): void {
    for (const slot of this.#slots.values()) {
      if (keys === null || keys.has(slot.key)) this.#fill(slot);
    }
  }

  refreshSelection(): void {
    const selected = this.#model.selected();
    for (const slot of this.#slots.values()) this.#mark(slot, selected);
  }

  /** Two-line rows are taller. */
  setRowHeight(height: number): void {
    if (height === this.#window.rowHeight) return;
    this.el.style.setProperty("--bw-row", `${height}px`);
    this.#window.setRowHeight(height);
    for (const slot of this.#slots.values()) this.#position(slot, slot.index);
    this.#place();
  }

  setMaxHeight(css: string): void {
    this.#scroller.style.maxHeight = css;
  }

  has(key: string): boolean {
    return this.#index.has(key);
  }

  /** Brings a row into sight and gives it the focus. */
  reveal(key: string): boolean {
    const index = this.#index.get(key);
    if (index === undefined) return false;
    this.#focus(index, true);
    return true;
  }

  // -- placing ---------------------------------------------------------------------------------------------------

  #place(): void {
    this.#window.hold((this.#active === null ? undefined : this.#index.get(this.#active)) ?? -1);
    const { first, end } = this.#window.range();
    this.#alignHead();
    const wanted = new Map<string, number>();
    for (let i = first; i < end; i++) wanted.set((this.#rows[i] as Row).key, i);
    // The row with the focus stays in the page, or the focus would be lost.
    if (this.#active !== null) {
      const index = this.#index.get(this.#active);
      if (index !== undefined) wanted.set(this.#active, index);
    }
    for (const [key, slot] of this.#slots) {
      if (!wanted.has(key)) {
        this.#slots.delete(key);
        slot.el.remove();
        this.#free.push(slot);
      }
    }
    const fragment = document.createDocumentFragment();
    for (const [key, index] of wanted) {
      const known = this.#slots.get(key);
      if (known) {
        if (known.index !== index) this.#position(known, index);
        continue;
      }
      const slot = this.#free.pop() ?? makeSlot();
      slot.key = key;
      slot.el.dataset.key = key;
      this.#slots.set(key, slot);
      this.#position(slot, index);
      this.#fill(slot);
      fragment.append(slot.el);
    }
    if (fragment.childNodes.length > 0) this.#body.append(fragment);
    if (this.#free.length > 64) this.#free.length = 64;
  }

  #alignHead(): void {
    const width = `${this.#window.barWidth}px`;
    if (this.el.style.getPropertyValue("--bw-bar-width") !== width) {
      this.el.style.setProperty("--bw-bar-width", width);
    }
  }

  #position(slot: Slot, index: number): void {
    slot.index = index;
    slot.el.style.transform = `translateY(${index * this.#window.rowHeight}px)`;
    slot.el.setAttribute("aria-rowindex", String(index + 2));
    slot.el.classList.toggle("bw-odd", index % 2 === 1);
  }

  #fill(slot: Slot): void {
    const row = this.#rows[slot.index];
    if (row === undefined || row.key !== slot.key) return;
    const { el } = slot;
    attr(el, "aria-level", String(row.level));
    attr(el, "aria-posinset", String(row.posInSet));
    attr(el, "aria-setsize", String(row.setSize));
    attr(el, "aria-expanded", row.expanded === null ? null : String(row.expanded));
    el.classList.toggle("bw-leaf", row.expanded === null);
    fillSlot(slot, this.#model.cells(row));
    this.#mark(slot, this.#model.selected());
  }

  #mark(slot: Slot, selected: ReadonlySet<string>): void {
    const row = this.#rows[slot.index];
    attr(slot.el, "aria-selected", row?.selectable === true ? String(selected.has(slot.key)) : null);
    attr(slot.el, "tabindex", slot.key === this.#active ? "0" : "-1");
  }

  // -- pointer and keys ------------------------------------------------------------------------------------------

  #rowAt(target: EventTarget | null): number | undefined {
    const el = target instanceof Element ? target.closest<HTMLElement>("[data-key]") : null;
    return el ? this.#index.get(el.dataset.key ?? "") : undefined;
  }

  #onFocus(event: FocusEvent): void {
    const index = this.#rowAt(event.target);
    if (index === undefined) return;
    const key = (this.#rows[index] as Row).key;
    if (key === this.#active) return;
    this.#active = key;
    this.#window.hold(index);
    this.refreshSelection();
  }

  #onClick(event: MouseEvent): void {
    const index = this.#rowAt(event.target);
    if (index === undefined) return;
    const row = this.#rows[index] as Row;
    if (row.expanded !== null && event.target instanceof Element && event.target.closest(".bw-twisty")) {
      this.#model.toggle(row, !row.expanded);
      this.#focus(this.#index.get(row.key) ?? index, false);
      return;
    }
    this.#choose(index, event.ctrlKey || event.metaKey, event.shiftKey);
    this.#focus(index, false);
  }

  #choose(index: number, add: boolean, range: boolean): void {
    const row = this.#rows[index] as Row;
    if (!row.selectable) return;
    const selected = this.#model.selected();
    let keys: string[];
    if (range) {
      const from = this.#index.get(this.#anchor ?? row.key) ?? index;
      const [a, b] = from < index ? [from, index] : [index, from];
      keys = this.#rows
        .slice(a, b + 1)
        .filter((r) => r.selectable)
        .map((r) => r.key);
      if (add) keys = [...new Set([...selected, ...keys])];
    } else if (add) {
      keys = selected.has(row.key) ? [...selected].filter((k) => k !== row.key) : [...selected, row.key];
      this.#anchor = row.key;
    } else {
      keys = selected.size === 1 && selected.has(row.key) ? [] : [row.key];
      this.#anchor = row.key;
    }
    this.#model.select(keys, row);
    this.refreshSelection();
  }

  #onKey(event: KeyboardEvent): void {
    const index = this.#rowAt(event.target);
    if (index === undefined || event.altKey) return;
    const row = this.#rows[index] as Row;
    const last = this.#rows.length - 1;
    const page = Math.max(PAGE_LEAST, this.#window.page - 1);
    const ctrl = event.ctrlKey || event.metaKey;
    let to: number | null = null;
    switch (event.key) {
      case "ArrowDown":
        to = Math.min(last, index + 1);
        break;
      case "ArrowUp":
        to = Math.max(0, index - 1);
        break;
      case "PageDown":
        to = Math.min(last, index + page);
        break;
      case "PageUp":
        to = Math.max(0, index - page);
        break;
      case "Home":
        to = 0;
        break;
      case "End":
        to = last;
        break;
      case "ArrowRight":
        if (row.expanded === false) this.#model.toggle(row, true);
        else if (row.expanded) to = Math.min(last, index + 1);
        break;
      case "ArrowLeft":
        if (row.expanded) this.#model.toggle(row, false);
        else to = this.#parent(index);
        break;
      case "Enter":
        if (row.expanded !== null) this.#model.toggle(row, !row.expanded);
        else this.#choose(index, ctrl, event.shiftKey);
        break;
      case " ":
        if (row.selectable) this.#choose(index, true, event.shiftKey);
        else if (row.expanded !== null) this.#model.toggle(row, !row.expanded);
        break;
      case "Escape":
        if (this.#model.selected().size === 0) return;
        this.#model.select([], row);
        this.refreshSelection();
        break;
      case "*":
        this.#model.expandSiblings(row);
        break;
      default:
        if (event.key === "a" && ctrl) {
          this.#model.select(
            this.#rows.filter((r) => r.selectable).map((r) => r.key),
            row,
          );
          this.refreshSelection();
          break;
        }
        if (ctrl || event.key.length !== 1) return;
        to = this.#find(event.key, index);
        if (to === null) break;
    }
    event.preventDefault();
    event.stopPropagation();
    if (to === null) return;
    if (event.shiftKey && event.key !== "*" && /^(Arrow|Page|Home|End)/.test(event.key)) {
      this.#anchor ??= row.key;
      this.#choose(to, false, true);
    }
    this.#focus(to, true);
  }

  #parent(index: number): number {
    const { level } = this.#rows[index] as Row;
    for (let i = index - 1; i >= 0; i--) if ((this.#rows[i] as Row).level < level) return i;
    return index;
  }

  /** The next row whose name begins with what is being typed. */
  #find(character: string, from: number): number | null {
    const now = performance.now();
    this.#typed = now - this.#typedAt > 700 ? character : this.#typed + character;
    this.#typedAt = now;
    const wanted = this.#typed.toLowerCase();
    const start = wanted.length === 1 ? from + 1 : from;
    for (let i = 0; i < this.#rows.length; i++) {
      const at = (start + i) % this.#rows.length;
      if (
        this.#model
          .cells(this.#rows[at] as Row)
          .name.toLowerCase()
          .startsWith(wanted)
      )
        return at;
    }
    return null;
  }

  #focus(index: number, scroll: boolean): void {
    const row = this.#rows[index];
    if (row === undefined) return;
    this.#active = row.key;
    if (scroll) this.#window.reveal(index);
    this.#place();
    this.refreshSelection();
    this.#slots.get(row.key)?.el.focus({ preventScroll: true });
  }
}
