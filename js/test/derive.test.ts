import { expect, test } from "vitest";
import cases from "../../tests/fixtures/silence.json";
import { silentAfter } from "../src/derive";

// The same cases as in tests/test_progress.py: seconds there, milliseconds here.
test.each(cases)("which silence is too long: $about", ({ gaps, silent_after }) => {
  expect(silentAfter(gaps.map((gap) => gap * 1000))).toBe(silent_after * 1000);
});
