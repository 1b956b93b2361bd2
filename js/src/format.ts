// How times, numbers and statuses are written for people.

import { parseMs } from "./order";
import type { BuildStatus, Status } from "./protocol";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Between a number and its unit, so that they stay on one line. */
const NB = "\u00a0";

/** `12 s`, `12 min 05 s`, `3 h 05 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  const t = Math.max(0, ms);
  if (t < MINUTE) return `${Math.floor(t / SECOND)}${NB}s`;
  if (t < HOUR) return `${Math.floor(t / MINUTE)}${NB}min${NB}${two(Math.floor((t % MINUTE) / SECOND))}${NB}s`;
  if (t < DAY) return `${Math.floor(t / HOUR)}${NB}h${NB}${two(Math.floor((t % HOUR) / MINUTE))}${NB}min`;
  return `${Math.floor(t / DAY)}${NB}d${NB}${Math.floor((t % DAY) / HOUR)}${NB}h`;
}

/** `just now`, `3 s ago`, `5 min ago`, `2 h ago`, `4 d ago`. */
export function ago(ms: number): string {
  const t = Math.max(0, ms);
  if (t < SECOND) return "just now";
  if (t < MINUTE) return `${Math.floor(t / SECOND)}${NB}s ago`;
  if (t < HOUR) return `${Math.floor(t / MINUTE)}${NB}min ago`;
  if (t < DAY) return `${Math.floor(t / HOUR)}${NB}h ago`;
  return `${Math.floor(t / DAY)}${NB}d ago`;
}

/** Minutes of an estimate: `45 min`, `2 h`, `2 h 30 min`. */
export function minutes(m: number): string {
  if (m < 1) return `${Math.round(m * 60)}${NB}s`;
  if (m < 60) return `${trim(m)}${NB}min`;
  const rest = Math.round(m % 60);
  return rest === 0 ? `${Math.floor(m / 60)}${NB}h` : `${Math.floor(m / 60)}${NB}h${NB}${two(rest)}${NB}min`;
}

/** `62 %`, `61.5 %`; `unknown` for null, never a made-up zero. */
export function percent(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value) ? "unknown" : `${trim(value)}${NB}%`;
}

/** A percentage as a number between 0 and 100. */
export function clampPercent(value: number | null | undefined): number {
  return value === null || value === undefined || !Number.isFinite(value) ? 0 : Math.min(100, Math.max(0, value));
}

/** `1 component`, `12 components`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** Made once: making it costs a millisecond, which is more than all the rest of an update. */
const FULL_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** The whole time in the reader's own zone, for hovering. */
export function fullTime(text: string | null | undefined): string {
  const ms = parseMs(text);
  if (ms === null) return "";
  return FULL_TIME.format(ms);
}

/** The time of day, with the date when that is not today's. */
export function clockTime(text: string | null | undefined, now: number): string {
  const ms = parseMs(text);
  if (ms === null) return "";
  const date = new Date(ms);
  const hm = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) return hm;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${hm}`;
}

/** The day, and the time where there is one: a date alone is midnight in UTC. */
export function dateTime(text: string | null | undefined): string {
  const ms = parseMs(text);
  if (ms === null) return "";
  const iso = new Date(ms).toISOString();
  if (iso.endsWith("T00:00:00.000Z")) return iso.slice(0, 10);
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}${NB}${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** How long between two times, or up to now; null when it is not known. */
export function elapsed(start: string | null, end: string | null, now: number): number | null {
  const from = parseMs(start);
  if (from === null) return null;
  return Math.max(0, (parseMs(end) ?? now) - from);
}

/** Something a person can be told the status of. */
export type AnyStatus = Status | BuildStatus | "stalled";

const WORDS: Record<AnyStatus, string> = {
  not_started: "Not started",
  in_progress: "In progress",
  completed: "Done",
  error: "Error",
  blocked: "Blocked",
  skipped: "Skipped",
  cancelled: "Cancelled",
  paused: "Paused",
  unknown: "Unknown",
  pending: "Pending",
  failed: "Failed",
  stalled: "Stalled",
};

export function statusWord(status: AnyStatus): string {
  return WORDS[status] ?? WORDS.unknown;
}

/** The family of a status: it chooses icon and colour. `said`: done as somebody says, and somebody says otherwise. */
export type Tone = "done" | "said" | "run" | "fail" | "block" | "idle" | "skip" | "pause" | "unknown";

const TONES: Record<AnyStatus, Tone> = {
  not_started: "idle",
  pending: "idle",
  in_progress: "run",
  completed: "done",
  error: "fail",
  failed: "fail",
  blocked: "block",
  stalled: "pause",
  paused: "pause",
  skipped: "skip",
  cancelled: "skip",
  unknown: "unknown",
};

export function toneOf(status: AnyStatus): Tone {
  return TONES[status] ?? "unknown";
}

/** The one line of an error that says what went wrong: the first, but the last of a traceback. */
export function errorLine(text: string | null | undefined): string {
  const lines = (text ?? "").split("\n").map((line) => line.trim());
  const full = lines.filter((line) => line !== "");
  const traced = /^(Traceback \(most recent|File "|at )/.test(full[0] ?? "");
  return (traced ? full[full.length - 1] : full[0]) ?? "";
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}

/** At most one decimal, and none that is zero. */
function trim(n: number): string {
  return String(Math.round(n * 10) / 10);
}
