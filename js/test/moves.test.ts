// The list is never blank: whatever a person or the build does, the rows that are seen are the rows that belong there.
// The same moves in the cell and on the server's page.

import { afterEach, describe, expect, it, vi } from "vitest";
import { component, feature, message, task } from "../src/dev/scenario";
import type { Event, Feature, State, Status } from "../src/protocol";
import { emptyState } from "../src/store";
import { ancestors, Build, type Choices, expectedRows, foldable, isOpen } from "./expected";
import { frame } from "./helpers";
import { cellStage, pageStage, type Stage } from "./stages";

const MOVES = 500;
const SEEDS = [1, 2, 3];
const STATUSES: Status[] = ["not_started", "in_progress", "completed", "error", "blocked", "skipped"];
const FILTERS = [
  "",
  "",
  "",
  "status:error",
  "1",
  "kind:feature",
  "in progress",
  "status:blocked,done 2",
  "no such thing",
];
const WIDTHS = [320, 400, 439, 441, 620, 800, 1000];
/** Longer (ms) than what is sorted or filtered may wait to follow the state. */
const SETTLED = 2100;

/** A small generator of numbers below 1: the same seed gives the same moves. */
function chance(seed: number): () => number {
  let a = seed * 0x9e3779b1;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Player {
  readonly log: string[] = [];
  readonly #random: () => number;
  readonly #stage: Stage;
  readonly #build: Build;
  readonly #choices: Choices = { tab: "build", filter: "", sort: {}, folds: {}, selected: new Set() };
  #seq = 1;
  #made = 0;

  constructor(seed: number, make: (state: State) => Stage) {
    this.#random = chance(seed);
    const state = this.#begin();
    this.#build = new Build(state);
    this.#stage = make(state);
  }

  stop(): void {
    this.#stage.stop();
  }

  // -- what there is ---------------------------------------------------------------------------------------------

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #one<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #feature(id: string): Feature {
    const status = this.#one(STATUSES);
    const tasks = Array.from({ length: this.#below(4) }, (_, i) => ({
      id: `t${i}`,
      name: `check ${i} of ${id}`,
      completed: this.#random() < 0.5,
      timestamp: null,
    }));
    return feature(id, {
      name: `Feature ${this.#below(1000)} (${id})`,
      component_id: this.#random() < 0.05 ? null : `c${this.#below(40)}`,
      status,
      progress: this.#below(101),
      error: status === "error" ? `broken ${id}` : null,
      tasks,
    });
  }

  #begin(): State {
    return {
      ...emptyState(),
      updated_at: new Date().toISOString(),
      components: Array.from({ length: 40 }, (_, i) =>
        component(`c${i}`, { name: `Component ${i}`, status: this.#one(STATUSES), progress: this.#below(101) }),
      ),
      features: Array.from({ length: 260 }, (_, i) => this.#feature(`f${i}`)),
      tasks: Array.from({ length: 300 }, (_, i) =>
        task(`t${i}`, {
          name: `Task ${i}`,
          kind: i % 3 === 0 ? "pool" : "orchestration",
          status: this.#one(STATUSES),
          progress: this.#below(101),
        }),
      ),
      checkpoints: [],
    };
  }

  get #root(): HTMLElement {
    return this.#stage.host.querySelector<HTMLElement>(".bw-root") as HTMLElement;
  }

  get #scroller(): HTMLElement {
    return this.#root.querySelector<HTMLElement>(".bw-tree-scroll") as HTMLElement;
  }

  /** The rows whose boxes touch the window of the list, from the top. */
  #seen(): HTMLElement[] {
    const view = this.#scroller.getBoundingClientRect();
    return [...this.#root.querySelectorAll<HTMLElement>(".bw-tree-body .bw-row")]
      .filter((row) => {
        const box = row.getBoundingClientRect();
        return box.height > 0 && box.bottom > view.top + 1 && box.top < view.bottom - 1;
      })
      .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
  }

  // -- moves -----------------------------------------------------------------------------------------------------

  async move(): Promise<void> {
    const moves: [number, string, () => void | Promise<void>][] = [
      [20, "scroll", () => this.#scroll()],
      [10, "tab", () => this.#tab()],
      [8, "sort", () => this.#sort()],
      [8, "filter", () => this.#filter()],
      [10, "fold", () => this.#fold()],
      [4, "fold all", () => this.#foldAll()],
      [8, "select", () => this.#select()],
      [6, "key", () => this.#key()],
      [8, "resize", () => this.#resize()],
      [10, "hide", () => this.#hide()],
      [12, "update", () => this.#update()],
      [3, "error", () => this.#error()],
    ];
    const [, name, act] = this.#one(moves.flatMap((move) => Array<typeof move>(move[0]).fill(move)));
    this.log.push(name);
    await act();
    vi.advanceTimersByTime(SETTLED);
    await frame();
    await frame();
    this.check();
  }

  #note(text: string | number): void {
    this.log[this.log.length - 1] += ` ${text}`;
  }

  #scroll(): void {
    const box = this.#scroller;
    const most = box.scrollHeight - box.clientHeight;
    const to = this.#one([0, most, most, this.#below(most + 1), box.scrollTop + 90, box.scrollTop - 2000]);
    box.scrollTop = to;
    this.#note(to);
  }

  #tab(): void {
    const { tab } = this.#choices;
    this.#choices.tab = tab === "build" ? "tasks" : "build";
    this.#root.querySelector<HTMLElement>(`[id$="-tab-${this.#choices.tab}"]`)?.click();
    this.#note(this.#choices.tab);
  }

  #sort(): void {
    const select = this.#root.querySelector<HTMLSelectElement>(".bw-select") as HTMLSelectElement;
    const sort = this.#one(["order", "attention", "name", "progress"]);
    select.value = sort;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    this.#choices.sort[this.#choices.tab] = sort;
    this.#note(sort);
  }

  #filter(): void {
    const input = this.#root.querySelector<HTMLInputElement>(".bw-input") as HTMLInputElement;
    input.value = this.#one(FILTERS);
    input.dispatchEvent(new Event("input", { bubbles: true }));
    this.#choices.filter = input.value;
    this.#note(JSON.stringify(input.value));
  }

  #setFold(key: string, open: boolean): void {
    const { folds, tab } = this.#choices;
    folds[tab] ??= new Map();
    folds[tab].set(key, open);
  }

  #fold(): void {
    const row = this.#one(this.#seen().filter((el) => el.hasAttribute("aria-expanded")));
    if (row === undefined) return;
    const open = row.getAttribute("aria-expanded") !== "true";
    row.querySelector<HTMLElement>(".bw-twisty")?.click();
    this.#setFold(row.dataset.key ?? "", open);
    this.#note(row.dataset.key ?? "");
  }

  #foldAll(): void {
    const groups = foldable(this.#build, this.#choices.tab);
    const open = !groups.every((one) => isOpen(this.#choices, one));
    const button = [...this.#root.querySelectorAll<HTMLElement>(".bw-tools button")].find((b) =>
      b.textContent?.includes("old all"),
    );
    expect(button?.textContent?.trim()).toBe(open ? "Unfold all" : "Fold all");
    button?.click();
    for (const one of groups) this.#setFold(one.key, open);
  }

  #select(): void {
    const row = this.#one(this.#seen().filter((el) => el.hasAttribute("aria-selected")));
    if (row === undefined) return;
    const key = row.dataset.key ?? "";
    const { selected } = this.#choices;
    const ctrlKey = this.#random() < 0.4;
    row.querySelector(".bw-name")?.dispatchEvent(new MouseEvent("click", { bubbles: true, ctrlKey }));
    const alone = selected.size === 1 && selected.has(key);
    if (ctrlKey && selected.has(key)) selected.delete(key);
    else if (ctrlKey) selected.add(key);
    else this.#choices.selected = new Set(alone ? [] : [key]);
    this.#note(`${key}${ctrlKey ? " too" : ""}`);
  }

  #key(): void {
    const row = this.#one(this.#seen());
    if (row === undefined) return;
    const key = this.#one(["Home", "End", "PageDown", "PageUp", "ArrowDown", "ArrowUp"]);
    row.focus({ preventScroll: true });
    row.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    this.#note(key);
  }

  #resize(): void {
    const { style } = this.#stage.host;
    style.width = `${this.#one(WIDTHS)}px`;
    this.#scroller.style.maxHeight = this.#one(["100px", "300px", "301.5px", "700px"]);
    this.#note(`${style.width} ${this.#scroller.style.maxHeight}`);
  }

  async #hide(): Promise<void> {
    const { host } = this.#stage;
    const how = this.#one(["hidden", "hidden for long", "taken out", "taken out for long", "moved", "updated"]);
    this.#note(how);
    if (how.startsWith("hidden") || how === "updated") {
      host.style.display = "none";
      if (how !== "hidden") await frame();
      if (how !== "hidden") await frame();
      if (how === "updated") this.#update();
      host.style.display = "";
    } else if (how === "moved") {
      document.body.prepend(host);
    } else {
      host.remove();
      if (how.endsWith("long")) await frame();
      if (how.endsWith("long")) await frame();
      document.body.append(host);
    }
  }

  #update(): void {
    const events = Array.from({ length: 1 + this.#below(6) }, () => this.#event());
    this.#stage.tell(events);
    for (const event of events) this.#build.apply(event);
    this.#note(events.map((e) => e.type).join(" "));
  }

  #event(): Event {
    const seq = ++this.#seq;
    const { components, features, tasks } = this.#build;
    const kind = this.#one(["component", "component", "feature", "feature", "new", "gone", "task", "task"]);
    const change = { status: this.#one(STATUSES), progress: this.#below(101) };
    const error = change.status === "error" ? `broken at ${seq}` : null;
    if (kind === "component") {
      const old = this.#one([...components.values()]);
      return message("component_update", seq, { ...component(old.component_id), name: old.name, ...change, error });
    }
    if (kind === "task") {
      const old = this.#one([...tasks.values()]);
      return message("task_update", seq, { ...task(old.task_id), name: old.name, kind: old.kind, ...change, error });
    }
    if (kind === "gone" && features.size > 60) {
      const id = this.#one([...features.keys()]);
      return message("removed", seq, { kind: "feature", id });
    }
    const id = kind === "feature" ? this.#one([...features.keys()]) : `n${++this.#made}`;
    return message("feature_update", seq, this.#feature(id));
  }

  /** Follows an error to its row. */
  #error(): void {
    const link = this.#one([...this.#root.querySelectorAll<HTMLElement>(".bw-errors .bw-error .bw-link")]);
    if (link === undefined) return;
    const name = link.textContent ?? "";
    const { components, features, tasks } = this.#build;
    const one =
      [...features.values()].find((f) => f.name === name && f.status === "error") ??
      [...components.values()].find((c) => c.name === name && c.status === "error") ??
      [...tasks.values()].find((t) => t.name === name && t.status === "error");
    if (one === undefined) throw new Error(`expected an item with an error, found ${name}`);
    const key =
      "feature_id" in one
        ? `feature:${one.feature_id}`
        : "task_id" in one
          ? `task:${one.task_id}`
          : `component:${one.component_id}`;
    link.click();
    this.#choices.tab = key.startsWith("task:") ? "tasks" : "build";
    for (const above of ancestors(this.#build, this.#choices.tab, key)) this.#setFold(above, true);
    if (!expectedRows(this.#build, this.#choices).some((row) => row.key === key)) this.#choices.filter = "";
    this.#choices.selected = new Set([key]);
    this.#note(key);
    this.#revealed = key;
  }

  #revealed: string | null = null;

  // -- the comparison --------------------------------------------------------------------------------------------

  check(): void {
    const rows = expectedRows(this.#build, this.#choices);
    const where = `after ${this.log.length} moves, the last ones: ${this.log.slice(-6).join("; ")}`;
    const box = this.#scroller;
    const tree = this.#root.querySelector<HTMLElement>(".bw-tree") as HTMLElement;
    expect(tree.hidden, where).toBe(rows.length === 0);
    if (rows.length === 0) return;
    box.scrollIntoView({ block: "nearest" });
    const height = this.#rowHeight();
    const view = box.getBoundingClientRect();
    expect(box.clientHeight, where).toBeGreaterThan(0);
    expect(box.scrollHeight, where).toBe(Math.max(box.clientHeight, rows.length * height));
    // Where it is scrolled to, to the fraction of a pixel.
    const offset = view.top - (box.firstElementChild as HTMLElement).getBoundingClientRect().top;
    const first = Math.floor((offset + 1) / height);
    const end = Math.min(rows.length, Math.ceil((offset + view.height - 1) / height));
    const seen = this.#seen();
    const { selected } = this.#choices;
    const told = seen.map((el) => {
      const key = el.dataset.key;
      const name = el.querySelector(".bw-name")?.textContent;
      const status = el.querySelector(".bw-c-status")?.textContent;
      return `${key} | ${name} | ${status} | ${el.getAttribute("aria-selected") === "true"}`;
    });
    const wanted = rows
      .slice(first, end)
      .map((row) => `${row.key} | ${row.name} | ${row.status} | ${selected.has(row.key)}`);
    expect(told, where).toEqual(wanted);
    seen.forEach((el, i) => {
      const row = el.getBoundingClientRect();
      expect(Math.abs(row.top - view.top - ((first + i) * height - offset)), where).toBeLessThan(1.5);
      // What is really at that place of the screen, and not only in the page.
      const [x, y] = [row.left + 60, row.top + row.height / 2];
      if (y <= view.top || y >= view.bottom || y <= 0 || y >= innerHeight || x >= innerWidth) return;
      expect(document.elementFromPoint(x, y)?.closest<HTMLElement>("[data-key]")?.dataset.key, where).toBe(
        el.dataset.key,
      );
    });
    if (this.#revealed === null) return;
    const keys = seen.map((el) => el.dataset.key);
    expect(keys, where).toContain(this.#revealed);
    this.#revealed = null;
  }

  /** Narrow rows have two lines. */
  #rowHeight(): number {
    return (this.#root.querySelector(".bw-tab-body")?.clientWidth ?? 0) < 440 ? 46 : 28;
  }
}

let player: Player | undefined;
afterEach(() => {
  player?.stop();
  player = undefined;
  vi.useRealTimers();
});

describe.each([
  ["cell", cellStage],
  ["page", pageStage],
] as const)("the list of the %s", (_, stage) => {
  it.each(SEEDS)(
    `shows the rows that belong there after each of ${MOVES} moves (seed %i)`,
    { timeout: 120_000 },
    async (seed) => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      player = new Player(seed, stage);
      await frame();
      player.check();
      for (let i = 0; i < MOVES; i++) await player.move();
    },
  );
});
