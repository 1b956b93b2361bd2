// What every view is: something mounted in an element, told of changes and of the passing of seconds.

import type { Changes } from "../changes";
import type { Live } from "../live";

export interface View {
  readonly el: HTMLElement;
  update(changes: Changes): void;
  /** Once a second, for ages and elapsed times. */
  tick?(): void;
  /** The size or the theme may have changed. */
  resized?(): void;
}

/** What views of one face share. */
export interface Face {
  readonly live: Live;
  readonly signal: AbortSignal;
  /** A prefix for ids of elements: two faces may live in one page. */
  readonly uid: string;
  /** Tells a screen reader, politely. */
  announce(text: string): void;
  /** Shows an item where it stands: the tab, the row. */
  reveal(key: string): void;
  /** Shows a tab. */
  openTab(id: string): void;
}

/** One tab of the face. Later views (graph, timeline, terminal) join the list in `registry.ts`. */
export interface TabSpec {
  id: string;
  /** In the words of the system. */
  title: string | ((live: Live) => string);
  /** How many things it holds; null hides the number. */
  count(live: Live): number | null;
  /** Whether there is anything to show. */
  shown(live: Live): boolean;
  create(face: Face): TabView;
}

export interface TabView extends View {
  /** Brings an item into sight and gives it the focus; false when this tab does not have it. */
  reveal?(key: string): boolean;
}
