// What the views see of one build: the store, the connection, the shared selection and filter, and what can be asked
// of the other side. No view knows how the messages travel.

import type { Changes } from "./changes";
import { type NoticeLevel, Notices } from "./notices";
import type { Event, State } from "./protocol";
import { Store } from "./store";

/** The later ones are a server's: a page connects again by itself, a cell cannot. */
export type ConnectionState =
  | "connecting"
  | "live"
  | "busy"
  | "stale"
  | "static"
  | "disconnected"
  | "stopped"
  | "reconnecting"
  | "offline"
  | "gone"
  | "refused"
  | "missing";

/** What else there is to say of the connection. */
export interface Link {
  /** Who is on the other side. */
  peer: "kernel" | "server";
  /** Why it is as it is, and what to do; empty: what the state alone tells. */
  why: string;
  /** When it is tried again, ms since 1970 by this machine's clock; null: right now, or not at all. */
  retryAt: number | null;
  /** When what is shown was last known to be true, if it is no longer, ms since 1970. */
  trueAt: number | null;
}

/** What a face can ask of the other side of the connection. */
export interface Actions {
  select(ids: readonly string[]): void;
  filter(text: string): void;
  refresh(): void;
  /** Somebody is at work in a view. */
  touch(): void;
  /** Connect again now. */
  reconnect(): void;
}

export interface Meta {
  /** The watched directory, as a person would write it. */
  path: string;
  version: string;
}

export type Listener = (changes: Changes) => void;

/** Below this many ms after the last flush, changes wait for the next frame. */
const FRAME = 14;
/** A hidden page has no frames: then this many ms. */
const HIDDEN = 100;
/** For so long (ms) after something was typed or chosen here, what the other side says of it waits: it may be an echo of before. */
const TYPING = 1500;
const CHOOSING = 600;
/** That somebody is at work in a view is told this often (ms) at most. */
const TOUCH_EVERY = 10_000;

/** One build, live. */
export class Live {
  readonly store = new Store();
  connection: ConnectionState = "connecting";
  link: Link = { peer: "kernel", why: "", retryAt: null, trueAt: null };
  /** Kernel time minus browser time, ms. */
  clockOffset = 0;
  selected: ReadonlySet<string> = new Set();
  filter = "";
  /** The most height the scrolling body may take, px; 0: as the views think best. */
  height = 0;
  meta: Meta = { path: "", version: "" };
  actions: Actions = { select: () => {}, filter: () => {}, refresh: () => {}, touch: () => {}, reconnect: () => {} };
  /** What the kernel has to say besides the build. */
  readonly notices = new Notices();
  readonly #listeners = new Set<Listener>();
  #lastFlush = Number.NEGATIVE_INFINITY;
  #touchedAt = Number.NEGATIVE_INFINITY;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #filterEcho = new Echo<string>(TYPING, (text) => this.#adoptFilter(text));
  readonly #selectionEcho = new Echo<string[]>(CHOOSING, (ids) => this.#adoptSelection(new Set(ids)));

  /** The kernel's time, ms since 1970. */
  now(): number {
    return Date.now() + this.clockOffset;
  }

  subscribe(listener: Listener, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }

  apply(events: Iterable<Event>): void {
    for (const event of events) this.store.apply(event);
    this.changed();
  }

  adopt(state: State, epoch: string | null, seq: number): void {
    this.store.adopt(state, epoch, seq);
    this.changed();
  }

  setConnection(state: ConnectionState): void {
    if (state === this.connection) return;
    this.connection = state;
    this.store.changes.connection = true;
    this.changed();
  }

  setLink(link: Partial<Link>): void {
    const next = { ...this.link, ...link };
    const { peer, why, retryAt, trueAt } = this.link;
    if (next.peer === peer && next.why === why && next.retryAt === retryAt && next.trueAt === trueAt) return;
    this.link = next;
    this.store.changes.connection = true;
    this.changed();
  }

  setMeta(meta: Meta): void {
    this.meta = meta;
    this.store.changes.summary = true;
    this.changed();
  }

  setHeight(height: number): void {
    if (height === this.height) return;
    this.height = height;
    this.store.changes.layout = true;
    this.changed();
  }

  /** A choice made here: shown at once, then told. */
  select(ids: Iterable<string>): void {
    const next = new Set(ids);
    this.#selectionEcho.actedHere();
    if (this.#adoptSelection(next)) this.actions.select([...next]);
  }

  /** A choice made elsewhere. */
  selectionTold(ids: Iterable<string>): void {
    this.#selectionEcho.told([...ids]);
  }

  /** Text typed here: shown at once, then told. */
  setFilter(text: string): void {
    this.#filterEcho.actedHere();
    if (text === this.filter) return;
    this.#adoptFilter(text);
    this.actions.filter(text);
  }

  /** Text set elsewhere. While somebody types here, an echo of what was typed before must not undo it. */
  filterTold(text: string): void {
    this.#filterEcho.told(text);
  }

  /** Something the reader should know: shown in every view until somebody dismisses it. */
  notice(level: NoticeLevel, text: string): void {
    this.notices.add(level, text);
    this.store.changes.notices = true;
    this.changed();
  }

  dismiss(id: number): void {
    if (!this.notices.remove(id)) return;
    this.store.changes.notices = true;
    this.changed();
  }

  /** Somebody is at work in a view: told now and then, so that the kernel does not redraw the cell under their hands. */
  touched(): void {
    const now = performance.now();
    if (now - this.#touchedAt < TOUCH_EVERY) return;
    // Without a kernel that answers there is nobody to tell.
    if (this.connection !== "live" && this.connection !== "busy") return;
    this.#touchedAt = now;
    this.actions.touch();
  }

  /**
   * Tells the views, once per frame at most. The first change after a silence is painted by the very next frame: to
   * wait for a frame before touching the page would cost one more.
   */
  changed(): void {
    if (this.#frame !== 0 || this.#timer !== undefined) return;
    if (document.hidden) {
      this.#timer = setTimeout(() => this.flush(), HIDDEN);
    } else if (performance.now() - this.#lastFlush >= FRAME) {
      this.flush();
    } else {
      this.#frame = requestAnimationFrame(() => this.flush());
      // The page may be hidden before the frame comes.
      this.#timer = setTimeout(() => this.flush(), HIDDEN);
    }
  }

  /** Tells the views now. */
  flush(): void {
    if (this.#frame !== 0) cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = 0;
    this.#timer = undefined;
    const changes = this.store.takeChanges();
    for (const listener of [...this.#listeners]) {
      try {
        listener(changes);
      } catch (error) {
        reportError(error); // one broken view must not stop the others
      }
    }
    this.#lastFlush = performance.now();
  }

  /** Ends what is pending. */
  dispose(): void {
    if (this.#frame !== 0) cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = 0;
    this.#timer = undefined;
    this.#listeners.clear();
    this.#filterEcho.dispose();
    this.#selectionEcho.dispose();
  }

  #adoptSelection(next: ReadonlySet<string>): boolean {
    const same = next.size === this.selected.size && [...next].every((id) => this.selected.has(id));
    if (same) return false;
    this.selected = next;
    this.store.changes.selection = true;
    this.changed();
    return true;
  }

  #adoptFilter(text: string): void {
    if (text === this.filter) return;
    this.filter = text;
    this.store.changes.filter = true;
    this.changed();
  }
}

/** The other side's word on something that can be set here too: it waits while somebody is setting it here. */
class Echo<T> {
  readonly #quiet: number;
  readonly #adopt: (value: T) => void;
  #actedAt = Number.NEGATIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(quiet: number, adopt: (value: T) => void) {
    this.#quiet = quiet;
    this.#adopt = adopt;
  }

  actedHere(): void {
    this.#actedAt = performance.now();
    clearTimeout(this.#timer);
  }

  told(value: T): void {
    clearTimeout(this.#timer);
    const wait = this.#actedAt + this.#quiet - performance.now();
    if (wait <= 0) this.#adopt(value);
    else this.#timer = setTimeout(() => this.#adopt(value), wait);
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }
}
