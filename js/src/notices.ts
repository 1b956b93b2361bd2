// What the kernel has to say besides the build: that a callback of the user failed, say. Few, short, and counted.

export type NoticeLevel = "error" | "warning";

export interface Notice {
  readonly id: number;
  readonly level: NoticeLevel;
  readonly text: string;
  /** How often it was said. */
  readonly times: number;
}

/** So many are kept: those said last. */
const KEPT = 3;
/** The longest text, in UTF-16 units. */
const LONGEST = 1000;

export class Notices {
  /** In the order they were first said, so that none moves while it is read. By the id of the last saying. */
  readonly #said = new Map<Notice, number>();
  #ticket = 0;

  list(): readonly Notice[] {
    return [];
  }
}
