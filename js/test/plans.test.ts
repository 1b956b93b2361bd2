// Builds of plans and locks: what the header says of them, and how they are listed.

import axe from "axe-core";
import { afterEach, describe, expect, it } from "vitest";
import { lifeLine, verdictOf } from "../src/builds";
import { plan, planPhase, plans } from "../src/dev/plans";
import { message, phase, task } from "../src/dev/scenario";
import { lifeOf } from "../src/life";
import type { Feature, State } from "../src/protocol";
import { Store } from "../src/store";
import { type Mounted, mount, row } from "./helpers";

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
    expect(texts(".bw-now-note")).toEqual([
      "runs 1 · Voices; next 2 · Player",
      "runs 3 · Walking times; next 7 · Printing · its header says 'Phases 1-5 Complete', but 3 of 8 phases are completed",
    ]);
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

describe("the list of plans and their phases", () => {
  const keys = (): string[] =>
    [...face.root.querySelectorAll<HTMLElement>(".bw-tree-body .bw-row")]
      .sort((a, b) => Number(a.getAttribute("aria-rowindex")) - Number(b.getAttribute("aria-rowindex")))
      .map((el) => el.dataset.key ?? "");
  const cell = (key: string, column: string): string => plain(row(face.root, key).querySelector(column)?.textContent);

  it("has those at work first and open, then the others by age and folded, and the registry last", () => {
    face = mount(plans(Date.now()), 900);
    expect(keys().filter((key) => /^(component|group)/.test(key))).toEqual([
      "component:audio-guide",
      "component:city-tours",
      "component:photos",
      "component:search",
      "component:login",
      "group:other-features",
    ]);
    expect(keys().filter((key) => key.startsWith("feature:"))).toHaveLength(11);
    expect(texts(".bw-row-head .bw-c")).toEqual(["Name", "Status", "Owner", "Progress", "When"]);
  });

  it("orders phases by number: 14.9 before 14.10", () => {
    const state = one([]);
    state.features = ["14.10", "14.9", "2", "10"].map((id) => planPhase("shop", id));
    face = mount(state);
    expect(keys()).toEqual(["component:shop", ...["2", "10", "14.9", "14.10"].map((id) => `feature:shop/${id}`)]);
  });

  it("tells of a phase who works on it and when the last heartbeat was, at every width", () => {
    for (const width of [400, 800, 1400]) {
      face = mount(plans(Date.now()), width);
      const shown = [...row(face.root, "feature:city-tours/3").querySelectorAll<HTMLElement>("span, div")]
        .filter((el) => el.children.length === 0 && el.offsetParent !== null)
        .map((el) => plain(el.textContent))
        .join(" ");
      expect(shown).toMatch(/1\d s ago/);
      expect(shown).toContain("host-a");
      expect(shown).toContain("the plan says not started");
      face.stop();
    }
  });

  it("notes a lock that was left behind, without red and without green", () => {
    face = mount(plans(Date.now()), 1400);
    const el = row(face.root, "feature:city-tours/4");
    expect(cell("feature:city-tours/4", ".bw-note")).toContain("its lock phase-4 was left behind");
    expect(el.querySelector(".bw-note-error, .bw-is-fail, .bw-is-done")).toBeNull();
    expect(row(face.root, "feature:city-tours/1").querySelector(".bw-icon.bw-is-done")).not.toBeNull();
  });

  it("says what a phase waits for", () => {
    face = mount(plans(Date.now()), 1400);
    expect(cell("feature:city-tours/5", ".bw-note")).toBe("waits for 3");
    expect(cell("feature:city-tours/7", ".bw-note")).toBe("");
  });

  it("opens a plan when its work begins", async () => {
    face = mount(plans(Date.now()), 900);
    expect(row(face.root, "component:photos").getAttribute("aria-expanded")).toBe("false");
    const session = { ...face.live.store.session, present: ["photos"] };
    face.live.apply([message("session_update", 2, session)]);
    face.live.flush();
    expect(row(face.root, "component:photos").getAttribute("aria-expanded")).toBe("true");
    expect(keys()[0]).toBe("component:photos");
  });

  it("finds phases by their word", () => {
    face = mount(plans(Date.now()), 900);
    face.live.setFilter("kind:phase host-b");
    face.live.flush();
    expect(keys()).toEqual(["component:audio-guide", "feature:audio-guide/1"]);
  });

  it("tells failures of other work apart, without alarm", () => {
    const state = plans(Date.now());
    state.tasks = [task("old-test", { status: "error", error: "as it should" })];
    face = mount(state);
    expect(face.root.querySelector(".bw-errors")).toBeNull();
    expect(text(".bw-elsewhere")).toContain("1 error outside the builds at work");
    expect(text(".bw-counts")).not.toContain("failed");
    (face.root.querySelector(".bw-elsewhere button") as HTMLElement).click();
    expect(text(".bw-elsewhere .bw-error-text")).toBe("as it should");
  });

  it("finds nothing wrong with axe", async () => {
    for (const theme of ["light", "dark"]) {
      document.documentElement.dataset.theme = theme;
      face = mount(plans(Date.now()), 900);
      face.live.select(["feature:city-tours/3"]);
      face.live.flush();
      const { violations } = await axe.run(face.root);
      face.stop();
      delete document.documentElement.dataset.theme;
      expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`)).toEqual([]);
    }
  });
});

describe("what a lock or a session left", () => {
  it("says in the header that a session of a running phase ended, and does not call it an error", () => {
    const state = one(["completed"]);
    const error = "a session ended with code 1 at 2026-01-14 08:03 UTC";
    state.features.push(planPhase("shop", "2", { name: "Till", status: "in_progress", error }));
    face = mount(state);
    expect(texts(".bw-ended")).toEqual([`2 · Till: ${error}`]);
    expect(face.root.querySelector(".bw-errors")).toBeNull();
    expect(text(".bw-badge")).toBe("In progress");
  });

  it("lists a lock that outlived its phase as left behind", () => {
    const state = plans(Date.now());
    const links = { component_id: "city-tours", owner: "host-a" };
    state.phases = [
      phase("phase-4", { ...links, feature_id: "city-tours/4", name: "Tickets", status: "in_progress" }),
      phase("phase-3", { ...links, feature_id: "city-tours/3", name: "Walking times", status: "in_progress" }),
    ];
    face = mount(state);
    face.root.querySelector<HTMLElement>('[id$="-tab-phases"]')?.click();
    const said = (key: string): string => plain(row(face.root, key).querySelector(".bw-c-status")?.textContent);
    expect(text('[id$="-tab-phases"]')).toBe("Locks2");
    expect(said("phase:phase-4")).toBe("Left behind");
    expect(said("phase:phase-3")).toBe("In progress");
    expect(plain(row(face.root, "phase:phase-4").textContent)).toContain("city-tours · Phase 4 · Tickets");
  });
});

describe("the details of a phase", () => {
  const pairs = (): Record<string, string> =>
    Object.fromEntries(
      [...face.root.querySelectorAll(".bw-pairs > div")].map((el) => [
        plain(el.querySelector("dt")?.textContent),
        plain(el.querySelector("dd")?.textContent),
      ]),
    );
  const choose = (key: string): void => {
    face.live.select([key]);
    face.live.flush();
  };

  it("tell its goal, who works on it, what decided its status and what says otherwise", () => {
    face = mount(plans(Date.now()));
    choose("feature:city-tours/3");
    expect(text(".bw-details-name")).toBe("Phase 3 · Walking times");
    expect(pairs()).toMatchObject({
      Goal: "Show how long it takes to walk from one place to the next.",
      By: "lock · locks/phase-3/claim.json",
      But: "the plan says not started",
      Written: "not_started",
      Owner: "host-a",
      "Blocked by": "1 (done)",
      Plan: "City tours",
    });
    expect(pairs().Heartbeat).toMatch(/^[\d-]* ?\d\d:\d\d:\d\d \(1\d s ago\)$/);
    expect(pairs().Claimed).toMatch(/\(9 min ago\)$/);
    expect(text(".bw-lists")).toContain("Deliverables, 1 of 3 ticked");
    expect(text(".bw-lists")).toContain("Routes between two places");
    expect(texts(".bw-lists li").slice(-3)).toEqual([
      "new tours/walking.py",
      "modify tours/map.py",
      "delete tours/old_times.py",
    ]);
  });

  it("tell a plan's header where that says otherwise", () => {
    face = mount(plans(Date.now()));
    choose("component:city-tours");
    expect(pairs().By).toBe("phases · builds/BUILD_city-tours.md");
    expect(pairs().But).toContain("its header says 'Phases 1-5 Complete'");
  });

  it("tell that a session ended, without the colour of an error", () => {
    const state = one([]);
    const error = "a session ended with code 1 at 2026-01-14 08:03 UTC";
    state.features = [planPhase("shop", "1", { status: "in_progress", error })];
    face = mount(state);
    choose("feature:shop/1");
    expect(text(".bw-pre-quiet")).toBe(error);
    expect(text(".bw-note")).toContain("1 running");
    expect(face.root.querySelector(".bw-note-error")?.textContent ?? "").toBe("");
  });

  it("show names, goals and files as text, and all of many files", () => {
    const state = one([]);
    const files = Array.from({ length: 40 }, (_, i) => ({ path: `<i>${i}</i>.py`, action: "new" }));
    const tasks = [{ id: "1", name: "<b>box</b>", completed: false, timestamp: null }];
    state.features = [planPhase("shop", "1", { description: "<u>goal</u>", files, tasks, owner: "<s>host</s>" })];
    face = mount(state);
    choose("feature:shop/1");
    expect(pairs().Goal).toBe("<u>goal</u>");
    expect(texts(".bw-lists .bw-mono")).toHaveLength(40);
    expect(face.root.querySelector(".bw-details :is(i, b, u, s)")).toBeNull();
  });
});
