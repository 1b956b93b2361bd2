// Whatever host shows the cell: it has a width, and is as dark as what is behind it.

import { page } from "@vitest/browser/context";
import axe from "axe-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { storefront } from "../src/dev/scenario";
import widget from "../src/widget";
import { FakeModel } from "./fake-model";
import { frame, type Mounted, mount, until } from "./helpers";

let face: Mounted | undefined;
let added: HTMLElement[] = [];

/** Puts markup into the page and gives the element marked `id=host`. */
function markup(html: string): HTMLElement {
  const box = document.createElement("div");
  box.innerHTML = html;
  document.body.append(box);
  added.push(box);
  return box.querySelector<HTMLElement>("#host") as HTMLElement;
}

function show(host: HTMLElement): HTMLElement {
  face = mount(storefront(Date.now()), undefined, host);
  return face.root;
}

afterEach(() => {
  face?.stop();
  face = undefined;
  for (const el of added) el.remove();
  added = [];
  for (const el of [document.documentElement, document.body]) {
    el.removeAttribute("style");
    el.removeAttribute("class");
    for (const name of Object.keys(el.dataset)) delete el.dataset[name];
  }
});

describe("the cell has a width", () => {
  const parents: [string, string][] = [
    ["a block", '<div style="width:900px"><div id="host"></div></div>'],
    ["a row", '<div style="display:flex;width:900px"><div id="host"></div></div>'],
    ["a row with others", '<div style="display:flex;width:900px"><p>one</p><div id="host"></div><p>two</p></div>'],
    [
      "a row with one who takes all",
      '<div style="display:flex;width:900px"><div id="host"></div><div style="flex:none;width:900px">x</div></div>',
    ],
    ["a row that aligns", '<div style="display:flex;align-items:baseline;width:900px"><div id="host"></div></div>'],
    ["a row of the ends", '<div style="display:flex;justify-content:end;width:900px"><div id="host"></div></div>'],
    [
      "a row in a row",
      '<div style="display:flex"><div style="display:flex"><div id="host"></div></div><b>side</b></div>',
    ],
    ["an inline row", '<div style="display:inline-flex"><div id="host"></div></div>'],
    ["a column", '<div style="display:flex;flex-direction:column;width:900px"><div id="host"></div></div>'],
    [
      "a column with all in the middle",
      '<div style="display:flex;flex-direction:column;align-items:center;width:900px"><div id="host"></div></div>',
    ],
    ["a grid", '<div style="display:grid;grid-template-columns:auto auto"><div id="host"></div><p>side</p></div>'],
    [
      "a grid with all in the middle",
      '<div style="display:grid;justify-items:center;width:900px"><div id="host"></div></div>',
    ],
    ["a float", '<div style="float:left"><div id="host"></div></div>'],
    ["a block in a line", '<div style="display:inline-block"><div id="host"></div></div>'],
    ["a table", "<table><tr><td><div id=host></div></td><td>side</td></tr></table>"],
    ["what stands free", '<div style="position:absolute"><div id="host"></div></div>'],
    ["a host that is a row itself", '<div style="width:900px"><div id="host" style="display:flex"></div></div>'],
    ["a box as wide as its content", '<div style="width:max-content"><div id="host"></div></div>'],
    ["a box as wide as it must be", '<div style="width:min-content"><div id="host"></div></div>'],
  ];
  it.each(parents)("in %s", (_, html) => {
    const root = show(markup(html));
    const box = root.getBoundingClientRect();
    expect(box.width).toBeGreaterThanOrEqual(320);
    expect(box.height).toBeGreaterThan(200);
    const row = root.querySelector(".bw-tree-body .bw-row .bw-name") as Element;
    expect(row.getBoundingClientRect().width).toBeGreaterThan(20);
  });

  it("takes all the room beside others, and no more than there is", () => {
    const root = show(
      markup('<div style="display:flex;width:900px"><i style="width:200px"></i><div id="host"></div></div>'),
    );
    expect(root.getBoundingClientRect().width).toBe(700);
    const narrow = show(markup('<div style="width:240px"><div id="host"></div></div>'));
    expect(narrow.getBoundingClientRect().width).toBe(240);
  });
});

describe("the theme is that of what is behind", () => {
  const theme = (root: HTMLElement): string | undefined => root.dataset.bwTheme;

  const cases: [string, string, string][] = [
    ["light", "white", '<div style="background:#fff"><div id="host"></div></div>'],
    ["dark", "black", '<div style="background:#111"><div id="host"></div></div>'],
    ["dark", "dark on light", '<div style="background:#fff"><p style="background:#222"><b id="host"></b></p></div>'],
    ["light", "light on dark", '<div style="background:#000"><p style="background:#eee"><b id="host"></b></p></div>'],
    [
      "dark",
      "a veil over black",
      '<div style="background:#000"><p style="background:#fff1"><b id="host"></b></p></div>',
    ],
    ["dark", "a dark veil", '<div style="background:#fff"><p style="background:#000d"><b id="host"></b></p></div>'],
    ["light", "a newer colour", '<div style="background:oklch(0.95 0.02 90)"><div id="host"></div></div>'],
    ["dark", "a newer dark colour", '<div style="background:color(display-p3 0.1 0.1 0.15)"><b id="host"></b></div>'],
    [
      "dark",
      "a gradient with light writing",
      '<div style="background-image:linear-gradient(#000,#223);color:#eee"><b id="host"></b></div>',
    ],
  ];
  it.each(cases)("%s: %s", (wanted, _, html) => {
    document.body.dataset.jpThemeLight = String(wanted === "dark"); // a mark that says the contrary
    expect(theme(show(markup(html)))).toBe(wanted);
  });

  it("out of a shadow root, through a slot", () => {
    const host = markup('<div style="background:#181818"><section></section></div>');
    expect(host).toBeNull();
    const section = (added[0] as HTMLElement).querySelector("section") as HTMLElement;
    const shadow = section.attachShadow({ mode: "open" });
    const inner = document.createElement("div");
    shadow.append(inner);
    expect(theme(show(inner))).toBe("dark");
  });

  it("a dark system on a light page: the page counts", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    // Nothing paints here: what the browser paints then is white, unless the page says that it can be dark.
    expect(theme(show(markup('<div id="host"></div>')))).toBe("light");
    face?.stop();
    document.documentElement.style.colorScheme = "dark";
    expect(theme(show(markup('<div id="host"></div>')))).toBe("dark");
    face?.stop();
    document.documentElement.style.colorScheme = "light dark";
    expect(theme(show(markup('<div id="host"></div>')))).toBe(dark ? "dark" : "light");
  });

  const marked: [string, string, () => void][] = [
    ["dark", "JupyterLab", () => (document.body.dataset.jpThemeLight = "false")],
    ["light", "JupyterLab", () => (document.body.dataset.jpThemeLight = "true")],
    ["dark", "VS Code", () => (document.body.dataset.vscodeThemeKind = "vscode-dark")],
    ["dark", "Bootstrap", () => (document.documentElement.dataset.bsTheme = "dark")],
    ["dark", "marimo", () => document.body.classList.add("dark")],
  ];
  it.each(marked)("%s by the marks of %s where nothing paints", (wanted, _, mark) => {
    mark();
    expect(theme(show(markup('<div id="host"></div>')))).toBe(wanted);
  });

  it("is followed: a style, a class, a style sheet, another place", async () => {
    const host = markup('<div class="outer" style="background:#fff"><div id="host"></div></div>');
    const outer = host.parentElement as HTMLElement;
    const root = show(host);
    expect(theme(root)).toBe("light");
    outer.style.background = "#101010";
    await until("dark by a style", () => theme(root) === "dark");
    outer.style.background = "";
    const sheet = document.createElement("style");
    sheet.textContent = ".outer { background: #fff } .outer.night { background: #000 }";
    document.head.append(sheet);
    await until("light by a style sheet", () => theme(root) === "light");
    outer.classList.add("night");
    await until("dark by a class", () => theme(root) === "dark");
    sheet.textContent = ".outer { background: #fafafa }";
    await until("light by a style sheet that was edited", () => theme(root) === "light");
    sheet.remove();
    const elsewhere = markup('<div style="background:#000"><b id="host"></b></div>');
    elsewhere.append(host);
    await until("dark in another place", () => theme(root) === "dark");
  });

  it("stands on the colour that is there, where that can be read on", () => {
    const ground = (colour: string): string => {
      const root = show(markup(`<div style="background:${colour}"><div id="host"></div></div>`));
      const found = getComputedStyle(root).backgroundColor;
      face?.stop();
      return found;
    };
    expect(ground("#fdf6e3")).toBe("rgb(253, 246, 227)");
    expect(ground("#0c0e10")).toBe("rgb(12, 14, 16)");
    expect(ground("#888")).toBe("rgb(255, 255, 255)");
    expect(ground("#444")).toBe("rgb(20, 23, 26)");
  });
});

describe("the module", () => {
  const state = { _snapshot: JSON.stringify({ epoch: "E", seq: 1, state: storefront(Date.now()) }) };

  /** As Jupyter's anywidget hands a model over: a new object for each hook, which gives out the values of the one model. */
  const proxied = (model: FakeModel): FakeModel =>
    ({
      get: (name: string) => model.get(name),
      on: (name: string, callback: () => void) => model.on(name, callback),
      off: (name?: string | null, callback?: (() => void) | null) => model.off(name, callback),
      send: (content: unknown) => model.send(content),
    }) as FakeModel;

  const contents = (host: HTMLElement): string => host.querySelector(".bw-project")?.textContent ?? "";

  it("is a plain object with the two hooks, which is what the strictest loader takes", () => {
    expect(Object.getPrototypeOf(widget)).toBe(Object.prototype);
    expect(Object.keys(widget).sort()).toEqual(["initialize", "render"]);
  });

  it.each([
    ["itself", (model: FakeModel) => model],
    ["a proxy for each hook", proxied],
  ])("a model given as %s has one connection for all its views", (_, given) => {
    const model = new FakeModel(state);
    const ended = widget.initialize({ model: given(model) });
    // What tells the model may be set anew before a view comes.
    model.set("_meta", { path: "~/elsewhere", version: "" });
    const hosts = [markup('<div id="host"></div>'), markup('<div id="host"></div>')];
    const gone = hosts.map((el) => widget.render({ model: given(model), el }));
    for (const host of hosts) expect(contents(host)).toBe("storefront-api");
    expect(model.asked("hello")).toHaveLength(1);
    for (const end of [...gone, ended]) end();
    for (const host of hosts) expect([host.childElementCount, host.className]).toEqual([0, ""]);
    expect(model.listeners).toBe(0);
    // A view of a model whose connection has ended makes its own.
    const again = widget.render({ model: given(model), el: hosts[0] as HTMLElement });
    expect(contents(hosts[0] as HTMLElement)).toBe("storefront-api");
    expect(model.asked("hello")).toHaveLength(2);
    again();
    expect(model.listeners).toBe(0);
  });

  it("tells models apart even where a host lets them share a value", () => {
    const meta = { path: "~/shared", version: "" };
    const [one, other] = [new FakeModel({ ...state, _meta: meta }), new FakeModel({ _meta: meta })];
    const ends = [one, other].map((model) => widget.initialize({ model: proxied(model) }));
    const host = markup('<div id="host"></div>');
    const gone = widget.render({ model: proxied(other), el: host });
    expect(contents(host)).toBe("shared");
    for (const end of [gone, ...ends]) end();
  });

  it("is imported without harm where there is no document", async () => {
    const source = new URL("../src/widget.ts", import.meta.url).href;
    const text = `import(${JSON.stringify(source)}).then(
      (module) => postMessage([typeof document, Object.keys(module.default).sort().join()]),
      (error) => postMessage(String(error)),
    );`;
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    const said = await new Promise((resolve) => {
      worker.onmessage = (event) => resolve(event.data);
      worker.onerror = (event) => resolve(event.message);
    });
    worker.terminate();
    URL.revokeObjectURL(url);
    expect(said).toEqual(["undefined", "initialize,render"]);
  });

  it("shared by all widgets of a page, it never shows one in the place of another", () => {
    const [one, other] = [new FakeModel(state), new FakeModel({ _meta: { path: "~/other", version: "" } })];
    widget.initialize({ model: one });
    const host = markup('<div id="host"></div>');
    const gone = widget.render({ model: other, el: host });
    expect(host.querySelector(".bw-waiting")?.textContent).toContain("~/other");
    gone();
  });
});

/** The page of a host: its own style sheet, and the elements around a cell's output. */
interface HostPage {
  css: string;
  html: string;
}

// As nbclassic: Bootstrap 3, which sets the size of boxes, the lines of text and what form fields look like; the output
// stands in rows of flexible boxes.
const NBCLASSIC = (dark: boolean): HostPage => ({
  css: `* { box-sizing: border-box } body { font: 14px/1.42857 "Helvetica Neue", sans-serif; background: ${dark ? "#111" : "#fff"};
      color: ${dark ? "#ddd" : "#000"} }
    button, input, select { font: inherit; line-height: inherit; margin: 0 } label { display: inline-block; max-width: 100%;
      margin-bottom: 5px; font-weight: 700 } h1, h2, h3 { margin: 20px 0 10px; font-weight: 500 } p, ul { margin: 0 0 10px }
    button { appearance: button; cursor: pointer } pre, code { background: ${dark ? "#222" : "#f5f5f5"}; padding: 2px 4px }
    input[type="search"] { box-sizing: border-box; appearance: none } [hidden] { display: none }
    .cell, .output_wrapper { display: flex; flex-direction: column } .output_area { display: flex }
    .output_subarea { flex: 1; max-width: calc(100% - 14ex); padding: 0.4em; overflow-x: auto }
    .output_subarea h2 { margin: 1em 0 0 } .output_subarea table { margin: 0 auto }`,
  html: `<div class="cell"><div class="output_wrapper"><div class="output"><div class="output_area"><div class="prompt"></div>
    <div class="output_subarea jupyter-widgets-view"><div id="host"></div></div></div></div></div></div>`,
});

// As Shiny: Bootstrap 5 with its theme in variables, a sidebar in a grid and cards that fill what is left.
const SHINY = (dark: boolean): HostPage => ({
  css: `:root { color-scheme: ${dark ? "dark" : "light"} } *, ::before, ::after { box-sizing: border-box }
    body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; background: ${dark ? "#212529" : "#fff"}; color: ${dark ? "#dee2e6" : "#212529"} }
    h1, h2, h3 { margin: 0 0 0.5rem; font-weight: 500; line-height: 1.2; font-size: 2rem } p, ul, dl, pre { margin: 0 0 1rem }
    ul { padding-left: 2rem } button, input, select { margin: 0; font: inherit } button { border-radius: 0 }
    label { display: inline-block } select { word-wrap: normal } [role="button"], button { cursor: pointer }
    [hidden] { display: none !important } b { font-weight: bolder } dd { margin-bottom: 0.5rem; margin-left: 0 }
    .card { display: flex; flex-direction: column; min-width: 0; border: 1px solid #8884; border-radius: 0.375rem }
    .card-body { display: flex; flex-direction: column; flex: 1 1 auto; min-height: 0; padding: 1rem; gap: 1rem }
    .html-fill-item { flex: 1 1 auto; min-height: 0; min-width: 0 }`,
  html: `<div class="card bslib-card"><div class="card-body bslib-gap-spacing html-fill-container">
    <div class="html-fill-item shiny-ipywidget-output"><div id="host"></div></div></div></div>`,
});

const PLAIN = (dark: boolean): HostPage => ({
  css: `body { background: ${dark ? "#111" : "#fff"} }`,
  html: '<div id="host"></div>',
});

describe("at every width", () => {
  const hosts = { "a plain page": PLAIN, nbclassic: NBCLASSIC, Shiny: SHINY };
  const cases = Object.entries(hosts).flatMap(([name, of]) =>
    [false, true].flatMap((dark) =>
      [400, 800, 1400].map((width): [string, string, number, HostPage] => [
        name,
        dark ? "dark" : "light",
        width,
        of(dark),
      ]),
    ),
  );
  it.each(cases)(
    "headers stand above their columns, nothing overlaps, tabs can be reached: %s, %s, %s px",
    async (_, theme, width, like) => {
      await page.viewport(width + 40, 900);
      const sheet = document.createElement("style");
      sheet.textContent = like.css;
      document.head.append(sheet);
      const root = show(markup(`<div style="width:${width}px">${like.html}</div>`));
      added.push(sheet);
      expect(root.dataset.bwTheme).toBe(theme);
      const scroller = root.querySelector<HTMLElement>(".bw-tree-scroll") as HTMLElement;
      // As with a mouse on most systems: the bar takes room from the rows.
      scroller.style.overflowY = "scroll";
      await frame();
      await frame();
      expect(scroller.offsetWidth - scroller.clientWidth).toBeGreaterThan(0);
      const { width: whole } = root.getBoundingClientRect();
      expect(root.scrollWidth).toBeLessThanOrEqual(Math.ceil(whole));
      const row = root.querySelector(".bw-tree-body .bw-row") as Element;
      for (const head of root.querySelectorAll<HTMLElement>(".bw-row-head .bw-c")) {
        const name = [...head.classList].find((c) => c.startsWith("bw-c-")) as string;
        const cell = row.querySelector(`.${name}`) as Element;
        const [a, b] = [head.getBoundingClientRect(), cell.getBoundingClientRect()];
        if (a.width === 0 || a.height === 0) continue;
        expect([name, Math.round(a.left), Math.round(a.right)]).toEqual([
          name,
          Math.round(b.left),
          Math.round(b.right),
        ]);
        expect(head.scrollWidth, `${name} is cut`).toBeLessThanOrEqual(head.clientWidth);
      }
      for (const tab of root.querySelectorAll<HTMLElement>('[role="tab"]')) {
        tab.focus();
        tab.click();
        const box = tab.getBoundingClientRect();
        const bar = (root.querySelector(".bw-tab-bar") as Element).getBoundingClientRect();
        expect(box.left, tab.id).toBeGreaterThanOrEqual(bar.left - 1);
        expect(box.right, tab.id).toBeLessThanOrEqual(bar.right + 1);
      }
      const title = [...root.querySelectorAll(".bw-title-row > *, .bw-counts > *, .bw-tools > *")]
        .map((el) => el.getBoundingClientRect())
        .filter((box) => box.width > 2 && box.height > 2);
      title.forEach((a, i) => {
        for (const b of title.slice(i + 1)) {
          const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          expect(x > 1 && y > 1, "two parts of the head overlap").toBe(false);
        }
      });
      await unreadable(root);
      await page.viewport(1000, 800);
    },
  );

  /** What a host's own rules may spoil: the colours of what is read, and the places that we give things. */
  async function unreadable(root: HTMLElement): Promise<void> {
    const { violations } = await axe.run(root, { runOnly: ["color-contrast"], resultTypes: ["violations"] });
    expect(violations.flatMap((v) => v.nodes.map((node) => `${v.id}: ${node.html}`))).toEqual([]);
  }
});

beforeEach(() => expect(document.querySelector(".bw-root")).toBeNull());
