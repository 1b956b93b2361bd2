// What can truly be said of a connection, from what was seen of it. Pure: the caller brings the clock.

import type { ConnectionState } from "../live";

/** Silence longer than this (ms) means that the picture may be old: the other side beats every second. */
export const STALE = 3000;
/** An unanswered hello means that nobody is there after this long (ms) without any message. */
export const NOBODY = 2000;
/** An unanswered hello while messages flow means a busy kernel after this long (ms). */
export const BUSY = 1000;

/** What was seen. Times are ms of one clock; null: never. */
export interface Seen {
  closed: boolean;
  dead: boolean;
  /** When the oldest unanswered hello was sent. */
  helloAt: number | null;
  /** When anything was last heard. */
  heardAt: number | null;
  /** The kernel says that it is running a cell. */
  busy: boolean;
}

export function judge(seen: Seen, now: number): ConnectionState {
  if (seen.closed) return "stopped";
  if (seen.dead) return "disconnected";
  const waited = seen.helloAt === null ? 0 : now - seen.helloAt;
  if (seen.heardAt === null) return waited >= NOBODY ? "static" : "connecting";
  if (now - seen.heardAt >= STALE) return "stale";
  if (seen.busy) return "busy";
  if (seen.helloAt !== null) return waited >= BUSY ? "busy" : "connecting";
  return "live";
}

/** How long (ms) until the verdict may change by the passing of time alone; null: never. */
export function nextLook(seen: Seen, now: number): number | null {
  if (seen.closed || seen.dead) return null;
  const edges: number[] = [];
  if (seen.helloAt !== null) edges.push(seen.helloAt + (seen.heardAt === null ? NOBODY : BUSY));
  if (seen.heardAt !== null) edges.push(seen.heardAt + STALE);
  const ahead = edges.map((t) => t - now).filter((t) => t > 0);
  return ahead.length > 0 ? Math.min(...ahead) : null;
}
