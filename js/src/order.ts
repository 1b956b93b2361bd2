// The orders that Python and TypeScript must agree on.

/** Compares as Python does: by Unicode code point, not by UTF-16 unit. */
export function compareCodePoints(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return weight(x) - weight(y);
  }
  return a.length - b.length;
}

/** A surrogate stands for a code point beyond every other unit, so it must weigh more than U+E000…U+FFFF. */
function weight(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

const ISO = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?$/i;
const YEAR_1 = -62135596800;

/** A time as whole seconds since 1970 and microseconds: a double cannot hold both for every year. */
export type Instant = readonly [seconds: number, micros: number];

/** The time a timestamp tells, or null for null and for what is no time. */
export function parseInstant(text: string | null | undefined): Instant | null {
  if (!text) return null;
  const m = ISO.exec(text);
  if (!m) return null;
  const zone = m[3] ?? "Z";
  const ms = Date.parse(`${m[1]?.replace(" ", "T")}${zone.toUpperCase()}`);
  if (Number.isNaN(ms)) return null;
  return [Math.floor(ms / 1000), Number(`${m[2] ?? ""}000000`.slice(0, 6))];
}

/** Milliseconds since 1970, or null. */
export function parseMs(text: string | null | undefined): number | null {
  const t = parseInstant(text);
  return t === null ? null : t[0] * 1000 + t[1] / 1000;
}

/** Compares two timestamps by microsecond; null counts as the beginning of time, as in Python. */
export function compareTimes(a: string | null, b: string | null): number {
  if (a === b) return 0;
  const x = parseInstant(a) ?? [YEAR_1, 0];
  const y = parseInstant(b) ?? [YEAR_1, 0];
  return x[0] - y[0] || x[1] - y[1];
}

/** The order people expect of names and ids: `phase 9` before `phase 10`. */
export function naturalCompare(): (a: string, b: string) => number {
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  return (a, b) => collator.compare(a, b) || compareCodePoints(a, b);
}

/**
 * Sorts naturally, and remembers the result: the same ids in the same given order need no sorting again, and comparing
 * thousands of names the natural way costs more than all else that is done with them.
 */
export class NaturalOrder {
  readonly #compare = naturalCompare();
  #ids: readonly string[] = [];
  #places: readonly number[] = [];

  sort<T>(items: readonly T[], idOf: (item: T) => string): T[] {
    const ids = items.map(idOf);
    if (ids.length !== this.#ids.length || ids.some((id, i) => id !== this.#ids[i])) {
      this.#ids = ids;
      this.#places = ids.map((_, i) => i).sort((a, b) => this.#compare(ids[a] as string, ids[b] as string));
    }
    return this.#places.map((i) => items[i] as T);
  }
}
