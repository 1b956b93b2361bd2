// One row in the page. Its cells are patched in place: no element is made again because a number changed, and text of
// files enters the page here, as text and nothing else.

import { iconElement } from "./icons";
import type { Cells } from "./rows";

export interface Column {
  id: "name" | "status" | "chip" | "bar" | "tests" | "time";
  title: string;
}

export interface Slot {
  el: HTMLElement;
  key: string;
  index: number;
  cells: Cells | null;
  icon: SVGSVGElement;
  twisty: HTMLElement;
  name: HTMLElement;
  note: HTMLElement;
  status: HTMLElement;
  chip: HTMLElement;
  chipCell: HTMLElement;
  bar: HTMLElement;
  fill: HTMLElement;
  barText: HTMLElement;
  tests: HTMLElement;
  time: HTMLElement;
}

/** Writes what a row shows, where it differs from what is there. */
export function fillSlot(slot: Slot, cells: Cells): void {
  const { el } = slot;
  const old = slot.cells;
  slot.cells = cells;
  if (old?.tone !== cells.tone) {
    const icon = iconElement(cells.tone);
    slot.icon.replaceWith(icon);
    slot.icon = icon;
    slot.status.className = `bw-c bw-c-status bw-is-${cells.tone}`;
    slot.bar.className = `bw-bar bw-is-${cells.tone}`;
  }
  text(slot.name, cells.name);
  text(slot.note, cells.note);
  if (old?.noteIsError !== cells.noteIsError) slot.note.classList.toggle("bw-note-error", cells.noteIsError);
  text(slot.status, cells.status);
  text(slot.chip, cells.chip);
  if (old?.chipTone !== cells.chipTone)
    slot.chip.className = `bw-chip${cells.chipTone ? ` bw-chip-${cells.chipTone}` : ""}`;
  slot.chip.hidden = cells.chip === "";
  slot.bar.hidden = cells.bar === null;
  slot.barText.classList.toggle("bw-bar-alone", cells.bar === null);
  if (cells.bar !== null && old?.bar !== cells.bar) slot.fill.style.transform = `scaleX(${cells.bar / 100})`;
  text(slot.barText, cells.barText);
  text(slot.tests, cells.tests);
  if (old?.testsTone !== cells.testsTone) slot.tests.className = cells.testsTone ? `bw-is-${cells.testsTone}` : "";
  text(slot.time, cells.time);
  attr(slot.time, "title", cells.timeTitle || null);
  attr(el, "title", cells.title || null);
}

export function div(className: string): HTMLElement {
  const el = document.createElement("div");
  el.className = className;
  return el;
}

function span(className: string): HTMLElement {
  const el = document.createElement("span");
  if (className) el.className = className;
  return el;
}

function cell(id: Column["id"]): HTMLElement {
  const el = div(`bw-c bw-c-${id}`);
  el.setAttribute("role", "gridcell");
  return el;
}

export function makeSlot(): Slot {
  const el = div("bw-row");
  el.setAttribute("role", "row");
  const nameCell = cell("name");
  const twisty = span("bw-twisty");
  twisty.setAttribute("aria-hidden", "true");
  const icon = iconElement("unknown");
  const name = span("bw-name");
  const note = span("bw-note");
  nameCell.append(twisty, icon, name, note);
  const status = cell("status");
  const chipCell = cell("chip");
  const chip = span("bw-chip");
  chipCell.append(chip);
  const barCell = cell("bar");
  const bar = span("bw-bar");
  bar.setAttribute("aria-hidden", "true");
  const fill = span("bw-fill");
  bar.append(fill);
  const barText = span("bw-bar-text");
  barCell.append(bar, barText);
  const testsCell = cell("tests");
  const tests = span("");
  testsCell.append(tests);
  const time = cell("time");
  el.append(nameCell, status, chipCell, barCell, testsCell, time);
  return {
    el,
    key: "",
    index: -1,
    cells: null,
    icon,
    twisty,
    name,
    note,
    status,
    chip,
    chipCell,
    bar,
    fill,
    barText,
    tests,
    time,
  };
}

/** Writes a text only where it differs. */
function text(el: HTMLElement, value: string): void {
  const node = el.firstChild;
  if (node === null) {
    if (value !== "") el.append(value);
  } else if (node.nodeValue !== value) {
    node.nodeValue = value;
  }
}

/** Sets an attribute only where it differs; null: takes it away. */
export function attr(el: Element, name: string, value: string | null): void {
  if (value === null) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== value) {
    el.setAttribute(name, value);
  }
}
