// The sessions of the server, asked for now and then while somebody looks.

import { isObject } from "../kinds";
import type { BuildStatus } from "../protocol";
import { askOverHttp, backoff, judgeAnswer, NO_ANSWER, type Verdict } from "../transport/websocket";

/** One session, as much of it as a list shows. */
export interface SessionRow {
  id: string;
  project: string;
  status: BuildStatus;
  percent: number | null;
  phase: string | null;
  updatedAt: string | null;
}

/** Every so often (ms): while the list is what is looked at, and while it is not. */
const LIST_EVERY = 2500;
const ASIDE_EVERY = 15_000;
const PATIENCE = 5000;
const LONGEST_ID = 128;
const STATUSES: readonly string[] = ["completed", "failed", "in_progress", "pending", "unknown"];

export function readSessions(body: unknown): SessionRow[] {
  if (!isObject(body) || !Array.isArray(body.sessions)) return [];
  const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);
  return body.sessions.flatMap((row: unknown): SessionRow[] => {
    if (!isObject(row) || typeof row.session_id !== "string") return [];
    const id = row.session_id;
    if (id === "" || id.length > LONGEST_ID) return [];
    const status = STATUSES.includes(String(row.status)) ? (row.status as BuildStatus) : "unknown";
    return [
      {
        id,
        project: text(row.project) ?? id,
        status,
        percent: typeof row.percent === "number" ? row.percent : null,
        phase: text(row.phase),
        updatedAt: text(row.updated_at),
      },
    ];
  });
}

export class Sessions {
  /** null: the server was not heard yet. */
  rows: readonly SessionRow[] | null = null;
  /** What is wrong; null: nothing. */
  trouble: Verdict | null = null;
  /** When it is asked again, ms since 1970; null: it is being asked. */
  retryAt: number | null = null;
  /** When the rows were told, ms since 1970. */
  heardAt: number | null = null;
  readonly #base: string;
  readonly #told: () => void;
  readonly #signal: AbortSignal;
  #every = LIST_EVERY;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking = false;

  /**
   * @param base where the page is.
   * @param told called when something has changed.
   */
  constructor(base: string, told: () => void, signal: AbortSignal) {
    this.#base = base;
    this.#told = told;
    this.#signal = signal;
    const now = (): void => {
      if (!document.hidden) void this.ask();
    };
    document.addEventListener("visibilitychange", now, { signal });
    globalThis.addEventListener("online", now, { signal });
    signal.addEventListener("abort", () => clearTimeout(this.#timer), { once: true });
  }

  /** Whether the list itself is looked at, and not only what it leads to. */
  watch(closely: boolean): void {
    const every = closely ? LIST_EVERY : ASIDE_EVERY;
    if (every === this.#every) return;
    this.#every = every;
    if (closely) void this.ask();
  }

  async ask(): Promise<void> {
    if (this.#asking || this.#signal.aborted) return;
    clearTimeout(this.#timer);
    this.#asking = true;
    this.retryAt = null;
    const url = new URL("api/build/sessions", this.#base).href;
    try {
      const response = await askOverHttp(url, AbortSignal.any([this.#signal, AbortSignal.timeout(PATIENCE)]));
      const body: unknown = await response.json().catch(() => undefined);
      this.trouble = judgeAnswer(response, body);
      if (this.trouble === null) {
        this.rows = readSessions(body);
        this.heardAt = Date.now();
      }
    } catch {
      this.trouble = NO_ANSWER;
    }
    this.#asking = false;
    if (this.#signal.aborted) return;
    this.#attempt = this.trouble === null ? 0 : this.#attempt + 1;
    const wait = this.trouble === null ? this.#every : this.trouble.least + backoff(this.#attempt, Math.random);
    this.retryAt = Date.now() + wait;
    this.#timer = setTimeout(() => {
      if (!document.hidden) void this.ask();
    }, wait);
    this.#told();
  }
}
