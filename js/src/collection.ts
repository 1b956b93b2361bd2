import { compareCodePoints } from "./order";
import type { Status } from "./protocol";

interface Item {
  status: Status;
  error?: string | null;
}

/** Items by id. An update costs O(1); the sorted list is made when somebody asks and kept until an item comes or goes. */
export class Collection<T extends Item> {
  readonly #idOf: (item: T) => string;
  readonly #items = new Map<string, T>();
  readonly #failed = new Set<string>();
  readonly #tally = new Map<Status, number>();
  #ids: string[] = [];
  #sorted = true;

  constructor(idOf: (item: T) => string, items: readonly T[] = []) {
    this.#idOf = idOf;
    for (const item of items) this.set(item);
  }

  get size(): number {
    return this.#items.size;
  }

  get(id: string): T | undefined {
    return this.#items.get(id);
  }

  /** Puts an item in; returns the one it replaces. */
  set(item: T): T | undefined {
    const id = this.#idOf(item);
    const old = this.#items.get(id);
    this.#items.set(id, item);
    if (old === undefined) {
      const last = this.#ids[this.#ids.length - 1];
      if (last !== undefined && compareCodePoints(last, id) > 0) this.#sorted = false;
      this.#ids.push(id);
    } else {
      this.#count(old.status, -1);
    }
    this.#count(item.status, 1);
    if (item.status === "error") this.#failed.add(id);
    else this.#failed.delete(id);
    return old;
  }

  delete(id: string): T | undefined {
    const old = this.#items.get(id);
    if (old === undefined) return undefined;
    this.#items.delete(id);
    this.#failed.delete(id);
    this.#count(old.status, -1);
    // A Map keeps its own order, so the list of ids is made again from it when next needed.
    this.#ids = [];
    this.#sorted = false;
    return old;
  }

  /** The ids in code point order. Valid until the next change. */
  ids(): readonly string[] {
    if (!this.#sorted) {
      this.#ids = [...this.#items.keys()].sort(compareCodePoints);
      this.#sorted = true;
    }
    return this.#ids;
  }

  list(): T[] {
    const out: T[] = [];
    for (const id of this.ids()) {
      const item = this.#items.get(id);
      if (item !== undefined) out.push(item);
    }
    return out;
  }

  /** How many have this status. */
  count(status: Status): number {
    return this.#tally.get(status) ?? 0;
  }

  /** The failed ones, in the order of their ids. */
  failed(): T[] {
    const out: T[] = [];
    for (const id of [...this.#failed].sort(compareCodePoints)) {
      const item = this.#items.get(id);
      if (item !== undefined) out.push(item);
    }
    return out;
  }

  get failedCount(): number {
    return this.#failed.size;
  }

  #count(status: Status, by: number): void {
    this.#tally.set(status, (this.#tally.get(status) ?? 0) + by);
  }
}
