// The whole face, mounted in an element: header, problems, tabs, details. Knows the live build, not where it comes from.

import { html, render } from "lit-html";
import type { Changes } from "../changes";
import { noChanges } from "../changes";
import { isBlank } from "../derive";
import type { Live } from "../live";
import { Announcer } from "./announcer";
import { Details } from "./details";
import { Header } from "./header";
import { NoticeBar } from "./notice-bar";
import { Problems } from "./problems";
import { TABS } from "./registry";
import { adoptStyles } from "./styles";
import { followTheme } from "./theme";
import type { Face, TabSpec, TabView, View } from "./view";
import { Waiting } from "./waiting";

const SECOND = 1000;

/** Mounts a view of `live` in `host`; everything ends with the signal. */
export function mountFace(host: HTMLElement, live: Live, signal: AbortSignal): void {
  const root = document.createElement("div");
  root.className = "bw-root";
  root.dataset.testid = "buildwidget";
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Build");
  host.append(root);
  host.classList.add("bw-host");
  adoptStyles(root);
  followTheme(root, signal);

  const uid = `bw-${Math.random().toString(36).slice(2, 8)}`;
  const announcer = new Announcer(live, signal);
  const face: Face = {
    live,
    signal,
    uid,
    announce: (text) => announcer.say(text),
    reveal: (key) => tabs.reveal(key),
    openTab: (id) => tabs.open(id, true),
  };
  const header = new Header(face);
  const notices = new NoticeBar(face);
  const waiting = new Waiting(face);
  const problems = new Problems(face);
  const tabs = new Tabs(face);
  const details = new Details(face);
  const views: View[] = [header, notices, waiting, problems, tabs, details, announcer];
  root.append(...views.map((v) => v.el));

  const arrange = (): void => {
    const empty = isBlank(live.store);
    root.classList.toggle("bw-is-empty", empty);
    // Of a folder that tells of no build the warnings may still be many.
    tabs.el.hidden = empty && !live.store.warnings().some((w) => w.code !== "waiting");
    root.dataset.connection = live.connection;
  };
  const update = (changes: Changes): void => {
    arrange();
    for (const view of views) view.update(changes);
  };
  arrange();
  live.subscribe(update, signal);
  // Caught on the way down: the views keep some keys to themselves.
  for (const sign of ["pointerdown", "pointermove", "wheel", "keydown"]) {
    root.addEventListener(sign, () => live.touched(), { capture: true, passive: true, signal });
  }

  const timer = setInterval(() => {
    if (document.hidden) return;
    for (const view of views) view.tick?.();
  }, SECOND);
  // A node may be moved into a shadow root after it was made.
  const settled = requestAnimationFrame(() => adoptStyles(root));
  const shown = (): void => {
    if (!document.hidden) for (const view of views) view.tick?.();
  };
  document.addEventListener("visibilitychange", shown, { signal });
  signal.addEventListener(
    "abort",
    () => {
      clearInterval(timer);
      cancelAnimationFrame(settled);
      root.remove();
      host.classList.remove("bw-host");
    },
    { once: true },
  );
}

/** The tabs: only those with something to show, made when first opened. */
class Tabs implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;
  readonly #bar = document.createElement("div");
  readonly #panel = document.createElement("div");
  readonly #views = new Map<string, TabView>();
  #open = TABS[0]?.id ?? "";
  #chosen = false;

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-tabs";
    this.#bar.className = "bw-tab-bar";
    this.#bar.setAttribute("role", "tablist");
    this.#bar.setAttribute("aria-label", "Parts of the build");
    this.#panel.className = "bw-panel";
    this.#panel.setAttribute("role", "tabpanel");
    this.#panel.id = `${face.uid}-panel`;
    this.el.append(this.#bar, this.#panel);
    this.#show();
  }

  update(changes: Changes): void {
    const before = this.#open;
    this.#show();
    if (before === this.#open) this.#views.get(this.#open)?.update(changes);
  }

  tick(): void {
    this.#views.get(this.#open)?.tick?.();
  }

  open(id: string, focus: boolean): void {
    this.#chosen = true;
    this.#open = id;
    this.#show();
    if (focus) this.#bar.querySelector<HTMLElement>('[aria-selected="true"]')?.focus();
  }

  reveal(key: string): void {
    const home = key.startsWith("task:") ? "tasks" : key.startsWith("phase:") ? "phases" : "build";
    this.#chosen = true;
    this.#open = home;
    this.#show();
    this.#face.live.select([key]);
    this.#views.get(home)?.reveal?.(key);
  }

  #visible(): TabSpec[] {
    const { live } = this.#face;
    return TABS.filter((t) => t.shown(live));
  }

  #show(): void {
    const { live, uid } = this.#face;
    const tabs = this.#visible();
    // Until somebody chooses, open the first tab that holds something.
    if (!this.#chosen) this.#open = (tabs.find((t) => (t.count(live) ?? 1) > 0) ?? tabs[0])?.id ?? "";
    if (!tabs.some((t) => t.id === this.#open)) this.#open = tabs[0]?.id ?? "";
    render(
      html`${tabs.map((t) => {
        const on = t.id === this.#open;
        const n = t.count(live);
        return html`<button
          type="button"
          class="bw-tab"
          role="tab"
          id="${uid}-tab-${t.id}"
          aria-selected=${String(on)}
          aria-controls=${`${uid}-panel`}
          tabindex=${on ? "0" : "-1"}
          @click=${() => this.open(t.id, false)}
          @keydown=${(e: KeyboardEvent) => this.#key(e)}
        >
          ${typeof t.title === "string" ? t.title : t.title(live)}${n === null || n === 0 ? "" : html`<span class="bw-tab-count">${n.toLocaleString("en")}</span>`}
        </button>`;
      })}`,
      this.#bar,
    );
    this.#panel.setAttribute("aria-labelledby", `${uid}-tab-${this.#open}`);
    let view = this.#views.get(this.#open);
    const fresh = view === undefined;
    if (view === undefined) {
      view = tabs.find((t) => t.id === this.#open)?.create(this.#face);
      if (view === undefined) return;
      this.#views.set(this.#open, view);
    }
    if (this.#panel.firstElementChild !== view.el) {
      this.#panel.replaceChildren(view.el);
      if (!fresh) view.update({ ...noChanges(), all: true });
    }
  }

  #key(event: KeyboardEvent): void {
    const tabs = this.#visible();
    const at = tabs.findIndex((t) => t.id === this.#open);
    const steps: Record<string, number> = {
      ArrowRight: (at + 1) % tabs.length,
      ArrowLeft: (at - 1 + tabs.length) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    };
    const to = steps[event.key];
    const tab = to === undefined ? undefined : tabs[to];
    if (tab === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.open(tab.id, true);
  }
}
