import { html, type TemplateResult } from "lit-html";
import { isBlank, waitingFor } from "../derive";
import type { ConnectionState, Live } from "../live";

interface Word {
  word: string;
  why: string;
}

const KERNEL: Record<ConnectionState, Word> = {
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
  reconnecting: { word: "Reconnecting", why: "The connection was lost. This is the last known state." },
  offline: { word: "Offline", why: "This machine is offline. This is the last known state." },
  gone: { word: "Server gone", why: "The server does not answer. This is the last known state." },
  refused: { word: "Refused", why: "The server does not let this page in." },
  missing: { word: "No such session", why: "The server knows no session of this name." },
};

/** What a page says where a cell would speak of its kernel. */
const SERVER: Partial<Record<ConnectionState, Word>> = {
  connecting: { word: "Connecting", why: "Waiting for the server to answer." },
  live: { word: "Live", why: "The server sends every change at once; what you see is the present state." },
  stale: { word: "Stale", why: "Nothing was heard from the server for too long. This is the last known state." },
};

function wordOf({ connection, link, store }: Live): Word {
  if (waits({ connection, store })) {
    return {
      word: "Waiting",
      why: waitingFor(store) ?? "The folder is watched, but nothing in it has told of a build yet.",
    };
  }
  return (link.peer === "server" ? SERVER[connection] : undefined) ?? KERNEL[connection];
}

/** Whether the connection is well, but there is no build to show: green would promise too much. */
function waits({ connection, store }: Pick<Live, "connection" | "store">): boolean {
  return (connection === "live" || connection === "busy") && isBlank(store);
}

/** Whether the picture is kept up to date: a shape, a word and a colour. */
export function connectionPill(live: Live): TemplateResult {
  const { word, why } = wordOf(live);
  return html`<span
    class="bw-pill bw-conn-${waits(live) ? "waiting" : live.connection}"
    title=${live.link.why || why}
    data-connection=${live.connection}
    ><span class="bw-dot" aria-hidden="true"></span>${word}</span
  >`;
}

export function connectionWord(live: Live): string {
  return wordOf(live).word;
}

/** Why the connection is as it is, in a sentence. */
export function connectionWhy(live: Live): string {
  return live.link.why || wordOf(live).why;
}
