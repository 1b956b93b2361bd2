import axe from "axe-core";
import { afterEach, describe, expect, it } from "vitest";
import { component, feature, finished, message, storefront, task } from "./../src/dev/scenario";
import type { State } from "../src/protocol";
import { emptyState } from "../src/store";
import { frame, type Mounted, mount, press, row, until } from "./helpers";

let face: Mounted;
afterEach(() => {
  face?.stop();
  delete document.body.dataset.jpThemeLight;
  delete document.body.dataset.jpThemeName;
  document.body.style.background = "";
});

const text = (selector: string): string =>
  face.root.querySelector(selector)?.textContent?.replace(/\s+/g, " ").trim() ?? "";
const visible = (): string[] =>
  [...face.root.querySelectorAll<HTMLElement>(".bw-tree-body .bw-row")]
    .sort((a, b) => Number(a.getAttribute("aria-rowindex")) - Number(b.getAttribute("aria-rowindex")))
    .map((el) => el.dataset.key ?? "");

function state(over: Partial<State> = {}): State {
  const s = emptyState();
  s.updated_at = new Date().toISOString();
  return { ...s, ...over };
}

describe("what a reader sees", () => {
  it("the header tells project, status, percentage, phase, counts and age", () => {
    face = mount(storefront(Date.now()));
    expect(text(".bw-project")).toBe("storefront-api");
    expect(text(".bw-badge")).toBe("In progress");
    expect(text(".bw-percent")).toBe("52.5 %");
    expect(text(".bw-phase")).toBe("Phase 5 · Checkout and payments · Implementing tasks · 2/4");
    expect(text(".bw-counts")).toContain("12 components");
    expect(text(".bw-counts")).toContain("40 features");
    expect(text(".bw-updated")).toMatch(/updated \d s ago/);
    expect(text(".bw-clock")).toMatch(/52 min 0\d s/);
    const bar = face.root.querySelector('[role="progressbar"]');
    expect(bar?.getAttribute("aria-valuenow")).toBe("52.5");
    expect(bar?.getAttribute("aria-valuetext")).toContain("In progress");
  });

  it("of a traceback the last line is shown, which says what went wrong", () => {
    const error = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n";
    face = mount(state({ components: [component("a", { status: "error", error })] }));
    expect(text(".bw-error-text")).toBe("KeyError: 'x'");
    expect(row(face.root, "component:a").textContent).toContain("KeyError: 'x'");
    face.live.select(["component:a"]);
    face.live.flush();
    expect(text(".bw-pre")).toContain('File "a.py"');
  });

  it("an unknown percentage is called so, never zero", () => {
    face = mount(state({ components: [component("a")] }));
    expect(text(".bw-percent")).toBe("unknown");
    expect(face.root.querySelector('[role="progressbar"]')?.hasAttribute("aria-valuenow")).toBe(false);
  });

  it("errors stand first, then warnings, and lead to their rows", async () => {
    face = mount(storefront(Date.now()));
    // The component only tells of its feature: one failure, in the list, in the counts.
    expect(text(".bw-errors .bw-section-title")).toBe("1 error");
    expect(text(".bw-counts .bw-is-fail")).toBe("1 failed");
    expect(text(".bw-warnings .bw-section-title")).toBe("2 warnings");
    const link = [...face.root.querySelectorAll<HTMLElement>(".bw-link")].find(
      (b) => b.textContent === "Webhook signatures",
    );
    link?.click();
    const key = "feature:payments-3";
    await until("focus on the row", () => document.activeElement === face.root.querySelector(`[data-key="${key}"]`));
    expect([...face.live.selected]).toEqual([key]);
    await until("the details", () => text(".bw-details-name") === "Webhook signatures");
  });

  it("an update after a silence is in the page before the message is done with", async () => {
    face = mount(state({ components: [component("a", { progress: 10 })] }));
    face.live.flush();
    await new Promise((resolve) => setTimeout(resolve, 40));
    face.live.apply([message("component_update", 2, component("a", { progress: 42, status: "in_progress" }))]);
    expect(row(face.root, "component:a").textContent).toMatch(/42\s%/);
    expect(row(face.root, "component:a").textContent).toContain("In progress");
  });

  it("features without a component stand under their own heading", () => {
    face = mount(
      state({
        components: [component("a")],
        features: [feature("f", { component_id: "a" }), feature("g", { component_id: "gone" })],
      }),
    );
    expect(visible()).toEqual(["component:a", "feature:f", "group:other-features", "feature:g"]);
  });

  it("components stand in the order they can be built in, circles or not", () => {
    face = mount(
      state({
        components: [
          component("a", { dependencies: ["z"] }),
          component("b", { dependencies: ["c"] }),
          component("c", { dependencies: ["b", "nowhere"] }),
          component("z"),
        ],
      }),
    );
    expect(visible()).toEqual(["component:z", "component:a", "component:c", "component:b"]);
  });

  it("waits in words when there is nothing", async () => {
    face = mount();
    expect(text(".bw-waiting")).toContain("Waiting for .buildrunner in ~/projects/shop");
    expect(face.root.querySelector<HTMLElement>(".bw-tabs")?.hidden).toBe(true);
    face.live.adopt(state({ progress: { ...emptyState().progress, percent: 4 } }), "e", 1);
    await until("the tabs", () => face.root.querySelector<HTMLElement>(".bw-tabs")?.hidden === false);
    expect(text(".bw-empty-line")).toContain("No components yet");
    expect(face.root.querySelector<HTMLElement>(".bw-waiting")?.hidden).toBe(true);
  });

  it.each([900, 380])(
    "says in its body what it waits for, where, and what would start it, %s px wide",
    async (width) => {
      const path = `/srv/${"a-long-name-of-a-folder/".repeat(9)}.buildrunner`;
      const why = `Waiting: ${path} does not exist. This starts by itself as soon as a build writes its first file.`;
      const warning = { file_path: ".buildrunner", code: "waiting", message: why };
      face = mount(state({ warnings: [warning] }), width);
      const waiting = face.root.querySelector<HTMLElement>(".bw-waiting") as HTMLElement;
      expect(text(".bw-waiting-title")).toBe("Waiting for a build");
      expect(text(".bw-waiting-text")).toBe(why.replace("Waiting: ", ""));
      // All of it can be read: nothing is cut off, and nothing of a build is made up around it.
      const [box, root] = [waiting.getBoundingClientRect(), face.root.getBoundingClientRect()];
      expect(waiting.scrollWidth).toBeLessThanOrEqual(waiting.clientWidth);
      expect(box.height).toBeGreaterThan(60);
      expect(root.bottom).toBeGreaterThanOrEqual(box.bottom);
      for (const gone of [".bw-tabs", ".bw-progress-row", ".bw-badge", ".bw-warnings"]) {
        const el = face.root.querySelector<HTMLElement>(gone);
        expect(el === null || el.getClientRects().length === 0, gone).toBe(true);
      }
      expect(text(".bw-pill")).toBe("Waiting");
      const dot = getComputedStyle(face.root.querySelector(".bw-dot") as Element);
      expect(dot.backgroundColor).toBe("rgba(0, 0, 0, 0)");
      const { violations } = await axe.run(face.root, { resultTypes: ["violations"] });
      expect(violations.map((v) => `${v.id}: ${v.nodes[0]?.html}`)).toEqual([]);
      face.live.apply([message("component_update", 2, component("api"))]);
      await until("the tabs", () => face.root.querySelector<HTMLElement>(".bw-tabs")?.hidden === false);
      expect(waiting.hidden).toBe(true);
    },
  );

  it("waits too where the folder is there and tells of no build, and shows what is wrong with it", () => {
    face = mount(state());
    expect(text(".bw-waiting")).toContain(
      "~/projects/shop/.buildrunner is watched, but no file in it tells of a build",
    );
    expect(face.root.querySelector<HTMLElement>(".bw-tabs")?.hidden).toBe(true);
    face.stop();
    face = mount(state({ warnings: [{ file_path: "a.json", code: "bad_json", message: "is no JSON" }] }));
    expect(text(".bw-waiting")).toContain("is watched");
    expect(text(".bw-warnings")).toContain("is no JSON");
    expect(face.root.querySelector<HTMLElement>(".bw-tabs")?.hidden).toBe(false);
  });

  it("failures without a reason stand together, each counts, and each can be reached", async () => {
    const tasks = Array.from({ length: 26 }, (_, i) => task(`t${i + 10}`, { status: "error" }));
    face = mount(state({ features: [feature("f", { status: "completed" })], tasks }));
    expect(text(".bw-errors .bw-section-title")).toBe("26 errors");
    expect(face.root.querySelectorAll(".bw-error")).toHaveLength(1);
    expect(text(".bw-error")).toBe("t10 task t11 task t12 task and 23 more 26 failures, no reason given More");
    // The parts of the build are all well: the header says all the same that something failed.
    expect(text(".bw-counts .bw-is-fail")).toBe("26 failed");
    face.root.querySelector<HTMLElement>(".bw-whole")?.click();
    expect(face.root.querySelectorAll(".bw-error .bw-link")).toHaveLength(26);
    face.live.apply(tasks.map((t, i) => message("task_update", 2 + i, { ...t, status: "completed" })));
    await until("all is well", () => face.root.querySelector(".bw-counts .bw-is-fail, .bw-error") === null);
  });

  it.each([340, 800, 1400])("a whole error can be read without a mouse, %s px wide", async (width) => {
    const error = `ForeignKeyViolation: ${"insert into refunds violates a constraint of payments; ".repeat(8)}the end`;
    face = mount(state({ components: [component("a", { status: "error", error })] }), width);
    const said = face.root.querySelector<HTMLElement>(".bw-error-text") as HTMLElement;
    const more = (): HTMLElement | null => face.root.querySelector<HTMLElement>(".bw-whole");
    await until("the way to more", () => more() !== null);
    expect(more()?.getAttribute("aria-expanded")).toBe("false");
    more()?.focus();
    more()?.click();
    expect(more()?.getAttribute("aria-expanded")).toBe("true");
    expect(said.textContent).toBe(error);
    await frame();
    expect([said.scrollWidth, said.scrollHeight]).toEqual([said.clientWidth, said.clientHeight]);
    expect(document.activeElement).toBe(more());
    more()?.click();
    await frame();
    await frame();
    expect(said.scrollWidth > said.clientWidth || said.scrollHeight > said.clientHeight).toBe(true);
    expect(more()?.textContent?.trim()).toBe("More");
  });

  it("a short error offers no more than there is", async () => {
    face = mount(state({ components: [component("a", { status: "error", error: "no such file" })] }));
    await frame();
    await frame();
    expect(face.root.querySelector(".bw-whole")).toBeNull();
  });

  it.each([420, 560, 640, 720, 800, 900])("the counts part where their sense parts, %s px wide", (width) => {
    const s = storefront(Date.now());
    face = mount(s, width);
    const [what, how] = [...face.root.querySelectorAll(".bw-count-group")].map((el) => el.getBoundingClientRect());
    // Either all on one line, or what there is above how it stands.
    const oneLine = Math.abs((what as DOMRect).top - (how as DOMRect).top) < 2;
    expect(oneLine || (how as DOMRect).top >= (what as DOMRect).bottom - 1).toBe(true);
    if (width >= 560) expect((how as DOMRect).height).toBeLessThan(30);
  });

  it("calls a silent, unfinished build stalled, and a finished one not", () => {
    const s = storefront(Date.now());
    s.updated_at = new Date(Date.now() - 16 * 60_000).toISOString();
    face = mount(s);
    expect(text(".bw-badge")).toBe("Stalled");
    face.stop();
    const f = finished(Date.now(), true);
    f.updated_at = new Date(Date.now() - 16 * 60_000).toISOString();
    face = mount(f);
    expect(text(".bw-badge")).toBe("Done");
  });

  it("puts text of files into the page as text and nothing else", () => {
    const evil = `<img src=x onerror="globalThis.pwned=1"><script>globalThis.pwned=1</script>"'\`\${1}`;
    face = mount(
      state({
        session: { ...emptyState().session, project: evil, phase: evil },
        components: [
          component("a", { name: evil, component_type: evil, status: "error", error: evil, status_raw: evil }),
        ],
        features: [feature("f", { name: evil, component_id: "a", priority: evil, description: evil })],
        warnings: [{ file_path: evil, code: evil, message: evil }],
      }),
    );
    face.live.select(["component:a"]);
    expect(face.root.querySelector("img, script")).toBeNull();
    expect(text(".bw-project")).toBe(evil);
    expect((globalThis as { pwned?: number }).pwned).toBeUndefined();
  });

  it("notices stand above the errors, as text, and go when dismissed, with the focus staying near", () => {
    const evil = `<img src=x onerror="globalThis.pwned=1">\n\${1}`;
    face = mount(storefront(Date.now()));
    const bar = face.root.querySelector<HTMLElement>(".bw-notices") as HTMLElement;
    expect(bar.hidden).toBe(true);
    face.live.notice("error", evil);
    face.live.notice("warning", "second");
    face.live.flush();
    const [first, second] = [...bar.querySelectorAll<HTMLElement>(".bw-notice")];
    expect(first?.querySelector('[role="alert"]')?.textContent).toBe(evil);
    expect(bar.querySelector("img")).toBeNull();
    const errors = face.root.querySelector(".bw-errors") as Element;
    expect(bar.compareDocumentPosition(errors) & Node.DOCUMENT_POSITION_FOLLOWING).toBeTruthy();
    // What is said again is counted in its place: the alert is not made anew.
    face.live.notice("error", evil);
    face.live.flush();
    expect(bar.firstElementChild).toBe(first);
    expect(text(".bw-notice-times")).toBe("×2");
    const dismiss = (el: HTMLElement | undefined): void => {
      el?.querySelector("button")?.focus();
      (document.activeElement as HTMLElement).click();
      face.live.flush();
    };
    dismiss(first);
    expect([...bar.children]).toEqual([second]);
    expect(second?.contains(document.activeElement)).toBe(true);
    dismiss(second);
    expect(bar.hidden).toBe(true);
    expect(document.activeElement?.getAttribute("role")).toBe("tab");
  });

  it("a long notice stays within the cell", () => {
    face = mount(undefined, 320);
    face.live.notice("error", `A callback failed: ValueError: ${"x".repeat(3000)}`);
    face.live.flush();
    const box = face.root.getBoundingClientRect();
    const button = face.root.querySelector(".bw-notice button")?.getBoundingClientRect() as DOMRect;
    expect(button.right).toBeLessThan(box.right);
    expect(face.root.querySelector(".bw-notice")?.getBoundingClientRect().height).toBeLessThan(150);
  });

  it("survives strange numbers", () => {
    face = mount(
      state({
        components: [component("a", { progress: -5 }), component("b", { progress: 1e308 })],
        progress: { ...emptyState().progress, percent: 1e308 },
      }),
    );
    expect(face.root.querySelector('[role="progressbar"]')?.getAttribute("aria-valuenow")).toBe("100");
  });

  it("names only the tabs that hold something, and opens them by key", () => {
    face = mount(storefront(Date.now()));
    const tabs = (): string[] =>
      [...face.root.querySelectorAll('[role="tab"]')].map((t) => t.textContent?.replace(/\s+/g, " ").trim() ?? "");
    expect(tabs().map((t) => t.replace(/\d+$/, ""))).toEqual(["Build", "Phases", "Tasks", "Checkpoints", "Warnings"]);
    face.root.querySelector<HTMLElement>('[role="tab"]')?.focus();
    press("ArrowRight");
    expect(text('[role="tab"][aria-selected="true"]')).toContain("Phases");
    press("End");
    expect(text('[role="tab"][aria-selected="true"]')).toContain("Warnings");
    press("Home");
    expect(text('[role="tab"][aria-selected="true"]')).toContain("Build");
    expect(face.root.querySelectorAll('[role="tab"][tabindex="0"]')).toHaveLength(1);
    face.stop();
    face = mount(state({ components: [component("a")] }));
    expect(tabs()).toEqual(["Build1"]);
  });

  it("strikes rolled back checkpoints through", () => {
    face = mount(storefront(Date.now()));
    face.root.querySelector<HTMLElement>('[id$="-tab-checkpoints"]')?.click();
    expect(text(".bw-rolled s")).toBe("checkpoint_20260301_092518_640031");
  });

  it("announces milestones, and only those", async () => {
    face = mount(storefront(Date.now()));
    const said = (): string => text(".bw-announcer");
    const s = face.live.store;
    face.live.apply([message("build_progress", 2, { ...s.progress, percent: 53 })]);
    face.live.apply([message("component_update", 3, { ...s.components.get("cart"), progress: 80 })]);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(said()).toBe("");
    face.live.apply([
      message("build_progress", 4, { ...s.progress, percent: 76 }),
      message("session_update", 5, { ...s.session, status: "failed" }),
    ]);
    await until("the milestones", () => said().includes("Failed"));
    expect(said()).toContain("76 % done");
  });
});

describe("keys and choices", () => {
  const two = (): State =>
    state({
      components: [component("a", { name: "Alpha" }), component("b", { name: "Beta" })],
      features: [
        feature("a1", {
          name: "Anchor",
          component_id: "a",
          tasks: [{ id: "t", name: "Check me", completed: true, timestamp: null }],
        }),
      ],
    });

  it("moves, folds and unfolds by key, and swallows only what it handles", () => {
    face = mount(two());
    row(face.root, "component:a").focus();
    expect(press("ArrowDown").defaultPrevented).toBe(true);
    expect(document.activeElement).toBe(row(face.root, "feature:a1"));
    press("ArrowRight");
    expect(visible()).toEqual(["component:a", "feature:a1", "check:0:a1", "component:b"]);
    expect(row(face.root, "check:0:a1").textContent).toContain("Check me");
    press("ArrowLeft");
    expect(visible()).toHaveLength(3);
    press("ArrowLeft");
    expect(document.activeElement).toBe(row(face.root, "component:a"));
    press("End");
    expect(document.activeElement).toBe(row(face.root, "component:b"));
    press("a");
    expect(document.activeElement).toBe(row(face.root, "component:a"));
    expect(press("F5").defaultPrevented).toBe(false);
    expect(press("s", { ctrlKey: true }).defaultPrevented).toBe(false);
    expect(face.root.querySelectorAll('.bw-row[tabindex="0"]')).toHaveLength(1);
  });

  it("chooses one, many and ranges", () => {
    face = mount(two());
    row(face.root, "component:a").click();
    expect([...face.live.selected]).toEqual(["component:a"]);
    row(face.root, "component:b").dispatchEvent(new MouseEvent("click", { bubbles: true, ctrlKey: true }));
    expect([...face.live.selected]).toEqual(["component:a", "component:b"]);
    expect(row(face.root, "component:b").getAttribute("aria-selected")).toBe("true");
    row(face.root, "component:a").click();
    row(face.root, "component:b").dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
    expect([...face.live.selected]).toEqual(["component:a", "feature:a1", "component:b"]);
    press("Escape");
    expect(face.live.selected.size).toBe(0);
    press(" ");
    expect(face.live.selected.size).toBe(1);
  });

  it("filters by words, status and kind, and keeps the way to what it finds", () => {
    face = mount(two());
    const input = face.root.querySelector<HTMLInputElement>(".bw-input") as HTMLInputElement;
    const type = (value: string): void => {
      input.value = value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      face.live.flush();
    };
    type("anchor");
    expect(visible()).toEqual(["component:a", "feature:a1"]);
    type("kind:component beta");
    expect(visible()).toEqual(["component:b"]);
    type("status:done");
    expect(visible()).toEqual([]);
    expect(text(".bw-empty-line")).toBe("Nothing matches the filter.");
    type("");
    expect(visible()).toHaveLength(3);
  });

  it("keeps what is typed from the notebook's one-letter commands", () => {
    face = mount(two());
    const input = face.root.querySelector<HTMLInputElement>(".bw-input");
    let heard = 0;
    const count = (): void => {
      heard += 1;
    };
    document.addEventListener("keydown", count);
    input?.focus();
    press("d");
    document.removeEventListener("keydown", count);
    expect(heard).toBe(0);
    expect(input?.dataset.lmSuppressShortcuts).toBe("true");
  });

  it("does not move rows at an update", async () => {
    face = mount(two());
    const before = visible();
    face.live.apply([message("component_update", 2, component("b", { status: "error", error: "x" }))]);
    await frame();
    expect(visible()).toEqual(before);
  });
});

describe("axe finds nothing", () => {
  const themes: [string, Record<string, string>][] = [
    ["light", { light: "true", name: "JupyterLab Light", ground: "#ffffff" }],
    ["dark", { light: "false", name: "JupyterLab Dark", ground: "#111111" }],
    ["dark high contrast", { light: "false", name: "JupyterLab Dark High Contrast", ground: "#000000" }],
  ];
  const states: [string, () => State | undefined][] = [
    ["running", () => storefront(Date.now())],
    ["failed", () => finished(Date.now(), false)],
    ["empty", () => undefined],
    ["notices", () => state({ components: [component("a")] })],
  ];
  for (const [theme, marks] of themes) {
    for (const [name, make] of states) {
      it(`${name}, ${theme}`, async () => {
        document.body.dataset.jpThemeLight = marks.light as string;
        document.body.dataset.jpThemeName = marks.name as string;
        document.body.style.background = marks.ground as string;
        document.documentElement.style.setProperty("--jp-layout-color0", marks.ground as string);
        face = mount(make());
        face.live.select(["component:payments"]);
        if (name === "notices") {
          for (const word of ["one", "two", "two"]) face.live.notice(word === "one" ? "warning" : "error", word);
        }
        for (const tab of ["build", "phases", "tasks", "checkpoints", "warnings"]) {
          const button = face.root.querySelector<HTMLElement>(`[id$="-tab-${tab}"]`);
          if (tab !== "build" && button === null) continue;
          button?.click();
          await frame();
          const { violations } = await axe.run(face.root, { resultTypes: ["violations"] });
          expect(
            violations.map(
              (v) =>
                `${tab}: ${v.id}: ${v.nodes
                  .map((n) => `${n.html} ${n.failureSummary}`)
                  .slice(0, 2)
                  .join(" | ")}`,
            ),
          ).toEqual([]);
        }
        document.documentElement.style.removeProperty("--jp-layout-color0");
      });
    }
  }
});
