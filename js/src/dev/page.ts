// The development page: the face without a kernel. `?state=running|empty|waiting|completed|failed|stale|static|large|plans|notices`.

import { type ConnectionState, Live } from "../live";
import type { Event } from "../protocol";
import { play } from "../transport/recorded";
import { mountFace } from "../views/face";
import { plans } from "./plans";
import { finished, large, message, storefront } from "./scenario";

const query = new URLSearchParams(location.search || location.hash.slice(1));
const state = query.get("state") ?? "running";
const host = document.getElementById("cell") ?? document.body;
const live = new Live();
const now = Date.now();
live.setMeta({ path: "~/projects/storefront-api", version: "0.1.0" });
mountFace(host, live, new AbortController().signal);

const CONNECTIONS: Record<string, ConnectionState> = {
  empty: "connecting",
  stale: "stale",
  static: "static",
  disconnected: "disconnected",
  busy: "busy",
  stopped: "stopped",
};

switch (state) {
  case "empty":
    break;
  case "completed":
  case "failed":
    live.adopt(finished(now, state === "completed"), "dev", 1);
    break;
  case "plans":
    live.adopt(plans(now), "dev", 1);
    break;
  case "large":
    live.adopt(large(2000, now), "dev", 1);
    break;
  default:
    live.adopt(storefront(now), "dev", 1);
}
live.setConnection(CONNECTIONS[state] ?? "live");
if (state === "notices") {
  for (let i = 0; i < 4; i++) live.notice("error", "A callback failed: ZeroDivisionError: division by zero");
  live.notice("warning", `The directory is on a network drive: ${"it is looked at once a second. ".repeat(4)}`);
}

if (state === "play") {
  // Everything in progress moves on, twice a second.
  const steps: { at: number; messages: Event[] }[] = [];
  const base = storefront(now);
  let seq = 2;
  for (let i = 1; i < 120; i++) {
    const messages = base.components
      .filter((c) => c.status === "in_progress")
      .map((c) => message("component_update", seq++, { ...c, progress: Math.min(100, c.progress + i / 2) }));
    messages.push(message("build_progress", seq++, { ...base.progress, percent: Math.min(100, 52.5 + i / 4) }));
    steps.push({ at: i * 500, messages });
  }
  void play(live, { snapshot: base, epoch: "dev", seq: 1, steps }, new AbortController().signal);
}

Object.assign(globalThis, { bwLive: live });
