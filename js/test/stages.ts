// The two places where a person sees a build, each with the other side of its connection in the hands of a test.

import { Page } from "../src/page/page";
import pageCss from "../src/page.css?inline";
import type { Event, State } from "../src/protocol";
import widget from "../src/widget";
import { FakeModel } from "./fake-model";
import { FakeSocket } from "./fake-socket";

export interface Stage {
  /** What a test may make narrower, hide, or take out of the page. */
  host: HTMLElement;
  /** The other side says that the build has changed. */
  tell(messages: Event[]): void;
  stop(): void;
}

const EPOCH = "E";

function hostIn(parent: HTMLElement): HTMLElement {
  const host = document.createElement("div");
  parent.append(host);
  return host;
}

/** The live cell, by the widget's own `initialize` and `render`. */
export function cellStage(state: State): Stage {
  const model = new FakeModel({ _snapshot: JSON.stringify({ epoch: EPOCH, seq: 1, state }) });
  const host = hostIn(document.body);
  const signal = new AbortController();
  widget.initialize({ model, signal: signal.signal });
  widget.render({ model, el: host, signal: signal.signal });
  return {
    host,
    tell(messages) {
      const from = messages[0]?.seq ?? 0;
      model.kernel({ kind: "events", epoch: EPOCH, from, to: from + messages.length - 1, messages });
    },
    stop() {
      signal.abort();
      host.remove();
    },
  };
}

/** The server's page, with all that is around the views. */
export function pageStage(state: State): Stage {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(pageCss);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const real = { socket: globalThis.WebSocket, fetch: globalThis.fetch, href: location.href };
  const sockets: FakeSocket[] = [];
  globalThis.WebSocket = class extends FakeSocket {
    constructor(url: string) {
      super(url);
      sockets.push(this);
    }
  } as unknown as typeof WebSocket;
  globalThis.fetch = () => Promise.resolve(Response.json({ sessions: [] }));
  history.replaceState(null, "", "?session=shop");
  const host = hostIn(document.body);
  const controller = new AbortController();
  new Page(host, controller.signal);
  const socket = sockets[0] as FakeSocket;
  const timestamp = new Date().toISOString();
  socket.say({ type: "connection", epoch: EPOCH, seq: 1, resumed: false, server: "s", heartbeat: 120, timestamp });
  socket.say({ type: "snapshot", epoch: EPOCH, seq: 1, state });
  return {
    host,
    tell(messages) {
      for (const message of messages) socket.say(message);
    },
    stop() {
      controller.abort();
      host.remove();
      globalThis.WebSocket = real.socket;
      globalThis.fetch = real.fetch;
      history.replaceState(null, "", real.href);
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    },
  };
}
