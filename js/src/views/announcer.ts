// What a screen reader is told without asking: milestones only, politely, one after the other.

import type { Changes } from "../changes";
import { type Failure, failures } from "../failures";
import { percent, statusWord } from "../format";
import type { ConnectionState, Live } from "../live";
import { connectionWord } from "./connection-pill";
import type { View } from "./view";

const MARKS = [25, 50, 75, 100];
/** So that two milestones of one moment are heard as one sentence. */
const GATHER = 400;
/** States of the connection that change what the picture is worth. */
const TOLD: readonly ConnectionState[] = [
  "stale",
  "static",
  "disconnected",
  "stopped",
  "reconnecting",
  "offline",
  "gone",
  "refused",
  "missing",
];

export class Announcer implements View {
  readonly el = document.createElement("div");
  readonly #live: Live;
  #status: string;
  #mark: number;
  #errors: Set<string>;
  #connection: ConnectionState;
  #waiting: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #empty: boolean;

  constructor(live: Live, signal: AbortSignal) {
    this.#live = live;
    this.el.className = "bw-hidden bw-announcer";
    this.el.setAttribute("aria-live", "polite");
    this.el.setAttribute("role", "status");
    this.#status = live.store.session.status;
    this.#mark = markOf(live.store.progress.percent);
    this.#errors = new Set(told(failures(live.store)));
    this.#connection = live.connection;
    this.#empty = live.store.isEmpty;
    signal.addEventListener("abort", () => clearTimeout(this.#timer), { once: true });
  }

  update(changes: Changes): void {
    const { store, connection } = this.#live;
    // The first picture is no news.
    const quiet = this.#empty;
    this.#empty = store.isEmpty;
    if (changes.all || changes.summary) {
      const { status } = store.session;
      if (status !== this.#status && !quiet) this.say(`Build: ${statusWord(status)}`);
      this.#status = status;
      const mark = markOf(store.progress.percent);
      if (mark > this.#mark && !quiet) this.say(`${percent(store.progress.percent)} done`);
      this.#mark = mark;
    }
    if (changes.all || changes.errors) {
      const now = failures(store);
      // One that more items tell of now is not a new one.
      const fresh = now.filter((f) => told([f]).every((key) => !this.#errors.has(key)));
      const first = fresh[0]?.items[0];
      if (fresh.length === 1 && !quiet) this.say(`Error in ${first?.kind} ${first?.name}`);
      else if (fresh.length > 1 && !quiet) this.say(`${fresh.length} new errors`);
      this.#errors = new Set(told(now));
    }
    if (connection !== this.#connection) {
      if (TOLD.includes(connection)) this.say(connectionWord(this.#live));
      else if (TOLD.includes(this.#connection) && connection === "live") this.say("Live again");
      this.#connection = connection;
    }
  }

  say(text: string): void {
    this.#waiting.push(text);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.el.textContent = this.#waiting.join(". ");
      this.#waiting = [];
    }, GATHER);
  }
}

function markOf(value: number | null): number {
  return MARKS.filter((m) => value !== null && value >= m).length;
}

/** The items that tell of failures. */
function told(all: readonly Failure[]): string[] {
  return all.flatMap((failure) => failure.items.map((item) => item.key));
}
