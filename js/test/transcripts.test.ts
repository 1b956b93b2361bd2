import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Live } from "../src/live";
import type { Event, State } from "../src/protocol";
import { emptyState, Store } from "../src/store";
import { isKnownType, readStreamMessage } from "../src/transport/messages";
import { type Socket, WebSocketTransport } from "../src/transport/websocket";

// What servers said to clients, as tests/transcripts/README.md explains: recorded by Python, replayed here.

type Said = Record<string, unknown> & { type: string };

interface Line {
  connect?: { query: string };
  disconnect?: object;
  receive?: Said;
  close?: { code: number };
  state?: State;
}

const files = import.meta.glob<string>("../../tests/transcripts/*.jsonl", {
  eager: true,
  query: "?raw",
  import: "default",
});
const transcripts = Object.entries(files).map(([path, text]): [string, Line[]] => [
  path.replace(/.*\//, ""),
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line),
]);

const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const stateOf = (lines: Line[]): State | undefined => lines.find((line) => line.state !== undefined)?.state;
const queriesOf = (lines: Line[]): string[] => lines.flatMap((line) => line.connect?.query ?? []);
const withState = transcripts.filter(([, lines]) => stateOf(lines) !== undefined);
/** The page always begins with a snapshot. */
const likeThePage = transcripts.filter(([, lines]) => !queriesOf(lines).includes(""));

/** The smallest client: the guards read, the store folds. */
function fold(messages: Iterable<Said>): State {
  const store = new Store();
  for (const said of messages) {
    const message = readStreamMessage(said);
    if (message === undefined) {
      // The present state in messages without a number: the page never asks for it, but the store can fold it.
      expect(isKnownType(said.type) && said.seq === undefined).toBe(true);
      store.apply(said as unknown as Event);
    } else if (message?.type === "connection") {
      if (message.epoch !== store.epoch) store.adopt(emptyState(), message.epoch, 0);
    } else if (message?.type === "snapshot") {
      store.adopt(message.state, message.epoch, message.seq);
    } else if (message?.type === "event") {
      store.apply(message.event);
    }
  }
  return plain(store.snapshot());
}

describe("the store and the guards", () => {
  it("have transcripts to pass", () => {
    expect(withState.length).toBeGreaterThan(0);
    expect(likeThePage.length).toBeLessThan(transcripts.length);
  });

  it.each(withState)("hold the state at the end of %s", (_name, lines) => {
    const messages = lines.flatMap((line) => line.receive ?? []);
    expect(fold(messages)).toEqual(stateOf(lines));
    const newest = messages.findLast((said) => typeof said.seq === "number" && isKnownType(said.type));
    const others = messages.filter((said) => said.seq !== newest?.seq);
    expect(fold(others), "any client would do").not.toEqual(stateOf(lines));
  });
});

class FakeSocket implements Socket {
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  readyState: number = WebSocket.OPEN;
  readonly sent: string[] = [];

  constructor(readonly url: string) {}

  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {}
}

describe("the page", () => {
  let live: Live;
  let controller: AbortController;
  let sockets: FakeSocket[];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    live = new Live();
    controller = new AbortController();
    sockets = [];
    new WebSocketTransport(live, {
      base: "http://127.0.0.1:8000/",
      sessionId: "shop",
      signal: controller.signal,
      socket: (url) => {
        const made = new FakeSocket(url);
        sockets.push(made);
        return made;
      },
      ask: () => Promise.reject(new TypeError("Failed to fetch")),
      random: () => 1,
    }).start();
  });

  afterEach(() => {
    controller.abort();
    live.dispose();
    vi.useRealTimers();
  });

  it.each(likeThePage)("asks, holds and shows what %s says", async (_name, lines) => {
    let connections = 0;
    const socket = (): FakeSocket => sockets.at(-1) as FakeSocket;
    for (const line of lines) {
      if (line.connect !== undefined) {
        connections += 1;
        expect(sockets).toHaveLength(connections);
        const asked = new URLSearchParams(line.connect.query);
        asked.delete("topics"); // the page hears everything
        expect(Object.fromEntries(new URL(socket().url).searchParams)).toEqual(Object.fromEntries(asked));
      } else if (line.receive !== undefined) {
        socket().onmessage?.(new MessageEvent("message", { data: JSON.stringify(line.receive) }));
      } else if (line.disconnect !== undefined) {
        socket().onclose?.(new CloseEvent("close", { code: 1006 }));
        expect(live.connection).toBe("reconnecting");
        await vi.advanceTimersByTimeAsync(1000);
      } else if (line.close !== undefined) {
        socket().onclose?.(new CloseEvent("close", { code: line.close.code }));
        expect(live.connection).toBe("missing");
        await vi.advanceTimersByTimeAsync(5000);
        expect(sockets).toHaveLength(connections);
      }
    }
    const state = stateOf(lines);
    if (state === undefined) return;
    expect(live.connection).toBe("live");
    expect(plain(live.store.snapshot())).toEqual(state);
    expect(
      sockets.flatMap((one) => one.sent),
      "nothing had to be asked for again",
    ).toEqual([]);
  });
});
