// What the kernel has to say besides the build: that a callback of the user failed, say. Few, short, and counted.

export type NoticeLevel = "error" | "warning";

export interface Notice {
  readonly id: number;
  readonly level: NoticeLevel;
  readonly text: string;
  /** How often it was said. */
  times: number;
  /** Grows with every saying: tells which was said last. */
  turn: number;
}

/** So many are kept: those said last. */
const KEPT = 3;
/** The longest text, in UTF-16 units. */
const LONGEST = 1000;

export class Notices {
  /** In the order they were first said: none moves while it is read. */
  #list: Notice[] = [];
  #turn = 0;

  list(): readonly Notice[] {
    return this.#list;
  }

  add(level: NoticeLevel, said: string): void {
    const text = bounded(said.trim());
    const turn = ++this.#turn;
    const known = this.#list.find((n) => n.level === level && n.text === text);
    if (known !== undefined) {
      known.times += 1;
      known.turn = turn;
      return;
    }
    this.#list.push({ id: turn, level, text, times: 1, turn });
    if (this.#list.length > KEPT) {
      const oldest = Math.min(...this.#list.map((n) => n.turn));
      this.#list = this.#list.filter((n) => n.turn !== oldest);
    }
  }

  /** Whether it was there. */
  remove(id: number): boolean {
    const before = this.#list.length;
    this.#list = this.#list.filter((n) => n.id !== id);
    return this.#list.length < before;
  }
}

/** At most the longest, and no half of a character at its end. */
function bounded(text: string): string {
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}
