// What stands in the place of the tabs as long as there is no build to show: what is missing, where it is looked for, and
// what would start it.

import { html, nothing, render, type TemplateResult } from "lit-html";
import { isBlank, waitingFor } from "../derive";
import type { Live } from "../live";
import type { Face, View } from "./view";

interface Said {
  title: string;
  text: TemplateResult | string;
  /** Whether the other side is still being asked: something may be there in a moment. */
  asking?: boolean;
}

const WAITING = "Waiting for a build";
const NOTHING = "Nothing to show";

export class Waiting implements View {
  readonly el = document.createElement("div");
  readonly #face: Face;

  constructor(face: Face) {
    this.#face = face;
    this.el.className = "bw-waiting";
    this.update();
  }

  update(): void {
    const { live } = this.#face;
    this.el.hidden = !isBlank(live.store);
    if (this.el.hidden) return;
    const { title, text, asking } = said(live);
    render(
      html`<h3 class="bw-waiting-title">${title}</h3>
        <p class="bw-waiting-text">${text}</p>
        ${
          asking
            ? html`<div class="bw-skeleton" aria-hidden="true">
                ${[72, 54, 63, 40].map((w) => html`<span class="bw-bone" .style=${`width:${w}%`}></span>`)}
              </div>`
            : nothing
        }`,
      this.el,
    );
  }
}

function said(live: Live): Said {
  const { connection, link, meta, store } = live;
  const missing = waitingFor(store);
  if (missing !== null) return { title: WAITING, text: sentence(missing) };
  if (connection === "static" || connection === "disconnected" || connection === "stopped") {
    return { title: NOTHING, text: "Nothing was saved of this build. Run the cell to watch it." };
  }
  const folder = html`<code class="bw-mono">.buildrunner</code>`;
  if (link.peer === "kernel") {
    if (store.isEmpty) {
      const where = meta.path ? html` in <code class="bw-mono">${meta.path}</code>` : "";
      return { title: "Looking for a build", text: html`Waiting for ${folder}${where}…`, asking: true };
    }
    const path = meta.path
      ? html`<code class="bw-mono">${meta.path.replace(/[/\\]$/, "")}/.buildrunner</code>`
      : folder;
    return {
      title: WAITING,
      text: html`${path} is watched, but no file in it tells of a build yet. This starts by itself as soon as a checkpoint,
        a feature list, a task, a phase or a log is written there. If the build is somewhere else, give that folder
        instead.`,
    };
  }
  if (connection === "connecting") return { title: "Connecting", text: "Connecting to the server…", asking: true };
  if (connection === "live") {
    return {
      title: WAITING,
      text: html`Nothing is known of this build yet. It is shown as soon as there is something in ${folder}, or something is
        published.`,
    };
  }
  if (connection === "missing") return { title: NOTHING, text: "There is no build here." };
  return { title: NOTHING, text: "Nothing is known of this build yet: the server could not be asked." };
}

/** Without the word that stands above it already. */
function sentence(message: string): string {
  const text = message.replace(/^waiting:\s*/i, "");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
