// Which rows of a long list are in sight. All rows have one height, so that is two divisions; what is hard is to know
// where the list stands. A browser forgets the scroll position of what leaves the page (another tab, a notebook that
// takes cells out of sight away) and tells nobody. So nothing here is believed from memory: position and height are
// read from the page each time, and two guards stand where rows are missing: as soon as one of them comes into sight,
// by whatever cause, the rows are placed anew.
//
// Not @tanstack/virtual-core (3.19): a list that left the page and came back has the rows of the old place with it until
// a scroll event comes, and then stands at its beginning; it is 9 KiB packed, in every saved notebook, for the division.

/** Rows beyond the edges of the window, so that a quick scroll finds them there. */
const OVERSCAN = 8;

export interface Range {
  first: number;
  /** The first row that is not meant any more. */
  end: number;
}

export class RowWindow {
  readonly #scroller: HTMLElement;
  readonly #body: HTMLElement;
  readonly #above = guard();
  readonly #below = guard();
  #count = 0;
  #rowHeight: number;
  /** As last read from the page while it was laid out, px. */
  #top = 0;
  #height = 400;
  /** The list has been out of the page, or hidden, since the position was read. */
  #away = false;
  /** The row that stays in sight when the window or the rows change their size, if it is in sight. */
  #held = -1;

  /**
   * @param scroller the element with the scroll bar.
   * @param body what is as high as all rows together, inside of it.
   * @param changed called when other rows may be in sight.
   */
  constructor(scroller: HTMLElement, body: HTMLElement, rowHeight: number, changed: () => void, signal: AbortSignal) {
    this.#scroller = scroller;
    this.#body = body;
    this.#rowHeight = rowHeight;
    body.append(this.#above, this.#below);
    scroller.addEventListener("scroll", changed, { passive: true, signal });
    const resized = new ResizeObserver(changed);
    resized.observe(scroller);
    const missed = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) changed();
      },
      { root: scroller },
    );
    missed.observe(this.#above);
    missed.observe(this.#below);
    signal.addEventListener(
      "abort",
      () => {
        resized.disconnect();
        missed.disconnect();
      },
      { once: true },
    );
  }

  /** How wide the scroll bar is, px: what stands above the rows must leave as much. */
  get barWidth(): number {
    return this.#scroller.offsetWidth - this.#scroller.clientWidth;
  }

  get rowHeight(): number {
    return this.#rowHeight;
  }

  /** How many rows fit into the window, at least one. */
  get page(): number {
    return Math.max(1, Math.floor(this.#height / this.#rowHeight));
  }

  setCount(count: number): void {
    this.#count = count;
    this.#body.style.height = `${count * this.#rowHeight}px`;
  }

  /** The row at the top stays there. */
  setRowHeight(height: number): void {
    this.#read();
    const first = this.#top / this.#rowHeight;
    const held = this.#isInSight(this.#held);
    this.#rowHeight = height;
    this.setCount(this.#count);
    this.#scrollTo(first * height);
    if (held) this.#bring(this.#held);
  }

  /** The row with the focus: a window that becomes smaller must not lose it. */
  hold(index: number): void {
    this.#held = index;
  }

  /** The rows that must be in the page now. */
  range(): Range {
    this.#read();
    const { first, end } = rowsInSight(this.#top, this.#height, this.#rowHeight, this.#count);
    const range = { first: Math.max(0, first - OVERSCAN), end: Math.min(this.#count, end + OVERSCAN) };
    place(this.#above, 0, range.first * this.#rowHeight);
    place(this.#below, range.end * this.#rowHeight, (this.#count - range.end) * this.#rowHeight);
    return range;
  }

  /** Scrolls as little as is needed to bring a row into sight. */
  reveal(index: number): void {
    this.#held = index;
    this.#read();
    this.#bring(index);
  }

  #bring(index: number): void {
    const top = index * this.#rowHeight;
    if (top < this.#top) this.#scrollTo(top);
    else if (top + this.#rowHeight > this.#top + this.#height) this.#scrollTo(top + this.#rowHeight - this.#height);
  }

  #isInSight(index: number): boolean {
    const top = index * this.#rowHeight;
    return index >= 0 && top >= this.#top - 1 && top + this.#rowHeight <= this.#top + this.#height + 1;
  }

  #scrollTo(top: number): void {
    this.#top = top;
    this.#scroller.scrollTop = top;
  }

  #read(): void {
    const height = this.#scroller.clientHeight;
    if (height === 0) {
      this.#away = true;
      return;
    }
    if (this.#away) {
      this.#away = false;
      this.#scroller.scrollTop = this.#top;
    }
    const held = height < this.#height && this.#isInSight(this.#held);
    this.#height = height;
    this.#top = this.#scroller.scrollTop;
    if (held) this.#bring(this.#held);
  }
}

/** The rows that a window of `height` px shows, `top` px below the beginning. */
export function rowsInSight(top: number, height: number, rowHeight: number, count: number): Range {
  // A list that has become shorter may not have been scrolled back yet.
  const from = Math.max(0, Math.min(top, count * rowHeight - height));
  return { first: Math.floor(from / rowHeight), end: Math.min(count, Math.ceil((from + height) / rowHeight)) };
}

function guard(): HTMLElement {
  const el = document.createElement("div");
  el.className = "bw-tree-guard";
  el.setAttribute("aria-hidden", "true");
  return el;
}

function place(el: HTMLElement, top: number, height: number): void {
  el.hidden = height <= 0;
  el.style.top = `${top}px`;
  el.style.height = `${height}px`;
}
