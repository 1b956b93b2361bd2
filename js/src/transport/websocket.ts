// The WebSocket of a server: resume after a loss, jittered backoff, and a true verdict on the connection.

import { isObject } from "../kinds";
import type { ConnectionState, Live } from "../live";
import { parseMs } from "../order";
import { parseJson, readStreamMessage, type StreamMessage } from "./messages";

/** As much of a WebSocket as we use. */
export type Socket = Pick<WebSocket, "close" | "send" | "readyState"> & {
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
};

export interface StreamOptions {
  /** Where the page is; the addresses of the server are relative to it, so that a path prefix does no harm. */
  base: string;
  sessionId: string;
  /** Ends the connection for good. */
  signal?: AbortSignal;
  /** What makes sockets, asks why one failed, and brings chance: other ones for tests. */
  socket?: (url: string) => Socket;
  ask?: (url: string, signal: AbortSignal) => Promise<Response>;
  random?: () => number;
}

const SECOND = 1000;
/** The waits between two attempts: up to the first, doubled each time, at most the last, ms. */
const FIRST_WAIT = 250;
const LONGEST_WAIT = 15 * SECOND;
/** A connection that lasted so long (ms) was a good one: the next loss begins at the shortest wait. */
const STABLE = 5 * SECOND;
/** From the first byte to the server's first message, ms. */
const GREETING = 10 * SECOND;
/** So many heartbeats of silence mean that nobody is there. */
const MISSED = 2.5;
/** What a heartbeat (s) may be. */
const HEARTBEAT: readonly [least: number, most: number] = [1, 120];
/** A ping is answered within this, ms. */
const PONG = 5 * SECOND;
/** Silence (ms) after which somebody who comes back to the page makes sure that the connection lives. */
const DOUBT = 2 * SECOND;
/** The whole state is asked for at most this often, ms. */
const ASK_AGAIN = 5 * SECOND;
/** Whoever asks for an attempt now, a person or the system, gets one this often (ms) at most. */
const AT_ONCE_AGAIN = SECOND;
/** A server that knows no such session, or refuses, is asked again after at least this, ms. */
const MISSING_WAIT = 10 * SECOND;
const REFUSED_WAIT = 60 * SECOND;
const FULL_WAIT = 3 * SECOND;

/** Close codes of the protocol. */
const GOING_AWAY = 1001;
const POLICY = 1008;
const TOO_BIG = 1009;
const RESTART = 1012;
const TRY_LATER = 1013;
const NO_SESSION = 4404;

/** The address of a stream, as seen from the page: `since` an epoch and a number, or with a snapshot. */
export function streamUrl(base: string, sessionId: string, since: { epoch: string; seq: number } | null): string {
  const url = new URL(`api/build/stream/${encodeURIComponent(sessionId)}`, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search =
    since === null ? "snapshot=1" : String(new URLSearchParams({ epoch: since.epoch, since: `${since.seq}` }));
  url.hash = "";
  return url.href;
}

/** How long (ms) to wait before an attempt, the first being 0: anything up to a bound that doubles ('full jitter'). */
export function backoff(attempt: number, random: () => number): number {
  return random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(attempt, 16));
}

/** What became of an attempt, and the least wait (ms) before the next. */
export interface Verdict {
  state: ConnectionState;
  why: string;
  least: number;
}

export class WebSocketTransport {
  readonly #live: Live;
  readonly #options: StreamOptions;
  readonly #random: () => number;
  /** Ends with this transport. */
  readonly #life = new AbortController();
  #socket: Socket | null = null;
  /** The server has said who it is. */
  #greeted = false;
  #greetedAt = 0;
  /** The server is about to send the whole state: until then numbered messages are of another one. */
  #awaiting = true;
  /** Where to go on cannot be trusted: ask for a snapshot. */
  #afresh = false;
  #attempt = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  #heardAt = 0;
  #pingAt: number | null = null;
  #pings = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Our number at the last heartbeat, if that told another one. */
  #differs: number | null = null;
  #heartbeat = 15 * SECOND;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;
  #askTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(live: Live, options: StreamOptions) {
    this.#live = live;
    this.#options = options;
    this.#random = options.random ?? Math.random;
    live.setLink({ peer: "server", why: "", retryAt: null, trueAt: null });
    // Selection and filter are this page's own: nobody is told.
    live.actions = {
      select: () => {},
      filter: () => {},
      touch: () => {},
      refresh: () => this.#ask(),
      reconnect: () => this.#atOnce(),
    };
    const { signal } = this.#life;
    options.signal?.addEventListener("abort", () => this.dispose(), { once: true, signal });
    globalThis.addEventListener("online", () => this.#atOnce(), { signal });
    globalThis.addEventListener("offline", () => this.#makeSure(), { signal });
    globalThis.addEventListener("pageshow", (e) => e.persisted && this.#atOnce(), { signal });
    document.addEventListener("visibilitychange", () => !document.hidden && this.#back(), { signal });
    if (options.signal?.aborted) this.dispose();
  }

  start(): void {
    if (this.#socket === null && this.#retryTimer === undefined) this.#connect();
  }

  dispose(): void {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#drop();
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#askTimer);
  }

  // -- coming and going ------------------------------------------------------------------------------------------

  #connect(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    if (this.#life.signal.aborted) return;
    this.#drop();
    const { epoch, seq } = this.#live.store;
    const since = epoch === null || this.#afresh ? null : { epoch, seq };
    const url = streamUrl(this.#options.base, this.#options.sessionId, since);
    this.#triedAt = this.#heardAt = Date.now();
    this.#greeted = false;
    this.#awaiting = true;
    this.#pingAt = null;
    this.#differs = null;
    this.#live.setLink({ retryAt: null });
    let socket: Socket;
    try {
      socket = this.#options.socket?.(url) ?? new WebSocket(url);
    } catch (error) {
      this.#again({ state: "refused", why: `The browser does not connect: ${String(error)}`, least: REFUSED_WAIT });
      return;
    }
    this.#socket = socket;
    const mine = (): boolean => socket === this.#socket;
    socket.onmessage = (event) => {
      if (mine()) this.#receive(event.data);
    };
    socket.onclose = (event) => {
      if (mine()) this.#closed(event.code, event.reason);
    };
    this.#watch();
  }

  /** Lets go of the socket: whatever it still says is not heard. */
  #drop(): void {
    clearTimeout(this.#watchTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    try {
      socket.close();
    } catch {
      // It was closed already.
    }
  }

  /** From now on the picture grows old. */
  #lost(trueAt: number): void {
    if (this.#live.connection === "live") this.#live.setLink({ trueAt });
    this.#greeted = false;
    this.#drop();
  }

  #closed(code: number, reason: string): void {
    const greeted = this.#greeted;
    this.#lost(Date.now());
    if (greeted && Date.now() - this.#greetedAt >= STABLE) this.#attempt = 0;
    const said = reason === "" ? "" : ` It says: ${reason}.`;
    switch (code) {
      case NO_SESSION:
        this.#again({
          state: "missing",
          why: `The server knows no session '${this.#options.sessionId}'. It may appear later, or the address is wrong.`,
          least: MISSING_WAIT,
        });
        break;
      case POLICY:
        this.#again({ state: "refused", why: `The server ended the connection.${said}`, least: REFUSED_WAIT });
        break;
      case TOO_BIG:
        this.#again({ state: "reconnecting", why: "A message was too big for the server.", least: FULL_WAIT });
        break;
      case TRY_LATER:
        this.#again({ state: "reconnecting", why: `The server has too much to do.${said}`, least: FULL_WAIT });
        break;
      case GOING_AWAY:
      case RESTART:
        this.#again({ state: "gone", why: "The server is going away, or starts again.", least: FIRST_WAIT });
        break;
      default:
        if (greeted) this.#again({ state: "reconnecting", why: "The connection was lost.", least: 0 });
        else void this.#askWhy();
    }
  }

  /** Says how things stand, and tries again after a while. */
  #again({ state, why, least }: Verdict): void {
    if (this.#life.signal.aborted) return;
    const wait = least + backoff(this.#attempt, this.#random);
    this.#attempt += 1;
    const offline = !navigator.onLine && !isLocal(this.#options.base);
    const unreachable = state === "gone" || state === "reconnecting";
    this.#live.setLink({ why, retryAt: Date.now() + wait });
    this.#live.setConnection(offline && unreachable ? "offline" : state);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#connect(), wait);
  }

  /** A browser does not tell why a WebSocket could not be opened; plain HTTP does. */
  async #askWhy(): Promise<void> {
    const tried = this.#triedAt;
    // Who asks for an attempt meanwhile gets it: the timer stands for 'waiting'.
    this.#retryTimer = setTimeout(() => this.#connect(), GREETING);
    const url = new URL("api/build/sessions", this.#options.base).href;
    const ask = this.#options.ask ?? askOverHttp;
    const verdict = await ask(url, AbortSignal.any([this.#life.signal, AbortSignal.timeout(PONG)])).then(
      judge,
      () => NO_ANSWER,
    );
    if (tried === this.#triedAt && this.#socket === null) this.#again(verdict);
  }

  /** Somebody wants it now. */
  #atOnce(): void {
    if (this.#socket !== null) this.#makeSure();
    else if (Date.now() - this.#triedAt >= AT_ONCE_AGAIN) this.#connect();
  }

  /** Somebody looks at the page again: while it was hidden, timers were slow. */
  #back(): void {
    if (this.#socket !== null) this.#makeSure();
    else if (Date.now() >= (this.#live.link.retryAt ?? Number.POSITIVE_INFINITY)) this.#connect();
    else if (this.#live.connection !== "refused" && this.#live.connection !== "missing") this.#atOnce();
  }

  /** Asks for a sign of life, if there was none just now. */
  #makeSure(): void {
    if (!this.#greeted || this.#pingAt !== null || Date.now() - this.#heardAt < DOUBT) return;
    this.#pingAt = Date.now();
    this.#pings += 1;
    this.#send({ type: "ping", id: this.#pings });
    this.#watch();
  }

  /** When silence alone tells that nobody is there, ms since 1970. */
  #deadline(): number {
    const silence = this.#greeted ? MISSED * this.#heartbeat : GREETING;
    return Math.min(this.#heardAt + silence, (this.#pingAt ?? Number.POSITIVE_INFINITY) + PONG);
  }

  /** One timer that looks again when it fires: one per message would cost more than the message. */
  #watch(): void {
    clearTimeout(this.#watchTimer);
    if (this.#socket === null) return;
    this.#watchTimer = setTimeout(
      () => {
        const late = Date.now() - this.#deadline();
        if (late < 0) this.#watch();
        // The machine slept, or the page did: what was sent meanwhile may lie here unread.
        else if (late > PONG && this.#greeted && this.#pingAt === null) this.#makeSure();
        else this.#silent();
      },
      Math.max(0, this.#deadline() - Date.now()),
    );
  }

  #silent(): void {
    const greeted = this.#greeted;
    this.#lost(this.#heardAt);
    if (!greeted) {
      void this.#askWhy();
      return;
    }
    this.#attempt = 0;
    this.#again({ state: "stale", why: "Nothing was heard from the server for too long.", least: 0 });
  }

  // -- what comes ------------------------------------------------------------------------------------------------

  #receive(data: unknown): void {
    this.#heardAt = Date.now();
    this.#pingAt = null;
    const message = typeof data === "string" ? readStreamMessage(parseJson(data)) : undefined;
    try {
      if (message === undefined) this.#odd();
      else if (message !== null) this.#take(message);
    } catch {
      this.#odd();
    }
    if (message?.type === "connection") this.#watch();
  }

  #take(message: StreamMessage): void {
    const live = this.#live;
    const { store } = live;
    switch (message.type) {
      case "connection":
        this.#greet(message);
        break;
      case "snapshot":
        this.#adopt(message);
        break;
      case "status":
        // It may be ahead of messages that are on their way. They count as known then, and are: the state holds all that a
        // page shows of them, the newest lines of output too.
        if (message.epoch !== store.epoch || message.seq >= store.seq || this.#afresh) this.#adopt(message);
        break;
      case "gap":
        this.#awaiting = true;
        break;
      case "heartbeat":
        this.#clock(message.at);
        this.#compare(message.seq);
        break;
      case "pong":
        this.#clock(message.at);
        break;
      case "complaint":
        live.notice("warning", `The server did not take a message of this page: ${message.text}`);
        break;
      case "event":
        // Of what is dropped for a newer state of the same item, the numbers are missing: only a gap is a loss.
        if (!this.#awaiting && message.event.seq !== null && message.event.seq > store.seq) live.apply([message.event]);
        break;
    }
  }

  #greet(message: StreamMessage & { type: "connection" }): void {
    const live = this.#live;
    this.#greeted = true;
    this.#greetedAt = Date.now();
    const [least, most] = HEARTBEAT;
    const beat = Number.isFinite(message.heartbeat) ? message.heartbeat : 15;
    this.#heartbeat = SECOND * Math.min(most, Math.max(least, beat));
    this.#clock(message.at);
    live.setMeta({ ...live.meta, version: message.server });
    if (!message.resumed) return;
    if (message.epoch === live.store.epoch && !this.#afresh) {
      this.#awaiting = false;
      this.#settled();
    } else {
      // It goes on with a log that we do not hold.
      this.#ask();
    }
  }

  #adopt(message: StreamMessage & { type: "snapshot" | "status" }): void {
    this.#live.adopt(message.state, message.epoch, message.seq);
    this.#awaiting = false;
    this.#afresh = false;
    if (this.#greeted) this.#settled();
  }

  /** What is shown is the present state. */
  #settled(): void {
    this.#live.setLink({ why: "", retryAt: null, trueAt: null });
    this.#live.setConnection("live");
  }

  /** A message that cannot be believed. What it said is lost, so the whole is asked for. */
  #odd(): void {
    this.#live.notice("warning", "The server sent something that this page does not understand; it was left out.");
    // An adopted half of something is not what anybody wants.
    this.#afresh = true;
    this.#ask();
  }

  /**
   * Heartbeats come when all was sent: to be behind two of them means that something was lost. To be ahead of two means
   * that our number is not of this log, and all that comes up to it would pass for known.
   */
  #compare(seq: number): void {
    const { store } = this.#live;
    if (!this.#awaiting && seq === store.seq) {
      this.#differs = null;
      return;
    }
    if (this.#differs === store.seq) {
      if (seq < store.seq) this.#afresh = true;
      this.#ask();
    }
    this.#differs = store.seq;
  }

  #clock(at: unknown): void {
    const server = typeof at === "string" ? parseMs(at) : null;
    if (server === null) return;
    const offset = server - Date.now();
    if (Math.abs(offset - this.#live.clockOffset) < 100) return;
    this.#live.clockOffset = offset;
    this.#live.store.changes.connection = true;
    this.#live.changed();
  }

  // -- what goes -------------------------------------------------------------------------------------------------

  /** Asks for the whole present state: now, or when it may be asked for again. */
  #ask(): void {
    if (this.#askTimer !== undefined || this.#life.signal.aborted) return;
    const wait = this.#askedAt + ASK_AGAIN - Date.now();
    if (wait > 0) {
      this.#askTimer = setTimeout(() => {
        this.#askTimer = undefined;
        this.#ask();
      }, wait);
      return;
    }
    this.#askedAt = Date.now();
    this.#send({ type: "request_status" });
  }

  #send(message: Record<string, unknown>): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    try {
      this.#socket.send(JSON.stringify(message));
    } catch {
      // The end of the socket is told by its own event.
    }
  }
}

/** Whether the server is on this very machine: then being offline is no reason not to reach it. */
function isLocal(base: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\]|.*\.localhost)$/.test(new URL(base).hostname);
}

/** Asks for something small that every server has. */
export function askOverHttp(url: string, signal: AbortSignal): Promise<Response> {
  return fetch(url, { cache: "no-store", redirect: "manual", headers: { accept: "application/json" }, signal });
}

export const NO_ANSWER: Verdict = {
  state: "gone",
  why: "The server does not answer. It may have been stopped.",
  least: 0,
};

/** Why a WebSocket does not open, by how plain HTTP is answered. */
async function judge(response: Response): Promise<Verdict> {
  const body: unknown = await response.json().catch(() => undefined);
  return (
    judgeAnswer(response, body) ?? {
      state: "reconnecting",
      why: "The server answers, but its WebSocket does not get through: a proxy in between may not pass it on.",
      least: 0,
    }
  );
}

/** What is wrong with the answer to a request for the list of sessions; null: nothing. */
export function judgeAnswer(response: Response, body: unknown): Verdict | null {
  const refused = (why: string): Verdict => ({ state: "refused", why, least: REFUSED_WAIT });
  const message = isObject(body) && typeof body.message === "string" ? ` It says: ${body.message}.` : "";
  if (response.type === "opaqueredirect") return refused("The address leads elsewhere now, to a login perhaps.");
  if (response.status === 401) {
    return refused(`The server does not let you in: open the page with its token again (…/?token=TOKEN).${message}`);
  }
  if (response.status === 403) return refused(`The server does not let this page in.${message}`);
  if (response.status >= 500) {
    return { state: "gone", why: `The server cannot be reached (HTTP ${response.status}).`, least: 0 };
  }
  if (!isObject(body) || !Array.isArray(body.sessions)) {
    return { state: "gone", why: "Something else answers at this address.", least: FULL_WAIT };
  }
  return null;
}
