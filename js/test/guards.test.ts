import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { component, feature, message, storefront } from "../src/dev/scenario";
import { isEvent, isState } from "../src/guards";
import { EVENT_TYPES } from "../src/protocol";
import { emptyState, Store } from "../src/store";

const state = (): Record<string, unknown> => JSON.parse(JSON.stringify(storefront(Date.now())));

/** Every place in a value, as the way to it. */
function places(value: unknown, way: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [way];
  const inner = Object.entries(value).flatMap(([key, one]) => places(one, [...way, key]));
  return way.length === 0 ? inner : [way, ...inner];
}

describe("the guards", () => {
  it("let a real state through, without what an older edition does not send, and with what a newer one adds", () => {
    const whole = state();
    expect(isState(whole)).toBe(true);
    const old: Record<string, unknown> = { ...whole, updated_at: undefined, runtime: undefined, more: [1] };
    old.components = (whole.components as object[]).map((one) => ({ ...one, error: undefined, news: {} }));
    expect(isState(old)).toBe(true);
  });

  it("let a state of the first edition through, and refuse what is wrong in a later field", () => {
    const session = emptyState().session;
    const { counts } = session;
    const update = { ...feature("f"), seq: 1, type: "feature_update" };
    expect(isState({ ...state(), activity: undefined })).toBe(true);
    expect(isState({ ...state(), activity: [{ kind: "claimed", text: "" }] })).toBe(true);
    expect(isEvent({ ...update, files: [{ path: "a.py", action: "erase" }], owner: "a" })).toBe(true);
    for (const wrong of [{ files: ["a.py"] }, { files: null }, { owner: 5 }, { heartbeat_at: 5 }]) {
      expect([wrong, isEvent({ ...update, ...wrong })]).toEqual([wrong, false]);
    }
    for (const wrong of [null, {}, [{ text: "" }], ["claimed"]]) {
      expect([wrong, isState({ ...state(), activity: wrong })]).toEqual([wrong, false]);
    }
    expect(isState({ ...state(), session: { ...session, present: ["a"], counts: { ...counts, by_type: {} } } })).toBe(
      true,
    );
    for (const wrong of [{ present: [5] }, { counts: { ...counts, by_type: { plan: "3" } } }, { silent_after: "1" }]) {
      expect([wrong, isState({ ...state(), session: { ...session, ...wrong } })]).toEqual([wrong, false]);
    }
  });

  it("let an unknown word for a status through: it is shown as unknown", () => {
    expect(isEvent(message("component_update", 1, component("a", { status: "resting" as "blocked" })))).toBe(true);
  });

  it("refuse what the fold cannot count with, and what the views cannot go through", () => {
    const good = message("feature_update", 3, feature("f"));
    expect(isEvent(good)).toBe(true);
    const wrong: object[] = [
      { seq: 1.5 },
      { seq: null },
      { seq: "3" },
      { feature_id: 7 },
      { tasks: null },
      { tasks: [null] },
      { tasks: [{ name: "no id" }] },
      { dependencies: [1] },
      { metadata: [] },
      { status: undefined },
      { name: 5 },
      { progress: "50" },
      { error: {} },
    ];
    for (const one of wrong) expect([one, isEvent({ ...good, ...one })]).toEqual([one, false]);
    const line = message("terminal_output", 4, { output: "x", line: 2 ** 60 });
    expect(isEvent(line)).toBe(false);
  });

  it("know every numbered message, and let one through that is not known yet", () => {
    for (const type of EVENT_TYPES) expect([type, isEvent({ type, seq: 1 })]).toEqual([type, false]);
    for (const type of ["news", "constructor", "__proto__", "toString"]) expect(isEvent({ type, seq: 1 })).toBe(true);
  });

  it("let nothing through that breaks the fold, whatever stands in any one place of a state", () => {
    const ways = places(state());
    fc.assert(
      fc.property(fc.constantFrom(...ways), fc.anything(), (way, value) => {
        const broken = state();
        let at = broken as Record<string | number, unknown>;
        for (const step of way.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
        at[way.at(-1) as string] = value;
        if (isState(broken)) new Store(broken, "E", 1).snapshot();
      }),
      { numRuns: 2000, seed: 8 },
    );
  });
});
