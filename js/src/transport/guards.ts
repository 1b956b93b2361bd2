// The boundary: what comes from outside is unknown until it was looked at.

import type { NoticeLevel } from "../notices";
import type { Event, State } from "../protocol";
import { EVENT_TYPES } from "../protocol";

export type Json = Record<string, unknown>;

/** The messages a kernel sends over the comm. */
export type KernelMessage =
  | { kind: "welcome"; id: string; epoch: string; seq: number; now: string | null }
  | { kind: "events"; epoch: string; from: number; to: number; messages: Event[] }
  | { kind: "snapshot"; epoch: string; seq: number; state: State }
  | { kind: "heartbeat"; epoch: string; seq: number; busy: boolean }
  | { kind: "pong"; id: unknown }
  | { kind: "selected"; ids: string[] }
  | { kind: "filter"; text: string }
  | { kind: "notice"; level: NoticeLevel; text: string }
  | { kind: "closed" };

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value);

export function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((v) => typeof v === "string");
}

/** What an item must have for the fold and the views to work: fields of text, fields that are lists, fields by name. */
interface Shape {
  texts: readonly string[];
  lists?: readonly string[];
  records?: readonly string[];
}

const METADATA = ["metadata"];
const COMPONENT: Shape = {
  texts: ["component_id", "status"],
  lists: ["files", "dependencies"],
  records: METADATA,
};
const FEATURE: Shape = { texts: ["feature_id", "status"], lists: ["tasks", "dependencies"], records: METADATA };
const TASK: Shape = { texts: ["task_id", "status"], lists: ["dependencies"], records: METADATA };
const PHASE: Shape = { texts: ["phase_id", "status"], lists: ["errors", "warnings", "history"] };
const CHECKPOINT: Shape = { texts: ["checkpoint_id"], lists: ["tasks_completed", "files_created"] };
const WARNING: Shape = { texts: ["file_path", "code"] };
const FILE: Shape = { texts: ["file_path"] };

function fits(value: unknown, { texts, lists = [], records = [] }: Shape): boolean {
  return (
    isObject(value) &&
    texts.every((name) => typeof value[name] === "string") &&
    lists.every((name) => Array.isArray(value[name])) &&
    records.every((name) => isObject(value[name]))
  );
}

/** Whether this is a message of the fold. An unknown type passes too: a newer kernel may send it, and it has a seq. */
export function isEvent(value: unknown): value is Event {
  if (!isObject(value) || typeof value.type !== "string" || !isCount(value.seq)) return false;
  switch (value.type) {
    case "component_update":
      return fits(value, COMPONENT);
    case "feature_update":
      return fits(value, FEATURE);
    case "task_update":
      return fits(value, TASK);
    case "phase_update":
      return fits(value, PHASE);
    case "checkpoint_update":
      return fits(value, CHECKPOINT);
    case "session_update":
      return isObject(value.counts);
    case "warning":
      return fits(value, WARNING);
    case "removed":
      return typeof value.kind === "string" && typeof value.id === "string";
    case "file_change":
      return fits(value, FILE);
    case "terminal_output":
      return typeof value.output === "string" && isCount(value.line);
    default:
      return true;
  }
}

const LISTS: Record<string, Shape> = {
  components: COMPONENT,
  features: FEATURE,
  tasks: TASK,
  phases: PHASE,
  checkpoints: CHECKPOINT,
  context: FILE,
  warnings: WARNING,
};

const isLine = (value: unknown): boolean =>
  isObject(value) && isCount(value.line) && typeof value.text === "string" && typeof value.output_type === "string";

export function isState(value: unknown): value is State {
  return (
    isObject(value) &&
    isObject(value.session) &&
    isObject(value.session.counts) &&
    isObject(value.progress) &&
    isObject(value.terminal) &&
    isCount(value.terminal.next_line) &&
    Array.isArray(value.terminal.tail) &&
    value.terminal.tail.every(isLine) &&
    Object.entries(LISTS).every(([name, shape]) => {
      const list = value[name];
      return Array.isArray(list) && list.every((item) => fits(item, shape));
    })
  );
}

/** The messages about a WebSocket connection that a page makes use of; numbered ones are `Event`s. */
export type StreamMessage =
  | { type: "connection"; epoch: string; seq: number; resumed: boolean; server: string; heartbeat: number; at: unknown }
  | { type: "snapshot" | "status"; epoch: string; seq: number; state: State }
  | { type: "gap"; to: number }
  | { type: "heartbeat"; seq: number; at: unknown }
  | { type: "pong"; at: unknown }
  | { type: "complaint"; text: string }
  | { type: "event"; event: Event };

/** Reads one message of a stream; null for what this face does not know, `undefined` for what cannot be believed. */
export function readStreamMessage(value: unknown): StreamMessage | null | undefined {
  if (!isObject(value) || typeof value.type !== "string") return undefined;
  const { type, epoch, seq, timestamp: at } = value;
  switch (type) {
    case "connection":
      if (typeof epoch !== "string" || !isCount(seq)) return undefined;
      return {
        type,
        epoch,
        seq,
        resumed: value.resumed === true,
        server: typeof value.server === "string" ? value.server : "",
        heartbeat: typeof value.heartbeat === "number" ? value.heartbeat : Number.NaN,
        at,
      };
    case "snapshot":
    case "status":
      if (typeof epoch !== "string" || !isCount(seq) || !isState(value.state)) return undefined;
      return { type, epoch, seq, state: value.state };
    case "gap":
      return isCount(value.to_seq) ? { type, to: value.to_seq } : undefined;
    case "heartbeat":
      return isCount(seq) ? { type, seq, at } : undefined;
    case "pong":
      return { type, at };
    case "subscribed":
      return null;
    default:
      // An error without a number is about this connection.
      if (type === "error" && !isCount(seq)) {
        return { type: "complaint", text: typeof value.error_message === "string" ? value.error_message : "" };
      }
      // A message that a newer server may send about the connection has no number, and is none of the fold's.
      if (seq === undefined || seq === null) return isKnownType(type) ? undefined : null;
      return isEvent(value) ? { type: "event", event: value } : undefined;
  }
}

/** The text in a buffer, however the host hands buffers over. */
export function textOf(buffer: unknown): string | null {
  if (typeof buffer === "string") return buffer;
  const decoder = new TextDecoder();
  if (buffer instanceof ArrayBuffer) return decoder.decode(new Uint8Array(buffer));
  if (ArrayBuffer.isView(buffer)) {
    return decoder.decode(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
  }
  return null;
}

/** The JSON in a text, or undefined. */
export function parseJson(text: string | null): unknown {
  if (text === null) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Reads one custom message; null for what this face does not know. */
export function readKernelMessage(content: unknown, buffers: readonly unknown[]): KernelMessage | null {
  if (!isObject(content)) return null;
  const body = (name: string): unknown => (content.encoded === true ? parseJson(textOf(buffers[0])) : content[name]);
  const { kind, epoch } = content;
  switch (kind) {
    case "welcome":
      if (typeof epoch !== "string" || !isCount(content.seq)) return null;
      return {
        kind,
        id: String(content.id),
        epoch,
        seq: content.seq,
        now: typeof content.now === "string" ? content.now : null,
      };
    case "events": {
      const messages = body("messages");
      if (typeof epoch !== "string" || !isCount(content.from) || !isCount(content.to)) return null;
      if (!Array.isArray(messages) || !messages.every(isEvent)) return null;
      return { kind, epoch, from: content.from, to: content.to, messages };
    }
    case "snapshot": {
      const state = body("state");
      if (typeof epoch !== "string" || !isCount(content.seq) || !isState(state)) return null;
      return { kind, epoch, seq: content.seq, state };
    }
    case "heartbeat":
      if (typeof epoch !== "string" || !isCount(content.seq)) return null;
      return { kind, epoch, seq: content.seq, busy: content.busy === true };
    case "pong":
      return { kind, id: content.id };
    case "selected":
      return isStrings(content.ids) ? { kind, ids: content.ids } : null;
    case "filter":
      return typeof content.text === "string" ? { kind, text: content.text } : null;
    case "notice":
      if (typeof content.text !== "string" || content.text.trim() === "") return null;
      return { kind, level: content.level === "error" ? "error" : "warning", text: content.text };
    case "closed":
      return { kind };
    default:
      return null;
  }
}

/** Whether this face knows the type: used by tests to keep the fold and the protocol together. */
export function isKnownType(type: string): boolean {
  return (EVENT_TYPES as readonly string[]).includes(type);
}
