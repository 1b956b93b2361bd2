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

/** Whether this is a message of the fold. An unknown type passes too: a newer kernel may send it, and it has a seq. */
export function isEvent(value: unknown): value is Event {
  if (!isObject(value) || typeof value.type !== "string" || !isCount(value.seq)) return false;
  switch (value.type) {
    case "component_update":
      return typeof value.component_id === "string" && typeof value.status === "string";
    case "feature_update":
      return typeof value.feature_id === "string" && typeof value.status === "string" && Array.isArray(value.tasks);
    case "task_update":
      return typeof value.task_id === "string" && typeof value.status === "string";
    case "phase_update":
      return typeof value.phase_id === "string" && typeof value.status === "string" && Array.isArray(value.errors);
    case "checkpoint_update":
      return typeof value.checkpoint_id === "string";
    case "session_update":
      return isObject(value.counts);
    case "warning":
      return typeof value.file_path === "string" && typeof value.code === "string";
    case "removed":
      return typeof value.kind === "string" && typeof value.id === "string";
    case "file_change":
      return typeof value.file_path === "string";
    case "terminal_output":
      return typeof value.output === "string" && isCount(value.line);
    default:
      return true;
  }
}

const LISTS = ["components", "features", "tasks", "phases", "checkpoints", "context", "warnings"] as const;

export function isState(value: unknown): value is State {
  return (
    isObject(value) &&
    isObject(value.session) &&
    isObject(value.progress) &&
    isObject(value.terminal) &&
    Array.isArray(value.terminal.tail) &&
    LISTS.every((name) => Array.isArray(value[name]))
  );
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
