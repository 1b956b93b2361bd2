import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { component, message } from "../src/dev/scenario";
import { Live } from "../src/live";
import type { Event, State } from "../src/protocol";
import { emptyState, Store } from "../src/store";
import { backoff, streamUrl, WebSocketTransport } from "../src/transport/websocket";
import { FakeSocket } from "./fake-socket";

const BASE = "https://ci.example/builds/";
let sockets: FakeSocket[];
let answer: () => Promise<Response>;
let live: Live;
let controller: AbortController;
let random: number;

const socket = (): FakeSocket => sockets.at(-1) as FakeSocket;
const query = (): URLSearchParams => new URL(socket().url).searchParams;
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

function start(): void {
  controller = new AbortController();
  live = new Live();
  new WebSocketTransport(live, {
    base: BASE,
    sessionId: "shop",
    signal: controller.signal,
    socket: (url) => {
      const made = new FakeSocket(url);
      sockets.push(made);
      return made;
    },
    ask: () => answer(),
    random: () => random,
  }).start();
}

function hello(over: Record<string, unknown> = {}): void {
  const timestamp = new Date().toISOString();
  socket().say({
    type: "connection",
    epoch: "E",
    seq: 0,
    resumed: false,
    server: "s",
    heartbeat: 15,
    timestamp,
    ...over,
  });
}

function snapshot(seq: number, over: Partial<State> = {}, epoch = "E"): void {
  socket().say({ type: "snapshot", epoch, seq, state: { ...emptyState(), ...over } });
}

const update = (seq: number, progress = seq): object =>
  message("component_update", seq, component("api", { progress, status: "in_progress" }));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  sockets = [];
  random = 1;
  answer = () => Promise.reject(new TypeError("Failed to fetch"));
});

afterEach(() => {
  controller?.abort();
  live?.dispose();
  vi.useRealTimers();
});

describe("addresses", () => {
  it("are relative to the page, and secure as the page is", () => {
    expect(streamUrl("http://127.0.0.1:8000/", "shop", null)).toBe(
      "ws://127.0.0.1:8000/api/build/stream/shop?snapshot=1",
    );
    expect(streamUrl(BASE, "a b/c", { epoch: "e&f", seq: 7 })).toBe(
      "wss://ci.example/builds/api/build/stream/a%20b%2Fc?epoch=e%26f&since=7",
    );
  });
});

describe("backoff", () => {
  it("is anything up to a bound that doubles from 0.25 s to 15 s", () => {
    expect([0, 1, 2, 5, 6, 50].map((n) => backoff(n, () => 1))).toEqual([250, 500, 1000, 8000, 15000, 15000]);
    expect(backoff(6, () => 0)).toBe(0);
    expect(backoff(6, () => 0.5)).toBe(7500);
  });
});

describe("the stream", () => {
  beforeEach(() => start());

  it("begins with a snapshot and goes on where it was after a loss", async () => {
    expect(query().get("snapshot")).toBe("1");
    hello();
    expect(live.connection).toBe("connecting");
    snapshot(4);
    expect(live.connection).toBe("live");
    socket().say(update(5));
    socket().say(update(9));
    expect(live.store.seq).toBe(9);
    socket().end(1006);
    expect(live.connection).toBe("reconnecting");
    expect(live.link.retryAt).toBe(Date.now() + 250);
    expect(live.link.trueAt).toBe(Date.now());
    await pass(250);
    expect(query().get("epoch")).toBe("E");
    expect(query().get("since")).toBe("9");
    hello({ seq: 10, resumed: true });
    expect(live.connection).toBe("live");
    expect(live.link).toMatchObject({ why: "", retryAt: null, trueAt: null });
    socket().say(update(8, 80));
    socket().say(update(10));
    expect(live.store.components.get("api")?.progress).toBe(10);
  });

  it("takes nothing of another log: after a restart only the snapshot counts", async () => {
    hello();
    snapshot(4, { components: [component("old")] });
    socket().end(1001, "going away");
    expect(live.connection).toBe("gone");
    expect(live.link.why).toContain("going away");
    await pass(500);
    hello({ epoch: "F", seq: 2 });
    socket().say(update(5));
    expect(live.store.components.get("api")).toBeUndefined();
    snapshot(2, { components: [component("new")] }, "F");
    expect([...live.store.components.ids()]).toEqual(["new"]);
    socket().say(update(3));
    expect(live.store.seq).toBe(3);
  });

  it("waits for the snapshot that follows a gap", () => {
    hello();
    snapshot(4);
    socket().say({ type: "gap", from_seq: 5, to_seq: 900, reason: "too_slow" });
    socket().say(update(901));
    expect(live.store.components.size).toBe(0);
    snapshot(900, { components: [component("api")] });
    socket().say(update(901));
    expect(live.store.components.get("api")?.progress).toBe(901);
  });

  it("does not believe a server that goes on with what nobody had", () => {
    hello({ resumed: true, seq: 50 });
    expect(live.connection).toBe("connecting");
    expect(socket().sent).toEqual([{ type: "request_status" }]);
    socket().say({ type: "status", epoch: "E", seq: 50, state: emptyState(), id: null });
    expect(live.store.seq).toBe(50);
    expect(live.connection).toBe("live");
  });

  it.each([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["null", "null"],
    ["no type", "{}"],
    ["an item without an id", { type: "component_update", seq: 6, status: "error" }],
    ["a state of nulls", { type: "snapshot", epoch: "E", seq: 9, state: { ...emptyState(), components: [null] } }],
    ["a state that is none", { type: "snapshot", epoch: "E", seq: 9, state: null }],
    ["a line that is no text", { type: "terminal_output", seq: 6, output: 5, line: 1 }],
    ["a number that is none", { type: "component_update", seq: "6", component_id: "x" }],
  ])("leaves out %s with a notice, and asks for the whole", (_, hostile) => {
    hello();
    snapshot(5);
    socket().say(hostile);
    expect(live.notices.list()).toHaveLength(1);
    expect(live.store.seq).toBe(5);
    expect(socket().sent).toEqual([{ type: "request_status" }]);
    socket().say(hostile);
    expect(live.notices.list()).toMatchObject([{ times: 2 }]);
    expect(socket().sent).toHaveLength(1);
  });

  it("passes over what a newer server may say", () => {
    hello();
    snapshot(5);
    socket().say({ type: "weather", mood: "fine" });
    socket().say({ type: "weather_update", seq: 6 });
    expect(live.notices.list()).toHaveLength(0);
    expect(live.store.seq).toBe(6);
  });

  it("asks for the present state, and adopts it", () => {
    hello();
    snapshot(5);
    live.actions.refresh();
    expect(socket().sent).toEqual([{ type: "request_status" }]);
    socket().say({ type: "status", epoch: "E", seq: 8, state: { ...emptyState(), components: [component("api")] } });
    expect(live.store.seq).toBe(8);
    expect(live.store.components.size).toBe(1);
  });

  it("loses nothing when the present state comes ahead of messages that are on their way", () => {
    const ids = ["a", "b", "c"];
    const log: Event[] = [];
    for (let seq = 2; seq <= 61; seq++) {
      const id = ids[seq % 3] as string;
      const output = `line ${seq}`;
      log.push(
        seq % 5 === 0
          ? message("terminal_output", seq, {
              output,
              content: output,
              output_type: "stdout",
              source: "x",
              line: seq / 5,
            })
          : seq % 7 === 0
            ? message("removed", seq, { kind: "component", id })
            : seq % 11 === 0
              ? message("warning", seq, { file_path: `${id}.json`, code: "c", message: output, cleared: seq % 2 === 0 })
              : message("component_update", seq, component(id, { progress: seq, status: "in_progress" })),
      );
    }
    /** The state after the messages up to a number. */
    const stateAt = (seq: number): State => {
      const store = new Store(emptyState(), "E", 1);
      for (const event of log) if ((event.seq as number) <= seq) store.apply(event);
      return store.snapshot();
    };
    for (const [at, ahead] of [
      [2, 61],
      [5, 30],
      [20, 21],
      [33, 60],
      [40, 40],
    ] as const) {
      controller.abort();
      start();
      hello();
      snapshot(1);
      for (const event of log) {
        socket().say(event);
        if (event.seq === at) socket().say({ type: "status", epoch: "E", seq: ahead, state: stateAt(ahead), id: null });
        // What is shown is never older than what was shown before.
        expect(live.store.snapshot()).toEqual(
          stateAt(Math.max(event.seq as number, at <= (event.seq as number) ? ahead : 0)),
        );
      }
      expect(live.store.seq).toBe(61);
    }
  });

  it("does not keep a number that is beyond the server's log: what comes next would pass for known", async () => {
    hello();
    snapshot(5);
    socket().say({ type: "status", epoch: "E", seq: 1_000_000, state: emptyState(), id: null });
    socket().say(update(6));
    const beat = { type: "heartbeat", seq: 6, timestamp: new Date().toISOString() };
    socket().say(beat);
    expect(socket().sent).toEqual([]);
    socket().say(beat);
    expect(socket().sent).toEqual([{ type: "request_status" }]);
    socket().say({ type: "status", epoch: "E", seq: 6, state: { ...emptyState(), components: [component("api")] } });
    expect(live.store.seq).toBe(6);
    socket().say(update(7));
    expect(live.store.components.get("api")?.progress).toBe(7);
    // From there it goes on after a loss as well.
    socket().end(1006);
    await pass(250);
    expect(query().get("since")).toBe("7");
  });

  it("asks for the whole when two heartbeats say that something is missing", () => {
    hello();
    snapshot(5);
    const beat = { type: "heartbeat", seq: 7, timestamp: new Date().toISOString() };
    socket().say(beat);
    expect(socket().sent).toEqual([]);
    socket().say(beat);
    expect(socket().sent).toEqual([{ type: "request_status" }]);
  });

  it("knows the server's clock", () => {
    hello({ timestamp: new Date(Date.now() + 3_600_000).toISOString() });
    expect(live.clockOffset).toBe(3_600_000);
    hello({ timestamp: "yesterday" });
    expect(live.clockOffset).toBe(3_600_000);
  });
});

describe("silence", () => {
  beforeEach(() => start());

  it("of two and a half heartbeats means that nobody is there", async () => {
    hello({ heartbeat: 2 });
    snapshot(1);
    const first = socket();
    await pass(4000);
    socket().say({ type: "heartbeat", seq: 1, timestamp: new Date().toISOString() });
    await pass(4999);
    expect(live.connection).toBe("live");
    const heard = Date.now() - 4999;
    await pass(2);
    expect(live.connection).toBe("stale");
    expect(live.link.trueAt).toBe(heard);
    expect(first.closed).toBe(true);
    await pass(250);
    expect(sockets).toHaveLength(2);
    first.say(update(2));
    expect(live.store.seq).toBe(1);
  });

  it("is given up at the handshake too", async () => {
    await pass(10_000);
    await pass(0);
    expect(live.connection).toBe("gone");
  });

  it.each([0, -5, 1e9, "x", null])("a heartbeat of %s cannot make it restless or patient without end", async (beat) => {
    hello({ heartbeat: beat });
    snapshot(1);
    await pass(2000);
    expect(live.connection).toBe("live");
    await pass(300_000);
    expect(live.connection).not.toBe("live");
  });

  it("is doubted when somebody comes back to the page", async () => {
    hello();
    snapshot(1);
    await pass(3000);
    document.dispatchEvent(new Event("visibilitychange"));
    expect(socket().sent).toEqual([{ type: "ping", id: 1 }]);
    socket().say({ type: "pong", id: 1, timestamp: new Date().toISOString() });
    await pass(6000);
    expect(live.connection).toBe("live");
    document.dispatchEvent(new Event("visibilitychange"));
    await pass(5001);
    expect(live.connection).toBe("stale");
  });
});

describe("why, and when again", () => {
  beforeEach(() => start());

  it.each([
    [4404, "missing", 10_250],
    [1008, "refused", 60_250],
    [1009, "reconnecting", 3250],
    [1013, "reconnecting", 3250],
    [1001, "gone", 500],
    [1012, "gone", 500],
    [1006, "reconnecting", 250],
  ])("code %s is told as %s and tried again in %s ms", async (code, state, wait) => {
    hello();
    snapshot(1);
    socket().end(code, "because");
    expect(live.connection).toBe(state);
    expect(live.link.why).not.toBe("");
    await pass(wait - 1);
    expect(sockets).toHaveLength(1);
    await pass(1);
    expect(sockets).toHaveLength(2);
  });

  it("waits longer and longer for a server that is gone, and says so", async () => {
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      socket().end(1006);
      await pass(0);
      expect(live.connection).toBe("gone");
      waits.push((live.link.retryAt as number) - Date.now());
      await pass(waits.at(-1) as number);
      expect(sockets).toHaveLength(i + 2);
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 15000, 15000]);
  });

  it("does not hurry for a server that lets everybody in and out again", async () => {
    for (const wait of [250, 500, 1000]) {
      hello();
      snapshot(1);
      socket().end(1006);
      expect((live.link.retryAt as number) - Date.now()).toBe(wait);
      await pass(wait);
    }
    hello();
    snapshot(1);
    await pass(5000);
    socket().end(1006);
    expect((live.link.retryAt as number) - Date.now()).toBe(250);
  });

  const json = (status: number, body: object): Response => new Response(JSON.stringify(body), { status });
  it.each([
    ["refused", "TOKEN", () => json(401, { message: "a token is needed" })],
    ["refused", "of this origin", () => json(403, { message: "pages of this origin may not connect" })],
    ["gone", "502", () => new Response("Bad gateway", { status: 502 })],
    ["gone", "Something else", () => new Response("<html>hello", { status: 200 })],
    ["reconnecting", "WebSocket does not get through", () => json(200, { sessions: [] })],
  ])("asks over HTTP why it may not connect: %s, %s", async (state, why, response) => {
    answer = () => Promise.resolve(response());
    socket().end(1006);
    await pass(0);
    expect(live.connection).toBe(state);
    expect(live.link.why).toContain(why);
  });

  it("tries at once when asked to, or when the machine is online again, but not in a row", async () => {
    socket().end(1006);
    await pass(0);
    random = 1;
    for (let i = 0; i < 5; i++) {
      await pass((live.link.retryAt as number) - Date.now());
      socket().end(1006);
      await pass(0);
    }
    const before = sockets.length;
    await pass(1000);
    globalThis.dispatchEvent(new Event("online"));
    expect(sockets).toHaveLength(before + 1);
    socket().end(1006);
    await pass(0);
    globalThis.dispatchEvent(new Event("online"));
    live.actions.reconnect();
    expect(sockets).toHaveLength(before + 1);
    await pass(1000);
    live.actions.reconnect();
    expect(sockets).toHaveLength(before + 2);
  });

  it("ends for good with its signal", async () => {
    hello();
    snapshot(1);
    controller.abort();
    expect(socket().closed).toBe(true);
    await pass(100_000);
    globalThis.dispatchEvent(new Event("online"));
    document.dispatchEvent(new Event("visibilitychange"));
    expect(sockets).toHaveLength(1);
  });
});
