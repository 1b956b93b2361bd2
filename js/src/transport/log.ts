// Puts envelopes of numbered messages together again. Knows nothing of how they travel.

import type { Live } from "../live";
import type { Event, State } from "../protocol";
import { emptyState } from "../store";

interface Envelope {
  from: number;
  to: number;
  messages: Event[];
}

/** Envelopes kept beyond a hole; a replay brings what is dropped. */
const KEPT = 256;

/** One log, as received: finds holes, drops what is known, notices a new epoch. */
export class LogReader {
  readonly #live: Live;
  readonly #replay: () => void;
  /** Envelopes beyond a hole, by `from`. */
  #ahead: Envelope[] = [];
  /** Epochs that were left behind: a late snapshot of one must not come back. */
  readonly #past = new Set<string>();

  /**
   * @param live where the state is.
   * @param replay asks for what is missing; called for every envelope beyond a hole.
   */
  constructor(live: Live, replay: () => void) {
    this.#live = live;
    this.#replay = replay;
  }

  /** Whether something is missing. */
  get hasHole(): boolean {
    return this.#ahead.length > 0;
  }

  events(epoch: string, envelope: Envelope): void {
    const { store } = this.#live;
    if (epoch !== store.epoch) {
      if (this.#past.has(epoch)) return;
      if (envelope.from !== 1) {
        this.#replay(); // the epoch we hold is not the server's, so it answers with a snapshot
        return;
      }
      this.#leave();
      store.adopt(emptyState(), epoch, 0);
    }
    if (envelope.from > store.seq + 1) {
      this.#keep(envelope);
      this.#replay();
      return;
    }
    this.#fold(envelope);
    this.#drain();
    this.#live.changed();
  }

  /** Adopts a snapshot unless it is older than what is held. */
  snapshot(epoch: string, seq: number, state: State): void {
    const { store } = this.#live;
    if (this.#past.has(epoch)) return;
    if (epoch === store.epoch && seq < store.seq) return;
    if (epoch !== store.epoch) this.#leave();
    this.#live.store.adopt(state, epoch, seq);
    this.#ahead = this.#ahead.filter((e) => e.to > seq);
    this.#drain();
    this.#live.changed();
  }

  /** Whether a snapshot of this epoch and seq would be news. */
  wants(epoch: string, seq: number): boolean {
    const { store } = this.#live;
    if (this.#past.has(epoch)) return false;
    return epoch !== store.epoch || seq > store.seq;
  }

  /** The other side says how far its log goes. */
  newest(epoch: string, seq: number): void {
    const { store } = this.#live;
    if (this.#past.has(epoch)) return;
    if (epoch !== store.epoch || seq > store.seq) this.#replay();
  }

  #fold(envelope: Envelope): void {
    const { store } = this.#live;
    for (const message of envelope.messages) store.apply(message);
    // Collapsing may have dropped the last ones: the envelope still covers them.
    if (envelope.to > store.seq) store.seq = envelope.to;
  }

  #drain(): void {
    const { store } = this.#live;
    while (this.#ahead.length > 0) {
      const next = this.#ahead[0] as Envelope;
      if (next.from > store.seq + 1) return;
      this.#ahead.shift();
      if (next.to > store.seq) this.#fold(next);
    }
  }

  #keep(envelope: Envelope): void {
    if (this.#ahead.some((e) => e.from === envelope.from && e.to === envelope.to)) return;
    this.#ahead.push(envelope);
    this.#ahead.sort((a, b) => a.from - b.from);
    if (this.#ahead.length > KEPT) this.#ahead.length = KEPT;
  }

  #leave(): void {
    const { epoch } = this.#live.store;
    if (epoch !== null) this.#past.add(epoch);
    this.#ahead = [];
  }
}
