import { expect, test } from "vitest";
import cases from "../../tests/fixtures/life.json";
import { component, feature, phase, task } from "../src/dev/scenario";
import { life, lifeOf } from "../src/life";
import type { BuildStatus, Component, Feature, Phase, Session, Task } from "../src/protocol";
import { emptyState, Store } from "../src/store";

// The same cases as in tests/test_progress.py: seconds there, milliseconds here.
const NOW = Date.parse(cases.now);

test.each(cases.rule)("how alive a build is: $about", (given) => {
  const signs = {
    status: given.status as BuildStatus,
    running: given.running,
    workLeft: given.work_left,
    evidenceAt: given.age === null ? null : NOW - given.age * 1000,
    silentAfter: given.silent_after === null ? null : given.silent_after * 1000,
    claims: given.claims,
  };
  expect(life(signs, NOW)).toBe(given.life);
});

interface Part {
  session: object;
  components?: { component_id: string }[];
  features?: { feature_id: string }[];
  tasks?: { task_id: string }[];
  phases?: { phase_id: string }[];
  updated_at?: string;
}

test.each(cases.states)("what of a state says so: $about", (given) => {
  const part = given.state as Part;
  const empty = emptyState();
  const store = new Store({
    ...empty,
    session: { ...empty.session, ...(part.session as Partial<Session>) },
    components: (part.components ?? []).map((c) => component(c.component_id, c as Partial<Component>)),
    features: (part.features ?? []).map((f) => feature(f.feature_id, f as Partial<Feature>)),
    tasks: (part.tasks ?? []).map((t) => task(t.task_id, t as Partial<Task>)),
    phases: (part.phases ?? []).map((p) => phase(p.phase_id, p as Partial<Phase>)),
    updated_at: part.updated_at ?? null,
  });
  expect(lifeOf(store, NOW)).toBe(given.life);
});
