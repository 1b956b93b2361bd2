import css from "../styles.css?inline";

/** Marks a stylesheet with the text it was made of, so that it is adopted once per root and per edition. */
interface Marked extends CSSStyleSheet {
  buildwidgetText?: string;
}

/** Gives the root of an element (the document, or a shadow root) the stylesheet, once. */
export function adoptStyles(el: Element): void {
  const root = el.getRootNode();
  if (!(root instanceof Document || root instanceof ShadowRoot)) return;
  if (root.adoptedStyleSheets.some((sheet: Marked) => sheet.buildwidgetText === css)) return;
  const sheet: Marked = new CSSStyleSheet();
  sheet.replaceSync(css);
  sheet.buildwidgetText = css;
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
}
