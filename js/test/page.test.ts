import axe from "axe-core";
import { afterEach, describe, expect, it, vi } from "vitest";
import { parseAnsi } from "../src/ansi";
import { component, message } from "../src/dev/scenario";
import { toneOf } from "../src/format";
import { sessionHref } from "../src/page/list";
import { readSessions } from "../src/page/sessions";
import { iconAddress, titleOf } from "../src/page/sign";
import { Strip } from "../src/page/strip";
import type { State, TerminalLine } from "../src/protocol";
import { emptyState } from "../src/store";
import { frame, type Mounted, mount, press, until } from "./helpers";

let face: Mounted;
afterEach(() => {
  face?.stop();
  delete document.body.dataset.jpThemeLight;
  vi.useRealTimers();
});

const ESC = "\u001b";

function withOutput(lines: readonly (string | Partial<TerminalLine>)[], first = 1): State {
  const tail = lines.map((line, i): TerminalLine => {
    const own = typeof line === "string" ? { text: line } : line;
    return { line: first + i, text: "", output_type: "stdout", source: null, ...own };
  });
  return {
    ...emptyState(),
    components: [component("api")],
    terminal: { first_line: first, next_line: first + lines.length, tail },
    updated_at: new Date().toISOString(),
  };
}

/** The face with its output open. */
async function show(state: State): Promise<HTMLElement> {
  face = mount(state);
  face.root.querySelector<HTMLElement>('[id$="-tab-output"]')?.click();
  await frame();
  await frame();
  return face.root.querySelector<HTMLElement>(".bw-output") as HTMLElement;
}

const texts = (): string[] => [...face.root.querySelectorAll(".bw-line-text")].map((el) => el.textContent ?? "");
let seq = 2;
function print(line: number, output: string, over: object = {}): void {
  const fields = { output, content: output, output_type: "stdout", source: null, line, ...over };
  face.live.apply([message("terminal_output", ++seq, fields)]);
}
const many = (n: number): string[] => Array.from({ length: n }, (_, i) => `line ${i + 1}`);
const atEnd = (el: HTMLElement): boolean => el.scrollHeight - el.scrollTop - el.clientHeight < 4;

describe("output", () => {
  it("has a tab only when there is some, with its number of lines", async () => {
    face = mount({ ...withOutput([]), components: [component("api")] });
    expect(face.root.querySelector('[id$="-tab-output"]')).toBeNull();
    print(1, "one\ntwo");
    await until("the tab", () => face.root.querySelector('[id$="-tab-output"]') !== null);
    expect(face.root.querySelector('[id$="-tab-output"] .bw-tab-count')?.textContent).toBe("2");
  });

  it("shows lines as text and nothing else, with colours as classes", async () => {
    const evil = `<img src=x onerror="globalThis.pwned=1">`;
    await show(withOutput([evil, `a ${ESC}[31mred${ESC}[0m b`, `${ESC}[1;32mon`, `off`, ""]));
    expect(texts()).toEqual([evil, "a red b", "on", "off", ""]);
    expect(face.root.querySelector(".bw-output img")).toBeNull();
    expect(face.root.querySelector(".bw-output [style]:not(.bw-output-list)")).toBeNull();
    const runs = [...face.root.querySelectorAll(".bw-line-text span")].map((el) => [el.className, el.textContent]);
    expect(runs).toEqual([
      ["bw-ink-red", "red"],
      ["bw-ink-green bw-bold", "on"],
    ]);
  });

  it("names the source where it changes, and marks what is no ordinary output with a word", async () => {
    await show(
      withOutput([
        { text: "a", source: "logs/a.log" },
        { text: "b", source: "logs/a.log" },
        { text: "c", source: "logs/b.log", output_type: "stderr" },
        { text: "d", source: "logs/a.log", output_type: "error" },
      ]),
    );
    expect([...face.root.querySelectorAll(".bw-line")].map((el) => el.textContent)).toEqual([
      "logs/a.loga",
      "b",
      "logs/b.logerrc",
      "logs/a.logerrord",
    ]);
  });

  it("says how many earlier lines are not shown, and keeps the numbers of the others", async () => {
    const first = (): HTMLElement | null => face.root.querySelector(".bw-line-number");
    const said = (): string => face.root.querySelector(".bw-tools .bw-quiet")?.textContent ?? "";
    await show(withOutput(many(500)));
    expect(said()).toBe("500 lines");
    print(501, many(103).join("\n"));
    await until("the line", () => first()?.dataset.number === "104");
    expect(said()).toBe("603 lines, 103 earlier lines not shown");
    face.stop();
    await show(withOutput([{ text: "2,000 earlier lines not shown", output_type: "info" }, "line 2001"], 2000));
    expect(texts()).toEqual(["2,000 earlier lines not shown", "line 2001"]);
    expect(said()).toBe("2,001 lines");
  });

  it("draws lines again in place", async () => {
    await show(withOutput(["before", "outer 0/3", "inner 0/5"]));
    const rows = [...face.root.querySelectorAll<HTMLElement>(".bw-line")];
    print(2, `${ESC}[32mouter 1/3${ESC}[0m\n`);
    await until("the bar", () => texts()[1] === "outer 1/3");
    expect(texts()).toEqual(["before", "outer 1/3", "inner 0/5"]);
    expect(face.root.querySelector('[data-line="1"]')).toBe(rows[0]);
    expect(face.root.querySelector('[data-line="3"]')).toBe(rows[2]);
  });

  it("replaces a line that went on, and keeps the others in place", async () => {
    await show(withOutput(["first", "50 %"]));
    const before = face.root.querySelector('[data-line="1"]');
    print(2, "60 %");
    print(3, "done");
    await until("the new lines", () => texts().length === 3);
    expect(texts()).toEqual(["first", "60 %", "done"]);
    expect(face.root.querySelector('[data-line="1"]')).toBe(before);
  });

  it("stays at the end until somebody scrolls, then keeps the place, and goes back when told", async () => {
    const box = await show(withOutput(many(300)));
    await until("the end", () => atEnd(box));
    print(301, "more");
    await until("the end again", () => texts().at(-1) === "more" && atEnd(box));
    box.scrollTop = 2000;
    await until("the way back", () => face.root.querySelector(".bw-newest") !== null);
    const reading = (): Element | null => {
      const { left, top } = box.getBoundingClientRect();
      return document.elementFromPoint(left + 60, top + 40)?.closest(".bw-line") ?? null;
    };
    const line = reading();
    const place = line?.getBoundingClientRect().top;
    // The window is 500 lines: the first ones go.
    print(302, many(260).join("\n"));
    await until("the lines", () => texts().length === 500);
    expect(line?.getBoundingClientRect().top).toBeCloseTo(place as number, 0);
    const button = face.root.querySelector<HTMLElement>(".bw-newest");
    expect(button?.textContent?.replace(/\s+/g, " ").trim()).toBe("260 new lines ↓");
    button?.click();
    await until("the end at last", () => atEnd(box));
    expect(document.activeElement).toBe(box);
    expect(face.root.querySelector(".bw-newest")).toBeNull();
  });

  it("knows that somebody has scrolled before the browser tells it, and never goes back to the end then", async () => {
    const box = await show(withOutput(many(300)));
    await until("the end", () => atEnd(box));
    // No frame passes in between: nobody has been told of the scrolling when the lines come.
    box.scrollTop = 2000;
    face.live.apply([
      message("terminal_output", ++seq, { output: "more", content: "more", output_type: "stdout", line: 301 }),
    ]);
    face.live.flush();
    await until("the line", () => texts().at(-1) === "more");
    expect(box.scrollTop).toBe(2000);
    box.style.width = "600px";
    await until("the button", () => face.root.querySelector(".bw-newest") !== null);
    expect(box.scrollTop).toBe(2000);
    // A few pixels up are enough, or nobody could ever leave the end of a flood by a slow finger.
    face.root.querySelector<HTMLElement>(".bw-newest")?.click();
    expect(atEnd(box)).toBe(true);
    box.scrollTop -= 6;
    print(302, "one more");
    await until("the last line", () => texts().at(-1) === "one more");
    expect(atEnd(box)).toBe(false);
    // And near the end is the end for who comes back to it.
    box.scrollTop = box.scrollHeight - box.clientHeight - 10;
    print(303, "the last");
    await until("the end again", () => texts().at(-1) === "the last" && atEnd(box));
    expect(face.root.querySelector(".bw-newest")).toBeNull();
  });

  it("stays at the end whatever happens to the room, with an event of its own scrolling on its way", async () => {
    const box = await show(withOutput(many(300)));
    await until("the end", () => atEnd(box));
    for (const [height, width] of [
      [120, 900],
      [400, 300],
      [90, 700],
      [300, 500],
    ]) {
      print(301, `line ${height}`);
      face.live.flush();
      face.host.style.width = `${width}px`;
      box.style.maxHeight = `${height}px`;
      // The browser tells of our own scrolling when the room is another one already.
      box.dispatchEvent(new Event("scroll"));
      await until("the end again", () => texts().at(-1) === `line ${height}` && atEnd(box));
      expect(face.root.querySelector(".bw-newest")).toBeNull();
    }
    // Taken out of the page and put elsewhere within one task: the browser begins at the top, and nobody has scrolled.
    const other = document.createElement("div");
    document.body.append(other);
    other.append(face.host);
    print(302, "elsewhere");
    await until("the end elsewhere", () => texts().at(-1) === "elsewhere" && atEnd(box));
    other.remove();
  });

  it("is where it was when another tab was looked at", async () => {
    const box = await show(withOutput(many(300)));
    await until("the end", () => atEnd(box));
    box.scrollTop = 1000;
    await until("the place", () => face.root.querySelector(".bw-newest") !== null);
    const open = (id: string): void => face.root.querySelector<HTMLElement>(`[id$="-tab-${id}"]`)?.click();
    open("build");
    await frame();
    open("output");
    await until("the place again", () => Math.abs(box.scrollTop - 1000) < 2);
    face.root.querySelector<HTMLElement>(".bw-newest")?.click();
    open("build");
    print(301, "more");
    await frame();
    open("output");
    await until("the end", () => texts().at(-1) === "more" && atEnd(box));
  });

  it("keeps the keys that scroll from the notebook", async () => {
    const box = await show(withOutput(many(50)));
    let heard = 0;
    const count = (): void => {
      heard += 1;
    };
    document.addEventListener("keydown", count);
    box.focus();
    expect(press("ArrowDown").defaultPrevented).toBe(false);
    expect(heard).toBe(0);
    press("Escape");
    expect(heard).toBe(1);
    document.removeEventListener("keydown", count);
  });

  it("keeps up with a flood", async () => {
    await show(withOutput(many(500)));
    const began = performance.now();
    for (let i = 0; i < 100; i++) {
      print(501 + i * 500, many(500).join("\n"));
      if (i % 10 === 9) await frame();
    }
    await until("the last line", () => face.root.querySelector('[data-line="50500"]') !== null);
    expect(texts()).toHaveLength(500);
    expect(performance.now() - began).toBeLessThan(4000);
  });
});

describe("colours", () => {
  it.each([
    ["256 colours", `${ESC}[38;5;196mx`, [["x", "bw-ink-red"]]],
    ["true colours", `${ESC}[38;2;0;0;255mx`, [["x", "bw-ink-blue"]]],
    ["colons", `${ESC}[38:2::0:255:0mx${ESC}[4:0my`, [["xy", "bw-ink-green"]]],
    ["grounds", `${ESC}[44;97mx`, [["x", "bw-on-blue"]]],
    ["inverse", `${ESC}[7mx${ESC}[27my`, [["x", "bw-on-ink"], ["y", ""]]], // biome-ignore format: one line
    ["colours of underlines", `${ESC}[58;5;1mx${ESC}[58:2::1:2:3;4my`, [["x", ""], ["y", "bw-underline"]]], // biome-ignore format: one line
    ["what ends without 0", `${ESC}[1;2;31;42mx${ESC}[22;39;49my`, [["x", "bw-on-green bw-bold"], ["y", ""]]], // biome-ignore format: one line
    ["what is no colour", `${ESC}]0;title\u0007a${ESC}[2Kb${ESC}[38mc${ESC}[99md`, [["abcd", ""]]],
    ["what is cut off", `a${ESC}[3`, [["a", ""]]],
    ["controls", "a\u0000\u0007b\tc", [["ab\tc", ""]]],
  ])("%s", (_, text, runs) => {
    expect(parseAnsi(text).map((run) => [run.text, run.classes])).toEqual(runs);
  });

  const hues = ["red", "green", "yellow", "blue", "magenta", "cyan", "soft", "strong"];
  it.each(["light", "dark"])("can be read, %s", async (theme) => {
    document.body.dataset.jpThemeLight = String(theme === "light");
    const box = await show(withOutput(["x", { text: "y", output_type: "error" }]));
    const list = box.querySelector(".bw-line-text") as HTMLElement;
    const bad = box.querySelector(".bw-line-fail") as HTMLElement;
    const of = (el: Element, name: "color" | "backgroundColor"): number => {
      const numbers =
        getComputedStyle(el)
          [name].match(/[\d.]+/g)
          ?.map(Number) ?? [];
      const scale = getComputedStyle(el)[name].startsWith("color(") ? 1 : 255;
      const [r = 0, g = 0, b = 0] = numbers.map((c) => {
        const s = c / scale;
        return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (ink: Element, ground: Element): number => {
      const [a, b] = [of(ink, "color"), of(ground, "backgroundColor")].sort((x, y) => y - x) as [number, number];
      return (a + 0.05) / (b + 0.05);
    };
    const probe = document.createElement("span");
    const found: string[] = [];
    for (const [place, ground] of [
      [list, box],
      [bad, bad],
    ] as const) {
      place.append(probe);
      for (const hue of hues) {
        probe.className = `bw-ink-${hue}`;
        if (contrast(probe, ground) < 4.5) found.push(`${probe.className} ${contrast(probe, ground)}`);
        probe.className = `bw-on-${hue}`;
        if (contrast(probe, probe) < 4.5) found.push(`${probe.className} ${contrast(probe, probe)}`);
      }
      probe.className = "bw-on-ink";
      expect(contrast(probe, probe)).toBeGreaterThan(10);
    }
    probe.remove();
    expect(found).toEqual([]);
    const { violations } = await axe.run(face.root, { resultTypes: ["violations"] });
    expect(violations.map((v) => `${v.id}: ${v.nodes[0]?.html}`)).toEqual([]);
  });
});

describe("what a page says of its connection", () => {
  it("speaks of a server, not of a kernel", () => {
    face = mount();
    face.live.setLink({ peer: "server" });
    const pill = (): HTMLElement => face.root.querySelector<HTMLElement>(".bw-pill") as HTMLElement;
    const waiting = (): string => face.root.querySelector(".bw-waiting")?.textContent?.trim() ?? "";
    for (const state of [
      "connecting",
      "live",
      "stale",
      "reconnecting",
      "offline",
      "gone",
      "refused",
      "missing",
    ] as const) {
      face.live.setConnection(state);
      face.live.flush();
      expect(pill().title, state).not.toContain("kernel");
      expect(waiting(), state).not.toMatch(/cell|kernel/);
      // Nothing is known of a build: that is not called live.
      expect(pill().className).toContain(state === "live" ? "waiting" : state);
    }
    face.live.setLink({ why: "Because." });
    face.live.flush();
    expect(pill().title).toBe("Because.");
  });

  it("says what is wrong and when it is tried again, unless it is over at once", async () => {
    let tried = 0;
    const strip = new Strip(() => {
      tried += 1;
    });
    const now = Date.now();
    const trouble = { word: "Server gone", why: "It does not answer.", retryAt: now + 4000, trueAt: now - 65_000 };
    strip.set(trouble);
    expect(strip.el.hidden).toBe(true);
    strip.set(null);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(strip.el.hidden).toBe(true);
    strip.set(trouble);
    await until("the strip", () => !strip.el.hidden);
    const text = strip.el.textContent?.replace(/\s+/g, " ").trim();
    expect(text).toMatch(
      /^Server gone\. It does not answer\. What you see was true 1 min ago\. Next try in \d s Try now$/,
    );
    strip.el.querySelector("button")?.click();
    expect(tried).toBe(1);
    strip.set({ ...trouble, retryAt: null, trueAt: null });
    expect(strip.el.textContent?.replace(/\s+/g, " ")).toMatch(/answer\. Trying…/);
    strip.set(null);
    expect(strip.el.hidden).toBe(true);
  });
});

describe("the list of sessions", () => {
  it("believes only what can be believed", () => {
    expect(readSessions(null)).toEqual([]);
    expect(readSessions({ sessions: 5 })).toEqual([]);
    const rows = readSessions({
      sessions: [null, 5, {}, { session_id: 7 }, { session_id: "a", project: 5, status: "odd", percent: "x" }],
    });
    expect(rows).toEqual([{ id: "a", project: "a", status: "unknown", percent: null, phase: null, updatedAt: null }]);
    expect(sessionHref("a&b=<c>")).toBe("?session=a%26b%3D%3Cc%3E");
  });

  it("titles and icons tell how a build stands", () => {
    expect(titleOf("shop", "In progress", 62, null)).toBe("62\u00a0% · shop · In progress");
    expect(titleOf("shop", "Unknown", null, "Server gone")).toBe("shop · Server gone");
    const icons = ["completed", "failed", "in_progress", "pending", "stalled", "unknown"] as const;
    expect(new Set(icons.map((status) => iconAddress(toneOf(status), 50, true))).size).toBe(icons.length);
    expect(iconAddress("fail", null, true)).not.toBe(iconAddress("fail", null, false));
  });
});
