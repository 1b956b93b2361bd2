import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { component, message } from "../src/dev/scenario";
import { Live } from "../src/live";
import type { Event } from "../src/protocol";
import { emptyState } from "../src/store";
import { CommTransport } from "../src/transport/comm";
import { judge, nextLook, type Seen } from "../src/transport/connection";
import widget from "../src/widget";
import { FakeModel } from "./fake-model";
import { until } from "./helpers";

const update = (seq: number, id = `c${seq}`): Event =>
  message("component_update", seq, component(id, { progress: seq }));
const envelope = (from: number, to: number, epoch = "E"): object => ({
  kind: "events",
  epoch,
  from,
  to,
  messages: Array.from({ length: to - from + 1 }, (_, i) => update(from + i)),
});
const buffer = (value: unknown): DataView => {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  // Some hosts hand out a window of a larger buffer.
  const padded = new Uint8Array(bytes.length + 14);
  padded.set(bytes, 7);
  return new DataView(padded.buffer, 7, bytes.length);
};

let controller: AbortController;
let live: Live;
let model: FakeModel;
let transport: CommTransport;

function start(state: Record<string, unknown> = {}): void {
  controller = new AbortController();
  live = new Live();
  model = new FakeModel(state);
  transport = new CommTransport(model, live, controller.signal);
  transport.start();
}

function welcome(epoch = "E", seq = 0): void {
  const id = model.asked("hello").at(-1)?.id;
  model.kernel({
    kind: "welcome",
    id,
    epoch,
    seq,
    protocol: 1,
    server: "t",
    heartbeat: 1,
    now: new Date().toISOString(),
  });
}

afterEach(() => {
  controller?.abort();
  live?.dispose();
  vi.useRealTimers();
});

describe("the log over a comm", () => {
  beforeEach(() => start());

  it("says hello and folds what comes", () => {
    expect(model.asked("hello")).toMatchObject([{ epoch: null, seq: 0 }]);
    welcome();
    model.kernel(envelope(1, 3));
    expect(live.store.components.size).toBe(3);
    expect(live.connection).toBe("live");
  });

  it("reads encoded envelopes and snapshots", () => {
    welcome();
    model.kernel({ kind: "events", epoch: "E", from: 1, to: 2, encoded: true }, [buffer([update(1), update(2)])]);
    expect(live.store.components.size).toBe(2);
    const state = { ...emptyState(), components: [component("x")] };
    model.kernel({ kind: "snapshot", epoch: "E", seq: 9, encoded: true }, [buffer(state)]);
    expect(live.store.seq).toBe(9);
    expect(live.store.components.size).toBe(1);
  });

  it("asks for what is missing and puts what came early behind it", () => {
    welcome();
    model.kernel(envelope(1, 2));
    model.kernel(envelope(5, 6));
    model.kernel(envelope(7, 7));
    expect(live.store.seq).toBe(2);
    expect(model.asked("replay")).toEqual([{ kind: "replay", epoch: "E", since: 2 }]);
    model.kernel(envelope(3, 4));
    expect(live.store.seq).toBe(7);
    expect(live.store.components.size).toBe(7);
  });

  it("takes twice-sent, overlapping and late envelopes as one", () => {
    welcome();
    model.kernel(envelope(1, 3));
    model.kernel(envelope(1, 3));
    model.kernel(envelope(2, 5));
    model.kernel(envelope(4, 4));
    expect(live.store.seq).toBe(5);
    expect(live.store.components.size).toBe(5);
    expect(model.asked("replay")).toEqual([]);
  });

  it("takes collapsed messages for what they are, not for holes", () => {
    welcome();
    model.kernel({ kind: "events", epoch: "E", from: 1, to: 9, messages: [update(4), update(7)] });
    expect(live.store.seq).toBe(9);
    model.kernel(envelope(10, 10));
    expect(live.store.seq).toBe(10);
    expect(model.asked("replay")).toEqual([]);
  });

  it("asks again while the hole is open, and a heartbeat tells of a loss at the end", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    start();
    welcome();
    model.kernel(envelope(1, 1));
    model.kernel({ kind: "heartbeat", epoch: "E", seq: 3, busy: false });
    expect(model.asked("replay")).toHaveLength(1);
    vi.advanceTimersByTime(1100);
    model.kernel({ kind: "heartbeat", epoch: "E", seq: 3, busy: false });
    expect(model.asked("replay")).toHaveLength(2);
    model.kernel(envelope(2, 3));
    model.kernel({ kind: "heartbeat", epoch: "E", seq: 3, busy: false });
    expect(model.asked("replay")).toHaveLength(2);
  });

  it("begins anew with a new epoch and never goes back to the old one", () => {
    welcome();
    model.kernel(envelope(1, 5));
    model.kernel(envelope(1, 2, "F"));
    expect(live.store).toMatchObject({ epoch: "F", seq: 2 });
    model.kernel(envelope(6, 6, "E"));
    model.kernel({ kind: "snapshot", epoch: "E", seq: 99, state: emptyState() });
    expect(live.store).toMatchObject({ epoch: "F", seq: 2 });
  });

  it("asks for a snapshot when it meets a new epoch in the middle", () => {
    welcome();
    model.kernel(envelope(1, 5));
    model.kernel(envelope(40, 41, "F"));
    expect(model.asked("replay")).toEqual([{ kind: "replay", epoch: "E", since: 5 }]);
    model.kernel({ kind: "snapshot", epoch: "F", seq: 41, state: emptyState() });
    expect(live.store).toMatchObject({ epoch: "F", seq: 41 });
  });

  it("is not moved by nonsense", () => {
    welcome();
    for (const bad of [
      null,
      3,
      [],
      {},
      { kind: "events" },
      { kind: "events", epoch: "E", from: 1, to: 1, messages: [{ type: "component_update" }] },
      { kind: "snapshot", epoch: "E", seq: 3, state: {} },
      { kind: "?" },
    ]) {
      model.kernel(bad);
    }
    model.kernel({ kind: "events", epoch: "E", from: 1, to: 1, encoded: true }, []);
    expect(live.store.seq).toBe(0);
    model.kernel(envelope(1, 1));
    expect(live.store.seq).toBe(1);
  });
});

describe("traits", () => {
  const snapshot = (epoch: string, seq: number): DataView =>
    buffer({ epoch, seq, state: { ...emptyState(), components: [component("saved")] } });

  it("shows the saved snapshot at once and says where it stands", () => {
    start({ _snapshot: snapshot("E", 12) });
    expect(live.store.components.size).toBe(1);
    expect(model.asked("hello")).toMatchObject([{ epoch: "E", seq: 12 }]);
  });

  it("adopts a newer snapshot, not an older one", () => {
    start({ _snapshot: snapshot("E", 12) });
    welcome();
    model.kernel(envelope(13, 15));
    model.set("_snapshot", snapshot("E", 14));
    expect(live.store.seq).toBe(15);
    model.set("_snapshot", snapshot("E", 20));
    expect(live.store).toMatchObject({ seq: 20 });
    expect(live.store.components.size).toBe(1);
  });

  it("closes a hole with a snapshot", () => {
    start();
    welcome();
    model.kernel(envelope(1, 1));
    model.kernel(envelope(5, 5));
    model.set("_snapshot", snapshot("E", 4));
    expect(live.store.seq).toBe(5);
  });

  it("tells choices and filters, and follows those of others", async () => {
    start({ selected: ["component:a"], filter: "auth" });
    expect([...live.selected]).toEqual(["component:a"]);
    expect(live.filter).toBe("auth");
    live.select(["component:b"]);
    live.setFilter("status:error");
    expect(model.asked("select")).toEqual([{ kind: "select", ids: ["component:b"] }]);
    expect(model.asked("filter")).toEqual([{ kind: "filter", text: "status:error" }]);
    // As traits too: marimo runs the cells that depend on them only then.
    expect(model.saved.at(0)).toEqual({ selected: ["component:b"], filter: "auth" });
    expect(model.saved.at(-1)).toEqual({ selected: ["component:b"], filter: "status:error" });
    // An echo of before does not undo what was just done here; the last word does arrive.
    model.kernel({ kind: "filter", text: "auth" });
    expect(live.filter).toBe("status:error");
    model.kernel({ kind: "selected", ids: ["component:a"] });
    expect([...live.selected]).toEqual(["component:b"]);
    await until("the kernel's word", () => live.selected.has("component:a"));
  });

  it("says whether a view is on show: with the first, and when the last is gone", () => {
    start();
    expect(model.asked("hello").at(-1)?.shown).toBe(true);
    const views = [new AbortController(), new AbortController()];
    model = new FakeModel();
    transport = new CommTransport(model, new Live(), controller.signal);
    for (const view of views) transport.start(view.signal);
    expect(model.asked("hello")).toHaveLength(1);
    views[0]?.abort();
    expect(model.asked("view")).toEqual([]);
    views[1]?.abort();
    expect(model.asked("view")).toEqual([{ kind: "view", shown: false }]);
    transport.start();
    expect(model.asked("view").at(-1)).toEqual({ kind: "view", shown: true });
  });

  it("takes the height", () => {
    start();
    model.set("height", 300);
    expect(live.height).toBe(300);
  });
});

describe("notices", () => {
  const notice = (text: unknown, level: unknown = "error"): void => model.kernel({ kind: "notice", level, text });
  const kept = (): unknown[] => live.notices.list().map((n) => [n.level, n.text, n.times]);
  beforeEach(() => start());

  it("counts what is said again, and keeps the three said last where they were", () => {
    for (const text of ["a", "b", "a", "c", "a"]) notice(text);
    expect(kept()).toEqual([
      ["error", "a", 3],
      ["error", "b", 1],
      ["error", "c", 1],
    ]);
    notice("d");
    expect(kept()).toEqual([
      ["error", "a", 3],
      ["error", "c", 1],
      ["error", "d", 1],
    ]);
    notice("d", "warning");
    expect(kept()).toEqual([
      ["error", "a", 3],
      ["error", "d", 1],
      ["warning", "d", 1],
    ]);
  });

  it("keeps no more than 1,000 characters, and none by half", () => {
    notice("x".repeat(1000));
    notice("y".repeat(5000));
    notice(`${"z".repeat(998)}${"😀".repeat(9)}`);
    expect(live.notices.list().map((n) => n.text)).toEqual([
      "x".repeat(1000),
      `${"y".repeat(999)}…`,
      `${"z".repeat(998)}…`,
    ]);
  });

  it("takes an unknown level for a warning, and nothing that is no text", () => {
    for (const bad of [null, 3, "", " \n", ["a"], { a: 1 }]) notice(bad);
    expect(kept()).toEqual([]);
    notice("a", "?");
    expect(kept()).toEqual([["warning", "a", 1]]);
  });
});

describe("the verdict on the connection", () => {
  const seen = (over: Partial<Seen> = {}): Seen => ({
    closed: false,
    dead: false,
    helloAt: 0,
    heardAt: null,
    busy: false,
    ...over,
  });

  it.each([
    ["connecting", seen(), 1999],
    ["static", seen(), 2000],
    ["connecting", seen({ heardAt: 100 }), 500],
    ["busy", seen({ heardAt: 900 }), 1000],
    ["live", seen({ helloAt: null, heardAt: 900 }), 1000],
    ["busy", seen({ helloAt: null, heardAt: 900, busy: true }), 1000],
    ["stale", seen({ helloAt: null, heardAt: 900 }), 3900],
    ["stale", seen({ heardAt: 900 }), 3900],
    ["disconnected", seen({ dead: true, heardAt: 900 }), 1000],
    ["stopped", seen({ closed: true, dead: true }), 1000],
  ] as const)("%s", (verdict, facts, now) => {
    expect(judge(facts, now)).toBe(verdict);
  });

  it("looks again exactly when time alone may change it", () => {
    expect(nextLook(seen(), 0)).toBe(2000);
    expect(nextLook(seen({ helloAt: null, heardAt: 500 }), 600)).toBe(2900);
    expect(nextLook(seen({ closed: true }), 0)).toBeNull();
  });

  it("goes from connecting to live to stale and back, by the clock", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    start();
    expect(live.connection).toBe("connecting");
    welcome();
    expect(live.connection).toBe("live");
    vi.advanceTimersByTime(2990);
    expect(live.connection).toBe("live");
    vi.advanceTimersByTime(20);
    expect(live.connection).toBe("stale");
    expect(model.asked("hello")).toHaveLength(2);
    welcome();
    expect(live.connection).toBe("live");
    model.kernel({ kind: "heartbeat", epoch: "E", seq: 0, busy: true });
    expect(live.connection).toBe("busy");
    model.kernel({ kind: "closed" });
    expect(live.connection).toBe("stopped");
    vi.advanceTimersByTime(60_000);
    expect(live.connection).toBe("stopped");
  });

  it("says hello again at 2, 5 and 10 s, then rests, and calls the picture static", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    start();
    const times: number[] = [0];
    for (let t = 100; t <= 60_000; t += 100) {
      const before = model.sent.length;
      vi.advanceTimersByTime(100);
      if (model.sent.length > before) times.push(t);
    }
    expect(times).toEqual([0, 2000, 5000, 10_000]);
    expect(live.connection).toBe("static");
    // A kernel that wakes up after all is heard, and asked again.
    model.kernel({ kind: "heartbeat", epoch: "E", seq: 0, busy: false });
    expect(model.asked("hello").length).toBeGreaterThan(4);
    welcome();
    expect(live.connection).toBe("live");
  });

  it("reads the kernel's clock", () => {
    start();
    const id = model.asked("hello")[0]?.id;
    model.kernel({ kind: "welcome", id, epoch: "E", seq: 0, now: new Date(Date.now() + 3_600_000).toISOString() });
    expect(Math.abs(live.clockOffset - 3_600_000)).toBeLessThan(1000);
  });
});

describe("the widget", () => {
  it("shows one store in two views, and everything ends with them", async () => {
    controller = new AbortController();
    live = new Live();
    model = new FakeModel();
    const end = widget.initialize({ model });
    const make = (): HTMLElement => document.body.appendChild(document.createElement("div"));
    const [a, b] = [make(), make()];
    const endA = widget.render({ model, el: a });
    const endB = widget.render({ model, el: b });
    expect(model.asked("hello")).toHaveLength(1);
    welcome();
    model.kernel(envelope(1, 2));
    await until("both views to show it", () =>
      [a, b].every((el) => el.querySelectorAll('[data-key^="component:"]').length === 2),
    );
    a.classList.add("jupyter-widgets-disconnected");
    await until("the verdict", () => b.querySelector('[data-connection="disconnected"]') !== null);
    endA();
    endB();
    expect(a.childElementCount + b.childElementCount).toBe(0);
    end();
    expect(model.listeners).toBe(0);
    a.remove();
    b.remove();
  });

  it("shows a notice in both views until one of them dismisses it", async () => {
    model = new FakeModel();
    const end = widget.initialize({ model });
    const views = [0, 1].map(() => document.body.appendChild(document.createElement("div")));
    const ends = views.map((el) => widget.render({ model, el }));
    welcome();
    for (let i = 0; i < 4; i++)
      model.kernel({ kind: "notice", level: "error", text: "A callback failed: KeyError: 1" });
    const shown = (): string[] =>
      views.map((el) => el.querySelector(".bw-notice")?.textContent?.replace(/\s+/g, " ").trim() ?? "");
    const line = "A callback failed: KeyError: 1 ×4 Dismiss";
    await until("the notice in both views", () => shown().every((text) => text === line));
    views[1]?.querySelector<HTMLElement>(".bw-notice button")?.click();
    await until("no notice in any view", () => shown().every((text) => text === ""));
    model.kernel({ kind: "notice", level: "error", text: "A callback failed: KeyError: 1" });
    await until("it is said anew", () => shown().every((text) => text === line.replace(" ×4", "")));
    for (const stop of [...ends, end]) stop();
    for (const el of views) el.remove();
  });

  it("tells of somebody at work in any view, every 10 s at most, and only a kernel that answers", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    model = new FakeModel();
    const end = widget.initialize({ model });
    const views = [0, 1].map(() => document.body.appendChild(document.createElement("div")));
    const ends = views.map((el) => widget.render({ model, el }));
    const root = (i: number): Element => views[i]?.querySelector(".bw-root") as Element;
    const touches = (): number => model.asked("touch").length;
    root(0).dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
    expect(touches()).toBe(0);
    welcome();
    document.body.dispatchEvent(new PointerEvent("pointermove", { bubbles: true }));
    expect(touches()).toBe(0);
    const beat = (): void => model.kernel({ kind: "heartbeat", epoch: "E", seq: 0, busy: false });
    // Half a minute of moving about in both, with the kernel's heart beating.
    for (let t = 0; t < 30_000; t += 500) {
      root((t / 500) % 2).dispatchEvent(new PointerEvent("pointermove", { bubbles: true }));
      vi.advanceTimersByTime(500);
      beat();
    }
    expect(model.asked("touch")).toEqual(Array(3).fill({ kind: "touch" }));
    for (const sign of [
      new KeyboardEvent("keydown", { key: "j" }),
      new WheelEvent("wheel"),
      new PointerEvent("pointerdown"),
    ]) {
      const before = touches();
      root(1).querySelector(".bw-header")?.dispatchEvent(sign);
      expect(touches()).toBe(before + 1);
      vi.advanceTimersByTime(10_000);
      beat();
    }
    for (const stop of [...ends, end]) stop();
    const before = touches();
    for (const el of views) {
      el.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
      el.remove();
    }
    expect(touches()).toBe(before);
  });
});
