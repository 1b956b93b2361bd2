import { expect, test } from "vitest";
import cases from "../../tests/fixtures/failures.json";
import { failures } from "../src/failures";
import { emptyState, Store } from "../src/store";

// The same cases as in tests/test_failures.py.
test.each(cases)("what is one failure: $about", ({ about: _, failures: expected, ...lists }) => {
  const filled = Object.entries(lists).map(([kind, items]) => [
    kind,
    // biome-ignore lint/suspicious/noExplicitAny: parts of items of four kinds
    (items as any[]).map((item) => ({
      parent_id: null,
      component_id: null,
      error: null,
      errors: [],
      name: "",
      ...item,
    })),
  ]);
  const store = new Store({ ...emptyState(), ...Object.fromEntries(filled) });
  const found = failures(store).map(({ reason, items }) => ({
    reason,
    items: items.map(({ key }) => key.replace(":", " ")),
  }));
  expect(found).toEqual(expected);
});
