// The boundary: messages of the kernel and of the server, read with the guards that are generated from the protocol.

import { isEvent, isState } from "../guards";
import { isCount, isListOf, isObject, isText } from "../kinds";
import type { NoticeLevel } from "../notices";
import type { Event, State } from "../protocol";
import { EVENT_TYPES } from "../protocol";

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

export const isStrings = (value: unknown): value is string[] => isListOf(value, isText);

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
