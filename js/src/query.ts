// The words of the filter box: `auth status:error,blocked kind:feature`.

import type { AnyStatus } from "./format";
import { statusWord } from "./format";
import { STATUS_WORDS } from "./words";

export interface Subject {
  kind: string;
  type?: string | null;
  status: AnyStatus;
  /** Everything about the item that a word may match. */
  text: string;
}

export interface Query {
  words: string[];
  statuses: Set<string> | null;
  kinds: Set<string> | null;
}

/** Reads a filter; null when it lets everything through. */
export function parseQuery(text: string): Query | null {
  const query: Query = { words: [], statuses: null, kinds: null };
  for (const term of text.toLowerCase().split(/\s+/)) {
    if (term === "") continue;
    const at = term.indexOf(":");
    const key = at < 0 ? "" : term.slice(0, at);
    const values = term
      .slice(at + 1)
      .split(",")
      .filter(Boolean);
    if (key === "status") {
      query.statuses ??= new Set();
      for (const v of values) {
        const word = v.replace(/-/g, "_");
        query.statuses.add(STATUS_WORDS.get(word) ?? word);
      }
      if (values.length === 0) query.statuses = query.statuses.size > 0 ? query.statuses : null;
    } else if (key === "kind") {
      query.kinds ??= new Set();
      for (const v of values) query.kinds.add(v.replace(/s$/, ""));
      if (values.length === 0) query.kinds = query.kinds.size > 0 ? query.kinds : null;
    } else {
      query.words.push(term);
    }
  }
  return query.words.length === 0 && query.statuses === null && query.kinds === null ? null : query;
}

/** Whether the subject passes: every word, one of the statuses, one of the kinds. */
export function matches(query: Query, subject: Subject): boolean {
  const { kinds } = query;
  if (kinds !== null && !kinds.has(subject.kind) && !kinds.has(subject.type ?? subject.kind)) return false;
  if (query.statuses !== null && !query.statuses.has(subject.status)) return false;
  if (query.words.length === 0) return true;
  const hay = `${subject.text} ${statusWord(subject.status)}`.toLowerCase();
  return query.words.every((word) => hay.includes(word));
}
