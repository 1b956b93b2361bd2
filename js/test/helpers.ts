import { Live } from "../src/live";
import type { State } from "../src/protocol";
import { mountFace } from "../src/views/face";

/** Waits until something is so; fails with what was expected when it does not come true. */
export async function until(what: string, condition: () => boolean, ms = 4000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`expected within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const frame = (): Promise<number> => new Promise((resolve) => requestAnimationFrame(resolve));

export interface Mounted {
  live: Live;
  host: HTMLElement;
  root: HTMLElement;
  stop(): void;
}

function plainHost(width: number): HTMLElement {
  const host = document.createElement("div");
  host.style.width = `${width}px`;
  document.body.append(host);
  return host;
}

/** A face with a state, in the page. */
export function mount(state?: State, width = 900, host = plainHost(width)): Mounted {
  const live = new Live();
  live.setMeta({ path: "~/projects/shop", version: "0.1.0" });
  if (state) live.adopt(state, "e", 1);
  live.setConnection("live");
  const controller = new AbortController();
  mountFace(host, live, controller.signal);
  return {
    live,
    host,
    root: host.querySelector(".bw-root") as HTMLElement,
    stop() {
      controller.abort();
      live.dispose();
      host.remove();
    },
  };
}

export function row(root: ParentNode, key: string): HTMLElement {
  const el = root.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
  if (!el) throw new Error(`expected a row ${key} in the page`);
  return el;
}

export function press(key: string, init: KeyboardEventInit = {}): KeyboardEvent {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, composed: true, ...init });
  document.activeElement?.dispatchEvent(event);
  return event;
}
