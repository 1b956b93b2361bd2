// Builds of plans and locks: what the header says of them, and how they are listed.

import { afterEach, describe, expect, it } from "vitest";
import { lifeLine, verdictOf } from "../src/builds";
import { plan, planPhase, plans } from "../src/dev/plans";
import { task } from "../src/dev/scenario";
import { lifeOf } from "../src/life";
import type { Feature, State } from "../src/protocol";
import { Store } from "../src/store";
import { type Mounted, mount } from "./helpers";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let face: Mounted;
afterEach(() => face?.stop());

const plain = (text: string | null | undefined): string => (text ?? "").replace(/\s+/g, " ").trim();
const text = (selector: string): string => plain(face.root.querySelector(selector)?.textContent);
const texts = (selector: string): string[] =>
  [...face.root.querySelectorAll(selector)].map((el) => plain(el.textContent));

/** One build of phases with these statuses. */
function one(statuses: readonly Feature["status"][], over: Partial<State["session"]> = {}): State {
  const state = plans(Date.now());
  state.components = [plan("shop", { name: "Shop", status: "in_progress" })];
  state.features = statuses.map((status, i) => planPhase("shop", String(i + 1), { status }));
  state.session = { ...state.session, present: ["shop"], ...over };
  const percent = (100 * statuses.filter((s) => s === "completed").length) / statuses.length;
  state.progress = { ...state.progress, percent, low: null, high: null };
  return state;
}

describe("the header of builds that a system decides on", () => {
  it("names the builds at work, how far each is, the range that runs, and the sign of life", () => {
    face = mount(plans(Date.now()));
    expect(texts(".bw-now-name")).toEqual(["Audio guide", "City tours"]);
    expect(texts(".bw-now-count")).toEqual(["0 of 3 phases, 1 running", "3 of 8 phases, 1 running"]);
    expect(text(".bw-counts")).toContain("3 of 11 phases, 2 running");
    expect(text(".bw-counts")).toContain("2 in conflict");
    expect(text(".bw-percent")).toBe("27.3 %");
    expect(text(".bw-range")).toBe("up to 45.5 % with what runs");
    expect(text(".bw-life")).toMatch(/^heartbeat of phase 3 · host-a, 1\d s ago$/);
    expect(text(".bw-header")).not.toMatch(/feature|component/i);
    const open = face.root.querySelector<HTMLElement>(".bw-seg.bw-is-open");
    expect(Number.parseFloat(open?.style.width ?? "")).toBeCloseTo(18.2);
  });

  it("says of one build: 3 of 8 phases, 1 running", () => {
    face = mount(one(["completed", "completed", "completed", "in_progress", ...Array(4).fill("not_started")]));
    expect(text(".bw-counts")).toBe("3 of 8 phases, 1 running");
    expect(texts(".bw-now-name")).toEqual(["Shop"]);
  });

  it("does not count what was skipped", () => {
    face = mount(one(["completed", "skipped", "cancelled", "not_started"]));
    expect(text(".bw-counts")).toBe("1 of 2 phases");
  });

  it("says how long nobody was heard, and never calls that a failure", () => {
    const now = Date.now();
    const said = (ago: number, statuses: readonly Feature["status"][], status: "in_progress" | "completed") => {
      const evidence_at = new Date(now - ago).toISOString();
      const store = new Store(one(statuses, { status, evidence_at }));
      return plain(`${verdictOf(store, now, true).word}: ${lifeLine(store, lifeOf(store, now), now)}`);
    };
    const running: Feature["status"][] = ["completed", "in_progress"];
    const left: Feature["status"][] = ["completed", "not_started"];
    expect(said(12_000, running, "in_progress")).toBe("In progress: heartbeat of phase 3 · host-a, 12 s ago");
    expect(said(14.5 * MINUTE, running, "in_progress")).toBe(
      "In progress: quiet for 14 min · heartbeat of phase 3 · host-a",
    );
    expect(said(2 * HOUR, running, "in_progress")).toMatch(
      /^Silent: silent since [\d-]* ?\d\d:\d\d:\d\d \(2 h ago\) · heartbeat of phase 3 · host-a$/,
    );
    expect(said(2 * HOUR, left, "in_progress")).toMatch(/^Idle: idle, nothing is claimed · .*, 2 h ago$/);
    expect(said(50 * HOUR, left, "in_progress")).toMatch(/^Dormant: dormant since \d{4}-\d\d-\d\d \d\d:\d\d · /);
    expect(said(HOUR, ["completed", "completed"], "completed")).toMatch(/^Done: done · .*, 1 h ago$/);
  });

  it("is green only where all is done, nothing failed and nobody says otherwise", () => {
    const tone = (change: (state: State) => void): string => {
      const state = one(["completed", "completed"], { status: "completed" });
      state.components = [plan("shop", { status: "completed", progress: 100 })];
      change(state);
      return verdictOf(new Store(state), Date.now(), true).tone;
    };
    expect(tone(() => {})).toBe("done");
    const doubts: ((state: State) => void)[] = [
      (s) => s.features.push(planPhase("shop", "3", { status: "not_started" })),
      (s) => s.features.push(planPhase("shop", "3", { status: "error" })),
      (s) => s.features.push(planPhase("shop", "3", { status: "completed", conflict: "the plan says paused" })),
      (s) => s.components.splice(0, 1, plan("shop", { status: "completed", conflict: "its header says 'Paused'" })),
      (s) => s.tasks.push(task("t", { status: "error" })),
    ];
    for (const doubt of doubts) expect(tone(doubt)).not.toBe("done");
  });

  it("shows names of plans as text", () => {
    const state = one(["in_progress"], { evidence: "heartbeat of <b>phase 1</b>" });
    state.components = [plan("shop", { name: "<img src=x onerror=alert(1)>", conflict: "<script>alert(1)</script>" })];
    face = mount(state);
    expect(text(".bw-now-name")).toBe("<img src=x onerror=alert(1)>");
    expect(text(".bw-life")).toContain("<b>phase 1</b>");
    expect(face.root.querySelector(".bw-header :is(img, script, .bw-life b)")).toBeNull();
  });
});
