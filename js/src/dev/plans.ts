// A project that is built by plans and locks: two builds at once, finished ones, and what their files disagree about.

import type { ChecklistTask, Component, Feature, State } from "../protocol";
import { emptyState } from "../store";
import { component, feature } from "./scenario";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

export function plan(slug: string, over: Partial<Component> = {}): Component {
  const status_source = `phases:.buildrunner/builds/BUILD_${slug}.md`;
  return component(slug, { component_type: "plan", status_source, ...over });
}

export function planPhase(slug: string, id: string, over: Partial<Feature> = {}): Feature {
  return feature(`${slug}/${id}`, {
    component_id: slug,
    feature_type: "phase",
    status_source: `plan:.buildrunner/builds/BUILD_${slug}.md`,
    progress: over.status === "completed" ? 100 : 0,
    ...over,
  });
}

const boxes = (names: readonly string[], ticked = 0): ChecklistTask[] =>
  names.map((name, i) => ({ id: String(i + 1), name, completed: i < ticked, timestamp: null }));

/** The state at `now`. */
export function plans(now: number): State {
  const at = (ago: number): string => new Date(now - ago).toISOString();
  const state = emptyState();
  const tours: Feature[] = [
    ["1", "Places and opening hours", "completed"],
    ["2", "Map of a day", "completed"],
    ["3", "Walking times", "in_progress"],
    ["4", "Tickets", "completed"],
    ["5", "Rain plan", "not_started"],
    ["6", "Sharing", "not_started"],
    ["7", "Printing", "not_started"],
    ["8", "Release", "not_started"],
  ].map(([id = "", name = "", status]) => planPhase("city-tours", id, { name, status: status as Feature["status"] }));
  Object.assign(tours[2] as Feature, {
    description: "Show how long it takes to walk from one place to the next.",
    owner: "host-a",
    claimed_at: at(9 * MINUTE),
    heartbeat_at: at(12_000),
    status_source: "lock:.buildrunner/locks/phase-3/claim.json",
    status_raw: "not_started",
    conflict: "the plan says not started",
    dependencies: ["city-tours/1"],
    tasks: boxes(["Routes between two places", "Times by foot and by bus", "A test with a real map"], 1),
    files: [
      { path: "tours/walking.py", action: "new" },
      { path: "tours/map.py", action: "modify" },
      { path: "tours/old_times.py", action: "delete" },
    ],
  });
  (tours[4] as Feature).dependencies = ["city-tours/2", "city-tours/3"];
  (tours[5] as Feature).dependencies = ["city-tours/3"];
  Object.assign(tours[3] as Feature, {
    conflict: "its lock phase-4 was left behind; last sign of life 2026-01-14 08:03 UTC",
    tasks: boxes(["Prices", "Booking"]),
  });
  const audio = ["Voices", "Player", "Offline"].map((name, i) =>
    planPhase("audio-guide", String(i + 1), { name, status: i === 0 ? "in_progress" : "not_started" }),
  );
  Object.assign(audio[0] as Feature, {
    owner: "host-b",
    claimed_at: at(21 * MINUTE),
    heartbeat_at: at(14 * MINUTE),
    status_source: "lock:.buildrunner/locks/audio-guide-phase-1/claim.json",
  });
  const done = ["login", "photos", "search"].flatMap((slug) =>
    ["1", "2"].map((id) => planPhase(slug, id, { name: `${slug} ${id}`, status: "completed" })),
  );
  state.components = [
    plan("audio-guide", { name: "Audio guide", status: "in_progress", created_at: at(2 * DAY) }),
    plan("city-tours", {
      name: "City tours",
      status: "in_progress",
      progress: 37.5,
      created_at: at(3 * DAY),
      conflict: "its header says 'Phases 1-5 Complete', but 3 of 8 phases are completed",
    }),
    plan("login", { name: "Login", status: "completed", progress: 100, created_at: "2026-01-02T00:00:00Z" }),
    plan("photos", { name: "Photos", status: "completed", progress: 100, created_at: "2026-01-05T00:00:00Z" }),
    plan("search", { name: "Search", status: "completed", progress: 100, created_at: "2026-01-03T00:00:00Z" }),
  ];
  state.features = [...audio, ...tours, ...done, feature("FEAT-1", { name: "An old wish", status: "completed" })];
  state.session = {
    ...state.session,
    project: "travel-app",
    status: "in_progress",
    status_source: "the newest locks",
    started_at: at(21 * MINUTE),
    system: "buildrunner",
    present: ["audio-guide", "city-tours"],
    evidence_at: at(12_000),
    evidence: "heartbeat of phase 3 · host-a",
    silent_after: 1800,
  };
  state.progress = {
    ...state.progress,
    total: 11,
    completed: 3,
    percent: 27.3,
    low: 27.3,
    high: 45.5,
    status: "in_progress",
  };
  state.updated_at = at(12_000);
  return state;
}
