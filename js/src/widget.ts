// The entry of the cell: glue between anywidget, the transport and the face.

import { isObject } from "./kinds";
import { Live } from "./live";
import { CommTransport, type WidgetModel } from "./transport/comm";
import { mountFace } from "./views/face";

interface InitializeContext {
  model: WidgetModel;
  signal?: AbortSignal;
}

interface RenderContext extends InitializeContext {
  el: HTMLElement;
}

/** ipywidgets marks a view whose comm has lost its kernel. */
const DEAD = "jupyter-widgets-disconnected";

interface Link {
  live: Live;
  transport: CommTransport;
}

/**
 * The connections that `initialize` made, by what tells a model: itself, or the value of a trait. Jupyter gives `initialize`
 * and `render` different proxies of one model, but both hand out the very same object of its trait `_meta`. A null stands
 * for a mark that more than one model bears: it tells nothing.
 */
const links = new WeakMap<object, Link | null>();

function marksOf(model: WidgetModel): object[] {
  const meta = model.get("_meta");
  return isObject(meta) ? [model, meta] : [model];
}

function linkOf(model: WidgetModel): Link | undefined {
  for (const mark of marksOf(model)) {
    const link = links.get(mark);
    if (link) return link;
  }
  return undefined;
}

function connect(model: WidgetModel, signal: AbortSignal): Link {
  const live = new Live();
  const transport = new CommTransport(model, live, signal);
  signal.addEventListener("abort", () => live.dispose(), { once: true });
  return { live, transport };
}

/** Keeps a connection for the views of its model, until the signal. */
function remember(model: WidgetModel, link: Link, signal: AbortSignal): void {
  const mine = new Set<object>();
  const mark = (): void => {
    for (const one of marksOf(model)) {
      if (mine.has(one)) continue;
      mine.add(one);
      links.set(one, links.has(one) ? null : link);
    }
  };
  mark();
  model.on("change:_meta", mark);
  signal.addEventListener(
    "abort",
    () => {
      model.off("change:_meta", mark);
      for (const one of mine) if (links.get(one) === link) links.delete(one);
    },
    { once: true },
  );
}

function anyOf(own: AbortSignal, given: AbortSignal | undefined): AbortSignal {
  return given ? AbortSignal.any([given, own]) : own;
}

// A plain object: the form that every host takes, those too that look before they call.
export default {
  initialize({ model, signal }: InitializeContext): () => void {
    const ended = new AbortController();
    const ends = anyOf(ended.signal, signal);
    remember(model, connect(model, ends), ends);
    return () => ended.abort();
  },
  render({ model, el, signal }: RenderContext): () => void {
    const ended = new AbortController();
    const ends = anyOf(ended.signal, signal);
    const link = linkOf(model) ?? connect(model, ends);
    mountFace(el, link.live, ends);
    const look = (): void => link.transport.setDead(el.classList.contains(DEAD));
    const observer = new MutationObserver(look);
    observer.observe(el, { attributes: true, attributeFilter: ["class"] });
    ends.addEventListener("abort", () => observer.disconnect(), { once: true });
    look();
    link.transport.start(ends);
    return () => ended.abort();
  },
};
