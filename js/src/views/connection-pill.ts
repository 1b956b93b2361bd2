import { html, type TemplateResult } from "lit-html";
import type { ConnectionState, Live } from "../live";

const WORDS: Record<ConnectionState, { word: string; why: string }> = {
  connecting: { word: "Connecting", why: "Waiting for the kernel to answer." },
  live: { word: "Live", why: "The kernel is watching; what you see is the present state." },
  busy: {
    word: "Live · kernel busy",
    why: "The kernel runs a cell. Updates still come; commands may wait for the cell.",
  },
  stale: { word: "Stale", why: "Nothing heard from the kernel for more than 3 seconds. This is the last known state." },
  static: { word: "Static snapshot", why: "No kernel answers. This is the state that was saved with the notebook." },
  disconnected: { word: "Disconnected", why: "The kernel is gone. This is the last known state: run the cell again." },
  stopped: { word: "Stopped", why: "The widget was closed. This is the last state it showed." },
};

/** Whether the picture is kept up to date: a shape, a word and a colour. */
export function connectionPill(live: Live): TemplateResult {
  const { word, why } = WORDS[live.connection];
  return html`<span class="bw-pill bw-conn-${live.connection}" title=${why} data-connection=${live.connection}
    ><span class="bw-dot" aria-hidden="true"></span>${word}</span
  >`;
}

export function connectionWord(state: ConnectionState): string {
  return WORDS[state].word;
}
