// The entry of the cell: glue between anywidget, the transport and the face.

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

function connect(model: WidgetModel, signal: AbortSignal): Link {
  const live = new Live();
  const transport = new CommTransport(model, live, signal);
  signal.addEventListener("abort", () => live.dispose(), { once: true });
  return { live, transport };
}

function anyOf(own: AbortSignal, given: AbortSignal | undefined): AbortSignal {
  return given ? AbortSignal.any([given, own]) : own;
}

export default () => {
  // Jupyter asks for a definition per widget and gives `initialize` and `render` different proxies of one model;
  // marimo may share the definition and gives both the same model.
  const links = new Map<WidgetModel, Link>();

  const linkOf = (model: WidgetModel): Link | undefined => {
    const known = links.get(model);
    if (known !== undefined || links.size !== 1) return known;
    return [...links.values()][0];
  };

  return {
    initialize({ model, signal }: InitializeContext): () => void {
      const own = new AbortController();
      links.set(model, connect(model, anyOf(own.signal, signal)));
      return () => {
        own.abort();
        links.delete(model);
      };
    },
    render({ model, el, signal }: RenderContext): () => void {
      const own = new AbortController();
      const ends = anyOf(own.signal, signal);
      const link = linkOf(model) ?? connect(model, ends);
      mountFace(el, link.live, ends);
      const look = (): void => link.transport.setDead(el.classList.contains(DEAD));
      const observer = new MutationObserver(look);
      observer.observe(el, { attributes: true, attributeFilter: ["class"] });
      ends.addEventListener("abort", () => observer.disconnect(), { once: true });
      look();
      link.transport.start();
      return () => own.abort();
    },
  };
};
