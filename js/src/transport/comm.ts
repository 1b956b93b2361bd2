// The comm of a Jupyter widget: hello, replay, snapshot trait, and a true verdict on the connection.

import { isState } from "../guards";
import { isObject } from "../kinds";
import type { Live } from "../live";
import { parseMs } from "../order";
import { judge, nextLook, type Seen } from "./connection";
import { LogReader } from "./log";
import type { KernelMessage } from "./messages";
import { isStrings, parseJson, readKernelMessage, textOf } from "./messages";

/** As much of anywidget's model as we use. */
export interface WidgetModel {
  get(name: string): unknown;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name?: string | null, callback?: ((...args: never[]) => void) | null): void;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
}

/** When a hello that nobody answers is said again, ms after the first. */
const HELLO_AGAIN = [2000, 5000, 10000];
/** While the connection is stale: every so often, ms. */
const STALE_HELLO = 10000;
/** A replay is asked for again after this long, ms. */
const REPLAY_AGAIN = [1000, 2000, 5000];

export class CommTransport {
  readonly #model: WidgetModel;
  readonly #live: Live;
  readonly #log: LogReader;
  readonly #seen: Seen = { closed: false, dead: false, helloAt: null, heardAt: null, busy: false };
  #helloId: string | null = null;
  #helloSentAt = 0;
  #hellos = 0;
  /** How many views are on show. The kernel keeps what somebody sees. */
  #views = 0;
  #replayAt = Number.NEGATIVE_INFINITY;
  #replays = 0;
  #ticket = 0;
  #lookTimer: ReturnType<typeof setTimeout> | undefined;
  #helloTimer: ReturnType<typeof setTimeout> | undefined;
  #replayTimer: ReturnType<typeof setTimeout> | undefined;
  #disposed = false;

  constructor(model: WidgetModel, live: Live, signal?: AbortSignal) {
    this.#model = model;
    this.#live = live;
    this.#log = new LogReader(live, () => this.#askReplay());
    live.actions = {
      select: (ids) => {
        this.#send({ kind: "select", ids: [...ids] });
        this.#save("selected", [...ids]);
      },
      filter: (text) => {
        this.#send({ kind: "filter", text });
        this.#save("filter", text);
      },
      refresh: () => this.#send({ kind: "refresh" }),
      touch: () => this.#send({ kind: "touch" }),
      reconnect: () => this.#helloAfresh(),
    };
    const listen = (name: string, callback: (...args: never[]) => void): void => {
      model.on(name, callback);
      signal?.addEventListener("abort", () => model.off(name, callback), { once: true });
    };
    listen("msg:custom", (content: unknown, buffers: unknown) =>
      this.#receive(content, Array.isArray(buffers) ? buffers : []),
    );
    listen("change:_snapshot", () => this.#readSnapshot());
    listen("change:selected", () => this.#readSelected());
    listen("change:filter", () => this.#readFilter());
    listen("change:height", () => this.#readHeight());
    listen("change:_meta", () => this.#readMeta());
    signal?.addEventListener("abort", () => this.dispose(), { once: true });
    this.#readMeta();
    this.#readHeight();
    this.#readSelected();
    this.#readFilter();
    this.#readSnapshot();
  }

  /** A view is there until the signal says otherwise: say hello, unless that was done. */
  start(signal?: AbortSignal): void {
    this.#views += 1;
    signal?.addEventListener(
      "abort",
      () => {
        this.#views -= 1;
        if (this.#views === 0) this.#send({ kind: "view", shown: false });
      },
      { once: true },
    );
    if (this.#hellos === 0) this.#hello();
    else if (this.#views === 1) this.#send({ kind: "view", shown: true });
  }

  /** The host says whether the comm still has a kernel behind it. */
  setDead(dead: boolean): void {
    if (this.#seen.dead === dead) return;
    this.#seen.dead = dead;
    if (!dead) this.#helloAfresh();
    this.#look();
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#lookTimer);
    clearTimeout(this.#helloTimer);
    clearTimeout(this.#replayTimer);
  }

  // -- what comes ------------------------------------------------------------------------------------------------

  #receive(content: unknown, buffers: readonly unknown[]): void {
    const message = readKernelMessage(content, buffers);
    if (message === null || this.#disposed) return;
    this.#heard(message.kind !== "heartbeat" ? undefined : message.busy);
    this.#take(message);
    this.#look();
  }

  #take(message: KernelMessage): void {
    const live = this.#live;
    switch (message.kind) {
      case "welcome": {
        this.#welcomed(message.id, message.now);
        break;
      }
      case "events":
        this.#log.events(message.epoch, message);
        this.#holeClosed();
        break;
      case "snapshot":
        this.#log.snapshot(message.epoch, message.seq, message.state);
        this.#holeClosed();
        break;
      case "heartbeat":
        this.#log.newest(message.epoch, message.seq);
        break;
      case "selected":
        live.selectionTold(message.ids);
        break;
      case "filter":
        live.filterTold(message.text);
        break;
      case "notice":
        live.notice(message.level, message.text);
        break;
      case "closed":
        this.#seen.closed = true;
        clearTimeout(this.#helloTimer);
        clearTimeout(this.#replayTimer);
        break;
      default:
        break;
    }
  }

  #heard(busy: boolean | undefined): void {
    const now = performance.now();
    const wasStale = this.#seen.heardAt === null || now - this.#seen.heardAt > STALE_HELLO;
    this.#seen.heardAt = now;
    this.#seen.closed = false;
    if (busy !== undefined) this.#seen.busy = busy;
    // Somebody is there (again) who may not know of us.
    if (wasStale && this.#helloId !== null && this.#hellos > HELLO_AGAIN.length) this.#helloAfresh();
  }

  #welcomed(id: string, now: string | null): void {
    if (id !== this.#helloId) return;
    this.#helloId = null;
    this.#seen.helloAt = null;
    this.#seen.busy = false;
    clearTimeout(this.#helloTimer);
    const kernel = parseMs(now);
    if (kernel === null) return;
    // Half of the round trip lies between the kernel's reading of its clock and now.
    const half = (performance.now() - this.#helloSentAt) / 2;
    // An answer that came late (a busy kernel) tells less about the clock than a second's difference.
    if (half < 500) this.#live.clockOffset = kernel + half - Date.now();
    this.#live.store.changes.connection = true;
    this.#live.changed();
  }

  // -- what goes -------------------------------------------------------------------------------------------------

  #send(content: Record<string, unknown>): void {
    if (this.#disposed || this.#seen.dead || this.#seen.closed) return;
    try {
      this.#model.send(content);
    } catch {
      // A comm that is gone throws; the verdict on the connection tells the reader.
    }
  }

  /** The trait too: it is what a host that runs dependent cells again (marimo) looks at. A message comes sooner. */
  #save(name: string, value: unknown): void {
    if (this.#disposed || this.#seen.dead || this.#seen.closed) return;
    try {
      this.#model.set(name, value);
      this.#model.save_changes();
    } catch {
      // As above.
    }
  }

  #hello(): void {
    const now = performance.now();
    this.#ticket += 1;
    this.#helloId = `${Math.random().toString(36).slice(2)}-${this.#ticket}`;
    this.#helloSentAt = now;
    this.#seen.helloAt ??= now;
    const { epoch, seq } = this.#live.store;
    this.#send({ kind: "hello", id: this.#helloId, epoch, seq, shown: this.#views > 0 });
    this.#hellos += 1;
    clearTimeout(this.#helloTimer);
    const next = HELLO_AGAIN[this.#hellos - 1];
    const before = HELLO_AGAIN[this.#hellos - 2] ?? 0;
    if (next !== undefined) this.#helloTimer = setTimeout(() => this.#hello(), next - before);
    else if (this.#seen.heardAt !== null && now - this.#seen.heardAt < STALE_HELLO) {
      this.#helloTimer = setTimeout(() => this.#hello(), STALE_HELLO);
    }
    this.#look();
  }

  #helloAfresh(): void {
    this.#hellos = 0;
    this.#hello();
  }

  #askReplay(): void {
    const now = performance.now();
    const wait = REPLAY_AGAIN[Math.min(this.#replays, REPLAY_AGAIN.length) - 1] ?? 0;
    if (now - this.#replayAt < wait) return;
    this.#replayAt = now;
    this.#replays += 1;
    const { epoch, seq } = this.#live.store;
    if (epoch === null) this.#helloAfresh();
    else this.#send({ kind: "replay", epoch, since: seq });
    clearTimeout(this.#replayTimer);
    const again = REPLAY_AGAIN[Math.min(this.#replays, REPLAY_AGAIN.length) - 1] as number;
    this.#replayTimer = setTimeout(() => {
      if (this.#log.hasHole) this.#askReplay();
    }, again + 1);
  }

  #holeClosed(): void {
    if (this.#log.hasHole) return;
    this.#replays = 0;
    this.#replayAt = Number.NEGATIVE_INFINITY;
    clearTimeout(this.#replayTimer);
  }

  /** Judges the connection anew, and once more when time alone may change the verdict. */
  #look(): void {
    if (this.#disposed) return;
    const now = performance.now();
    const verdict = judge(this.#seen, now);
    if (verdict === "stale" && this.#live.connection !== "stale" && this.#helloId === null) this.#helloAfresh();
    this.#live.setConnection(verdict);
    clearTimeout(this.#lookTimer);
    const wait = nextLook(this.#seen, now);
    if (wait !== null) this.#lookTimer = setTimeout(() => this.#look(), wait + 1);
  }

  // -- traits ----------------------------------------------------------------------------------------------------

  #readSnapshot(): void {
    const text = textOf(this.#model.get("_snapshot"));
    if (!text) return;
    // The head tells whether the rest is worth parsing.
    const head = /^\s*\{\s*"epoch"\s*:\s*"([^"\\]*)"\s*,\s*"seq"\s*:\s*(\d+)\s*[,}]/.exec(text.slice(0, 400));
    if (head && !this.#log.wants(head[1] as string, Number(head[2]))) return;
    const value = parseJson(text);
    if (!isObject(value) || typeof value.epoch !== "string" || typeof value.seq !== "number") return;
    if (!isState(value.state) || !this.#log.wants(value.epoch, value.seq)) return;
    this.#log.snapshot(value.epoch, value.seq, value.state);
    this.#holeClosed();
  }

  #readSelected(): void {
    const ids = this.#model.get("selected");
    if (isStrings(ids)) this.#live.selectionTold(ids);
  }

  #readFilter(): void {
    const text = this.#model.get("filter");
    if (typeof text === "string") this.#live.filterTold(text);
  }

  #readHeight(): void {
    const height = this.#model.get("height");
    if (typeof height === "number" && height >= 0) this.#live.setHeight(height);
  }

  #readMeta(): void {
    const meta = this.#model.get("_meta");
    if (!isObject(meta)) return;
    const text = (v: unknown): string => (typeof v === "string" ? v : "");
    this.#live.setMeta({ path: text(meta.path), version: text(meta.version) });
  }
}
