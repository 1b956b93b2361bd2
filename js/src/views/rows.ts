// The rows of the trees: what is shown of each kind of item. Pure: items in, rows of plain text out.

import { phaseTitle } from "../derive";
import type { AnyStatus, Tone } from "../format";
import {
  ago,
  clampPercent,
  duration,
  elapsed,
  errorLine,
  fullTime,
  minutes,
  percent,
  statusWord,
  toneOf,
} from "../format";
import type { ChecklistTask, Component, Feature, Phase, PhaseStep, Status, Task } from "../protocol";

/** What stands in a row. Empty text: an empty cell. */
export interface Cells {
  tone: Tone;
  status: string;
  name: string;
  /** After the name, quieter. */
  note: string;
  noteIsError: boolean;
  chip: string;
  chipTone: "" | "high" | "critical" | "low";
  /** 0–100, or null for no bar. */
  bar: number | null;
  barText: string;
  tests: string;
  testsTone: "" | "done" | "fail";
  time: string;
  title: string;
  timeTitle: string;
}

export const BLANK: Cells = {
  tone: "unknown",
  status: "",
  name: "",
  note: "",
  noteIsError: false,
  chip: "",
  chipTone: "",
  bar: null,
  barText: "",
  tests: "",
  testsTone: "",
  time: "",
  title: "",
  timeTitle: "",
};

export function head(status: AnyStatus, raw: string | null): { tone: Tone; status: string; statusTitle: string } {
  // A word that nobody knows is shown as it was written.
  const word = status === "unknown" && raw ? raw.slice(0, 40) : statusWord(status);
  return {
    tone: toneOf(status),
    status: word,
    statusTitle: raw && raw !== status ? `${word} (written: ${raw})` : word,
  };
}

function lasted(
  start: string | null,
  end: string | null,
  running: boolean,
  now: number,
): { time: string; timeTitle: string } {
  if (!running && end === null) return { time: "", timeTitle: fullTime(start) };
  const ms = elapsed(start, end, now);
  if (ms === null) return { time: "", timeTitle: "" };
  const until = end === null ? "" : `\nEnded ${fullTime(end)}`;
  return { time: duration(ms), timeTitle: `Started ${fullTime(start)}${until}` };
}

export function componentCells(c: Component, features: number, now: number): Cells {
  const h = head(c.status, c.status_raw);
  return {
    ...BLANK,
    tone: h.tone,
    status: h.status,
    name: c.name || c.component_id,
    note: errorLine(c.error),
    noteIsError: true,
    chip: c.component_type ?? "",
    bar: clampPercent(c.progress),
    barText: percent(c.progress),
    ...testsCell(c.tests_pass),
    ...lasted(c.started_at, c.ended_at, c.status === "in_progress", now),
    title: [c.component_id, h.statusTitle, features > 0 ? `${features} features` : "", c.error ?? ""]
      .filter(Boolean)
      .join("\n"),
  };
}

export function featureCells(f: Feature): Cells {
  const h = head(f.status, f.status_raw);
  const done = f.tasks.filter((t) => t.completed).length;
  const known = ["critical", "high", "low"].includes(f.priority ?? "") ? (f.priority as Cells["chipTone"]) : "";
  return {
    ...BLANK,
    tone: h.tone,
    status: h.status,
    name: f.name || f.feature_id,
    note: f.error ? errorLine(f.error) : f.tasks.length > 0 ? `${done}/${f.tasks.length}` : "",
    noteIsError: f.error !== null && f.error !== "",
    chip: f.priority ?? "",
    chipTone: known,
    bar: clampPercent(f.progress),
    barText: percent(f.progress),
    ...testsCell(testsOf(f.metadata)),
    time: estimate(f),
    timeTitle: estimateTitle(f),
    title: [f.feature_id, f.description ?? "", h.statusTitle, f.error ?? ""].filter(Boolean).join("\n"),
  };
}

function estimate(f: Feature): string {
  const { actual_minutes: actual, estimated_minutes: planned } = f;
  if (actual !== null && planned !== null) return `${minutes(actual)} / ${minutes(planned)}`;
  if (actual !== null) return minutes(actual);
  return planned === null ? "" : `~ ${minutes(planned)}`;
}

function estimateTitle(f: Feature): string {
  const parts: string[] = [];
  if (f.actual_minutes !== null) parts.push(`Took ${minutes(f.actual_minutes)}`);
  if (f.estimated_minutes !== null) parts.push(`Estimated ${minutes(f.estimated_minutes)}`);
  return parts.join("\n");
}

function testsOf(metadata: Record<string, unknown>): boolean | null {
  const value = metadata.tests_pass ?? metadata.testsPass ?? metadata.tests;
  if (typeof value === "boolean") return value;
  if (typeof value === "object" && value !== null && "passing" in value && typeof value.passing === "boolean") {
    return value.passing;
  }
  return null;
}

function testsCell(pass: boolean | null): Pick<Cells, "tests" | "testsTone"> {
  if (pass === null) return { tests: "", testsTone: "" };
  return pass ? { tests: "Pass", testsTone: "done" } : { tests: "Fail", testsTone: "fail" };
}

/** That of the box, unless the line says more. */
export function checkStatus(t: ChecklistTask): Status {
  return t.status ?? (t.completed ? "completed" : "not_started");
}

export function checkCells(t: ChecklistTask, now: number): Cells {
  const status = checkStatus(t);
  const known = status === "completed" || status === "not_started";
  const at = t.timestamp === null ? null : elapsed(t.timestamp, null, now);
  return {
    ...BLANK,
    tone: toneOf(status),
    status: known ? (t.completed ? "Done" : "Open") : statusWord(status),
    name: t.name || t.id,
    time: at === null ? "" : ago(at),
    timeTitle: fullTime(t.timestamp),
    title: t.id,
  };
}

export function groupCells(name: string, count: number): Cells {
  return { ...BLANK, name, note: String(count), tone: "idle" };
}

export function taskCells(t: Task, now: number): Cells {
  const h = head(t.status, t.status_raw);
  const ran = lasted(t.started_at, t.completed_at, t.status === "in_progress", now);
  const time = t.duration_ms !== null ? duration(t.duration_ms) : ran.time;
  const retries = t.retry_count ? `${t.retry_count} ${t.retry_count === 1 ? "retry" : "retries"}` : "";
  return {
    ...BLANK,
    tone: h.tone,
    status: h.status,
    name: t.name || t.task_id,
    note: t.error ? errorLine(t.error) : retries,
    noteIsError: Boolean(t.error),
    chip: agentOf(t.metadata),
    bar: t.status === "in_progress" || t.progress > 0 ? clampPercent(t.progress) : null,
    barText: t.status === "in_progress" || t.progress > 0 ? percent(t.progress) : "",
    time: time || (t.estimated_minutes !== null ? `~ ${minutes(t.estimated_minutes)}` : ""),
    timeTitle: ran.timeTitle,
    title: [t.task_id, h.statusTitle, retries, t.error ?? ""].filter(Boolean).join("\n"),
  };
}

function agentOf(metadata: Record<string, unknown>): string {
  const value = metadata.agent_type ?? metadata.domain ?? metadata.complexity;
  return typeof value === "string" ? value : "";
}

export function phaseCells(p: Phase, now: number): Cells {
  const h = head(p.status, p.status_raw);
  const { tasks_done: done, tasks_total: total } = p;
  const known = done !== null && total !== null && total > 0;
  const step = p.step_label ?? (p.step === null ? "" : `Step ${p.step}`);
  const error = errorLine(p.errors[0] ?? null);
  return {
    ...BLANK,
    tone: h.tone,
    status: h.status,
    name: phaseTitle(p),
    note: error || [step, p.status === "in_progress" ? p.current_task : ""].filter(Boolean).join(" · "),
    noteIsError: error !== "",
    bar: known ? clampPercent((100 * done) / total) : null,
    barText: known ? `${done}/${total}` : "",
    ...lasted(p.started_at, p.status === "in_progress" ? null : p.updated_at, p.status === "in_progress", now),
    title: [h.statusTitle, step, p.current_task ?? "", ...p.errors, ...p.warnings].filter(Boolean).join("\n"),
  };
}

/** A lock that outlived its phase: no alarm, and no work. */
export function leftCells(p: Phase, now: number): Cells {
  const at = elapsed(p.heartbeat_at ?? p.updated_at, null, now);
  return {
    ...phaseCells(p, now),
    tone: "said",
    status: "Left behind",
    note: p.owner ?? "",
    time: at === null ? "" : ago(at),
    timeTitle: fullTime(p.heartbeat_at ?? p.updated_at),
  };
}

export function stepCells(s: PhaseStep, now: number): Cells {
  const status: AnyStatus =
    s.status === null
      ? "unknown"
      : /^(done|complete|completed|ok|passed)$/i.test(s.status)
        ? "completed"
        : /fail|error/i.test(s.status)
          ? "error"
          : /active|progress|running/i.test(s.status)
            ? "in_progress"
            : "unknown";
  const at = elapsed(s.at, null, now);
  return {
    ...BLANK,
    tone: toneOf(status),
    status: status === "unknown" && s.status ? s.status : statusWord(status),
    name: s.label || s.name || (s.step === null ? "Step" : `Step ${s.step}`),
    time: at === null ? "" : ago(at),
    timeTitle: fullTime(s.at),
    title: s.name,
  };
}

export function problemCells(text: string, tone: Tone): Cells {
  return { ...BLANK, tone, status: tone === "fail" ? "Error" : "Warning", name: errorLine(text), title: text };
}
