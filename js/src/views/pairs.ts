// What is known of an item, as pairs of a label and a text.

import { html, type TemplateResult } from "lit-html";
import { ago, clockTime, fullTime } from "../format";
import type { Live } from "../live";
import { parseMs } from "../order";

export type Pair = [label: string, value: string | TemplateResult];
const LONG_LIST = 12;

export function list(label: string, items: readonly string[]): Pair[] {
  if (items.length === 0) return [];
  const more = items.length > LONG_LIST ? ` and ${items.length - LONG_LIST} more` : "";
  return [[label, items.slice(0, LONG_LIST).join(", ") + more]];
}

export function time(label: string, text: string | null, live: Live): Pair[] {
  return text === null ? [] : [[label, html`<span title=${fullTime(text)}>${clockTime(text, live.now())}</span>`]];
}

/** A time with its age: `14:05:11 (12 s ago)`. */
export function aged(label: string, text: string | null | undefined, live: Live): Pair[] {
  const at = parseMs(text);
  if (at === null) return [];
  const now = live.now();
  return [[label, html`<span title=${fullTime(text)}>${clockTime(text, now)} (${ago(now - at)})</span>`]];
}
