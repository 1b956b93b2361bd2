// The server's page: which session, the frame around it, and the way between sessions.

import { html, nothing, render } from "lit-html";
import { verdictOf } from "../builds";
import { type AnyStatus, toneOf } from "../format";
import { Live } from "../live";
import { WebSocketTransport } from "../transport/websocket";
import { connectionWhy, connectionWord } from "../views/connection-pill";
import { mountFace } from "../views/face";
import { adoptStyles } from "../views/styles";
import { followTheme } from "../views/theme";
import { renderList, sessionHref } from "./list";
import { Sessions } from "./sessions";
import { iconAddress, showSign, titleOf } from "./sign";
import { Strip } from "./strip";

const SECOND = 1000;
const ALL = "";

/** What fills the page: the list, or one session. */
interface Shown {
  /** The id of the session; null: the list. */
  session: string | null;
  live: Live | null;
  /** Draws it again. */
  draw(): void;
  retry(): void;
  end(): void;
}

export class Page {
  readonly #base = new URL(".", location.href).href;
  readonly #root = document.createElement("div");
  readonly #head = document.createElement("header");
  readonly #main = document.createElement("main");
  readonly #foot = document.createElement("footer");
  readonly #strip = new Strip(() => this.#shown?.retry());
  readonly #sessions: Sessions;
  #shown: Shown | null = null;

  constructor(host: HTMLElement, signal: AbortSignal) {
    this.#root.className = "bw-page";
    this.#head.className = "bw-page-head";
    this.#main.className = "bw-page-main";
    this.#main.tabIndex = -1;
    this.#foot.className = "bw-page-foot";
    this.#root.append(this.#head, this.#strip.el, this.#main, this.#foot);
    host.replaceChildren(this.#root);
    adoptStyles(this.#root);
    followTheme(this.#root, signal);
    this.#sessions = new Sessions(this.#base, () => this.#told(), signal);
    globalThis.addEventListener("popstate", () => this.#route(true), { signal });
    const timer = setInterval(() => {
      if (!document.hidden) this.#tick();
    }, SECOND);
    document.addEventListener("visibilitychange", () => this.#tick(), { signal });
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    this.#route(false);
    void this.#sessions.ask();
  }

  // -- which session ---------------------------------------------------------------------------------------------

  #route(focus: boolean): void {
    const asked = new URLSearchParams(location.search).get("session");
    const { rows } = this.#sessions;
    // With one session there is nothing to choose.
    const wanted = asked || (rows?.length === 1 ? (rows[0]?.id ?? null) : null);
    if (this.#shown === null || this.#shown.session !== wanted) {
      this.#shown?.end();
      this.#strip.reset();
      this.#main.replaceChildren();
      this.#main.scrollTop = 0;
      this.#shown = wanted === null ? this.#list() : this.#session(wanted);
      if (focus) this.#main.focus({ preventScroll: true });
    }
    this.#sessions.watch(wanted === null);
    this.#draw();
  }

  /** Goes to another session, or to the list, without loading the page again. */
  #go(session: string): void {
    history.pushState(null, "", session === ALL ? this.#base : sessionHref(session));
    this.#route(true);
  }

  #follow(event: MouseEvent, session: string): void {
    // Another window, a download: as the browser does it.
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#go(session);
  }

  #list(): Shown {
    const box = document.createElement("div");
    box.className = "bw-root bw-sessions";
    this.#main.append(box);
    const ends = new AbortController();
    followTheme(box, ends.signal);
    return {
      session: null,
      live: null,
      draw: () => {
        const { rows, trouble, retryAt, heardAt } = this.#sessions;
        renderList(box, rows, Date.now(), (event, id) => this.#follow(event, id));
        const word = trouble === null ? "" : trouble.state === "refused" ? "Refused" : "Server gone";
        this.#strip.set(trouble === null ? null : { word, why: trouble.why, retryAt, trueAt: heardAt });
        const running = rows?.filter((row) => row.status === "in_progress").length ?? 0;
        const failed = rows?.some((row) => row.status === "failed") ?? false;
        const status: AnyStatus = failed ? "failed" : running > 0 ? "in_progress" : "unknown";
        showSign(
          [trouble === null ? "" : word, "All builds", running > 0 ? `${running} in progress` : ""]
            .filter(Boolean)
            .join(" · "),
          iconAddress(toneOf(status), null, trouble === null),
        );
      },
      retry: () => void this.#sessions.ask(),
      end: () => ends.abort(),
    };
  }

  #session(id: string): Shown {
    const ends = new AbortController();
    const live = new Live();
    live.setMeta({ path: id, version: "" });
    const transport = new WebSocketTransport(live, { base: this.#base, sessionId: id, signal: ends.signal });
    mountFace(this.#main, live, ends.signal);
    let version = "";
    const draw = (): void => {
      if (this.#shown?.live !== live) return;
      this.#shown.draw();
      if (version === live.meta.version) return;
      version = live.meta.version;
      this.#frame();
    };
    live.subscribe(draw, ends.signal);
    transport.start();
    return {
      session: id,
      live,
      draw: () => {
        const { store, connection, link } = live;
        const fine = connection === "live" || connection === "connecting";
        this.#strip.set(
          fine
            ? null
            : { word: connectionWord(live), why: connectionWhy(live), retryAt: link.retryAt, trueAt: link.trueAt },
        );
        const { word, tone } = verdictOf(store, live.now(), fine);
        const { percent } = store.progress;
        showSign(
          titleOf(store.session.project || id, word, percent, fine ? null : connectionWord(live)),
          iconAddress(tone, percent, fine),
        );
      },
      retry: () => live.actions.reconnect(),
      end: () => {
        ends.abort();
        live.dispose();
      },
    };
  }

  // -- what is shown ---------------------------------------------------------------------------------------------

  #told(): void {
    // The first answer decides between the list and the only session.
    if (this.#shown?.session === null) this.#route(false);
    else this.#draw();
  }

  #tick(): void {
    if (this.#shown?.session === null) this.#shown.draw();
    this.#strip.tick();
  }

  #draw(): void {
    this.#shown?.draw();
    this.#frame();
  }

  #frame(): void {
    const rows = this.#sessions.rows ?? [];
    const shown = this.#shown?.session ?? null;
    const several = rows.length > 1;
    const known = shown === null || rows.some((row) => row.id === shown);
    render(
      html`<h1 class="bw-brand">${
        several && shown !== null
          ? html`<a class="bw-brand-link" href="./" @click=${(e: MouseEvent) => this.#follow(e, ALL)}
              ><span aria-hidden="true">‹</span> All builds</a
            >`
          : "buildwidget"
      }</h1>
        <span class="bw-grow"></span>
        ${
          several
            ? html`<label class="bw-switch"
                ><span class="bw-switch-label">Build</span>
                <select
                  class="bw-select"
                  aria-label="Show another build"
                  @change=${(e: Event) => this.#go((e.target as HTMLSelectElement).value)}
                >
                  <option value=${ALL} ?selected=${shown === null}>All builds</option>
                  ${known ? nothing : html`<option value=${shown} selected>${shown}</option>`}
                  ${rows.map(
                    (row) =>
                      html`<option value=${row.id} .selected=${row.id === shown}>
                        ${row.project === row.id ? row.id : `${row.project} (${row.id})`}
                      </option>`,
                  )}
                </select></label
              >`
            : nothing
        }`,
      this.#head,
    );
    const version = this.#shown?.live?.meta.version ?? "";
    render(
      html`<span class="bw-foot-host">${location.host}${new URL(this.#base).pathname.replace(/\/$/, "")}</span>
        ${shown === null ? nothing : html`<span class="bw-foot-session">session <span class="bw-mono">${shown}</span></span>`}
        <span class="bw-grow"></span>
        <span>${version || "buildwidget"}</span>`,
      this.#foot,
    );
  }
}
