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

interface Definition {
  initialize(context: InitializeContext): () => void;
  render(context: RenderContext): () => void;
}

/**
 * @param own whether the definition is of one widget alone. Jupyter gives `initialize` and `render` different proxies of
 *   one model: then the only connection there is must be meant.
 */
function define(own: boolean): Definition {
  const links = new Map<WidgetModel, Link>();

  const linkOf = (model: WidgetModel): Link | undefined => {
    const known = links.get(model);
    if (known !== undefined || !own || links.size !== 1) return known;
    return [...links.values()][0];
  };

  return {
    initialize({ model, signal }) {
      const ended = new AbortController();
      links.set(model, connect(model, anyOf(ended.signal, signal)));
      return () => {
        ended.abort();
        links.delete(model);
      };
    },
    render({ model, el, signal }) {
      const ended = new AbortController();
      const ends = anyOf(ended.signal, signal);
      const link = linkOf(model) ?? connect(model, ends);
      mountFace(el, link.live, ends);
      const look = (): void => link.transport.setDead(el.classList.contains(DEAD));
      const observer = new MutationObserver(look);
      observer.observe(el, { attributes: true, attributeFilter: ["class"] });
      ends.addEventListener("abort", () => observer.disconnect(), { once: true });
      look();
      link.transport.start();
      return () => ended.abort();
    },
  };
}

// Hosts that know anywidget's whole specification call this for each widget and get a definition of its own; those that
// only know its first form find `initialize` and `render` on it.
export default Object.assign(() => define(true), define(false));
