import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkpoint, component, feature, message, phase, task } from "../src/dev/scenario";
import { compareCodePoints, compareTimes } from "../src/order";
import type { Event, State } from "../src/protocol";
import { EVENT_TYPES } from "../src/protocol";
import { emptyState, Store } from "../src/store";

interface Log {
  snapshot: State;
  messages: Event[];
  result: State;
}

const recorded = import.meta.glob<Log>("../../tests/fixtures/logs/*.json", { eager: true, import: "default" });
const at = (second: number): string => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe("logs recorded by Python", () => {
  const files = Object.entries(recorded);
  it("are there", () => {
    expect(files.length).toBeGreaterThan(0);
  });
  it.each(files)("%s folds to the same state", (_name, log) => {
    const store = new Store(log.snapshot, "e", (log.messages[0]?.seq ?? 1) - 1);
    for (const m of log.messages) store.apply(m);
    expect(plain(store.snapshot())).toEqual(log.result);
  });
});

// Ids on both sides of the surrogates, where UTF-16 order differs from that of code points.
const id = fc.constantFrom("a", "b", "B", "a2", "a10", "é", "\uffee", "\u{1f600}", "", "a\u{1f600}", "a\uffee");
const status = fc.constantFrom("not_started", "in_progress", "completed", "error") as fc.Arbitrary<"error">;
const when = fc.constantFrom(
  null,
  "2026-01-01T00:00:05Z",
  "2026-01-01T00:00:05.1Z",
  "2026-01-01T00:00:05.000001Z",
  "2025-12-31T23:59:59.999999Z",
  "9999-12-31T23:59:59.999999Z",
  "0001-01-01T00:00:00Z",
);
const draft: fc.Arbitrary<object & { type: Event["type"] }> = fc.oneof(
  fc
    .record({ i: id, s: status, n: fc.string() })
    .map(({ i, s, n }) => ({ type: "component_update" as const, ...component(i, { status: s, name: n }) })),
  fc
    .record({ i: id, o: fc.option(id) })
    .map(({ i, o }) => ({ type: "feature_update" as const, ...feature(i, { component_id: o }) })),
  fc.record({ i: id, s: status }).map(({ i, s }) => ({ type: "task_update" as const, ...task(i, { status: s }) })),
  fc.record({ i: id, s: status }).map(({ i, s }) => ({ type: "phase_update" as const, ...phase(i, { status: s }) })),
  fc
    .record({ i: id, w: when })
    .map(({ i, w }) => ({ type: "checkpoint_update" as const, ...checkpoint(i, { created_at: w }) })),
  fc
    .record({ f: id, c: id, m: fc.string(), x: fc.boolean() })
    .map(({ f, c, m, x }) => ({ type: "warning" as const, file_path: f, code: c, message: m, cleared: x })),
  fc
    .record({ k: fc.constantFrom("component", "feature", "task", "phase", "checkpoint", "context", "other"), i: id })
    .map(({ k, i }) => ({ type: "removed" as const, kind: k, id: i })),
  fc
    .record({ l: fc.integer({ min: 1, max: 700 }), o: fc.constantFrom("x\n", "x", "x\ny\n", "\n\n", "", "a\nb\nc") })
    .map(({ l, o }) => ({
      type: "terminal_output" as const,
      output: o,
      content: o,
      output_type: "stdout",
      source: null,
      line: l,
    })),
  fc
    .record({
      i: id,
      c: fc.constantFrom("created", "modified", "deleted", "moved"),
      p: fc.constantFrom(".buildrunner/context/", "src/"),
    })
    .map(({ i, c, p }) => ({
      type: "file_change" as const,
      file_path: `${p}${i}.md`,
      change_type: c,
      content: null,
      size: 3,
      modified: null,
    })),
  fc
    .record({ k: fc.constantFrom("claimed", "completed", "a new kind"), i: fc.option(id), x: fc.string() })
    .map(({ k, i, x }) => ({ type: "activity" as const, time: null, kind: k, item: i, text: x, source: null })),
  fc
    .record({ p: fc.option(fc.integer({ min: 0, max: 100 })) })
    .map(({ p }) => ({ type: "build_progress" as const, ...emptyState().progress, percent: p })),
);
const logs = fc.array(draft, { maxLength: 120 }).map((list) => list.map((d, i) => message(d.type, i + 1, d, at(i))));

describe("the fold", () => {
  it("goes on from any snapshot as if nothing had been cut", () => {
    fc.assert(
      fc.property(logs, fc.nat(), (log, n) => {
        const cut = log.length === 0 ? 0 : n % (log.length + 1);
        const whole = new Store();
        for (const m of log) whole.apply(m);
        const early = new Store();
        for (const m of log.slice(0, cut)) early.apply(m);
        const late = new Store(plain(early.snapshot()), "e", cut);
        for (const m of log) late.apply(m);
        expect(plain(late.snapshot())).toEqual(plain(whole.snapshot()));
      }),
      { numRuns: 150 },
    );
  });

  it("ignores what it has seen", () => {
    fc.assert(
      fc.property(logs, (log) => {
        const once = new Store();
        const twice = new Store();
        for (const m of log) {
          once.apply(m);
          twice.apply(m);
          twice.apply(m);
        }
        for (const m of log) twice.apply(m);
        expect(twice.snapshot()).toEqual(once.snapshot());
      }),
      { numRuns: 60 },
    );
  });

  it("keeps its lists in the order of code points", () => {
    fc.assert(
      fc.property(logs, (log) => {
        const store = new Store();
        for (const m of log) store.apply(m);
        const { components, warnings } = store.snapshot();
        const points = (a: string, b: string): number => {
          const x = [...a].map((c) => c.codePointAt(0) as number);
          const y = [...b].map((c) => c.codePointAt(0) as number);
          for (let i = 0; i < Math.min(x.length, y.length); i++)
            if (x[i] !== y[i]) return (x[i] as number) - (y[i] as number);
          return x.length - y.length;
        };
        const ids = components.map((c) => c.component_id);
        expect(ids).toEqual([...ids].sort(points));
        expect(warnings.map((w) => w.file_path)).toEqual(warnings.map((w) => w.file_path).sort(points));
      }),
      { numRuns: 60 },
    );
  });

  it("compares by code point, not by UTF-16 unit", () => {
    expect(compareCodePoints("\uffee", "\u{1f600}")).toBeLessThan(0);
    expect("\uffee" < "\u{1f600}").toBe(false);
  });

  it("compares times by the microsecond, whatever their fraction", () => {
    expect(compareTimes("2026-01-01T00:00:05Z", "2026-01-01T00:00:05.1Z")).toBeLessThan(0);
    expect(compareTimes("2026-01-01T00:00:05.1Z", "2026-01-01T00:00:05.100001Z")).toBeLessThan(0);
    expect(compareTimes("9999-12-31T23:59:59.999998Z", "9999-12-31T23:59:59.999999Z")).toBeLessThan(0);
    expect(compareTimes(null, "0001-01-01T00:00:00Z")).toBe(0);
    expect(compareTimes("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z")).toBe(0);
  });

  it("keeps the newest 200 checkpoints, the first 200 warnings and the newest 500 lines", () => {
    const store = new Store();
    let seq = 1;
    for (let i = 0; i < 230; i++) {
      store.apply(message("checkpoint_update", seq++, checkpoint(`c${i}`, { created_at: at(1000 - i) })));
      store.apply(
        message("warning", seq++, { file_path: `f${String(999 - i)}`, code: "x", message: "", cleared: false }),
      );
    }
    store.apply(
      message("terminal_output", seq++, {
        output: "l\n".repeat(620),
        content: "",
        output_type: "stdout",
        source: null,
        line: 1,
      }),
    );
    const s = store.snapshot();
    expect(s.checkpoints).toHaveLength(200);
    expect(s.checkpoints[199]?.checkpoint_id).toBe("c0");
    expect(s.warnings).toHaveLength(200);
    expect(s.warnings[0]?.file_path).toBe("f770");
    expect(s.terminal).toMatchObject({ first_line: 121, next_line: 621 });
    expect(s.terminal.tail).toHaveLength(500);
  });

  it("keeps the newest 200 lines of what happened, in the order in which they came", () => {
    const store = new Store();
    expect(store.snapshot()).not.toHaveProperty("activity");
    for (let i = 1; i <= 230; i++) {
      const line = { kind: "claimed", text: `line ${i}`, time: at(1000 - i), item: `p${i}`, source: null };
      store.apply(message("activity", i, line));
    }
    expect(store.takeChanges().activity).toBe(true);
    const { activity } = store.snapshot();
    expect(activity?.map((one) => one.text)).toEqual(Array.from({ length: 200 }, (_, i) => `line ${i + 31}`));
    expect(activity?.at(-1)).toEqual({ kind: "claimed", text: "line 230", time: at(770), item: "p230", source: null });
    expect(store.activity).toEqual(activity);
  });

  it("replaces a partial line by its later, longer self", () => {
    const store = new Store();
    const line = (seq: number, output: string): Event =>
      message("terminal_output", seq, { output, content: output, output_type: "stdout", source: null, line: 1 });
    store.apply(line(1, "Comp"));
    store.apply(line(2, "Compiling\n"));
    expect(store.snapshot().terminal.tail.map((l) => l.text)).toEqual(["Compiling"]);
  });

  it("passes over a type it does not know, and its number counts", () => {
    const store = new Store();
    store.apply({ type: "novelty", seq: 1, session_id: "", timestamp: at(5) } as unknown as Event);
    expect(store.seq).toBe(1);
    expect(store.updatedAt).toBe(at(5));
  });

  it("knows every numbered type of the protocol", () => {
    expect(EVENT_TYPES).toHaveLength(14);
  });

  it("counts statuses as it goes", () => {
    fc.assert(
      fc.property(logs, (log) => {
        const store = new Store();
        for (const m of log) store.apply(m);
        const list = store.components.list();
        for (const s of ["completed", "error", "in_progress"] as const) {
          expect(store.components.count(s)).toBe(list.filter((c) => c.status === s).length);
        }
        expect(store.components.failed()).toEqual(list.filter((c) => c.status === "error"));
      }),
      { numRuns: 60 },
    );
  });
});
