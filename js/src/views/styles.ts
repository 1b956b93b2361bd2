import base from "./base.css?inline";
import details from "./details.css?inline";
import face from "./face.css?inline";
import header from "./header.css?inline";
import listTabs from "./list-tabs.css?inline";
import outputTab from "./output-tab.css?inline";
import problems from "./problems.css?inline";
import system from "./system.css?inline";
import tokens from "./tokens.css?inline";
import treeTab from "./tree-tab.css?inline";
import virtualTree from "./virtual-tree.css?inline";
import waiting from "./waiting.css?inline";
import widths from "./widths.css?inline";

/** In this order: what asks for the width of the view, and what the system asks for, has the last word. */
const css = [
  tokens,
  base,
  header,
  problems,
  face,
  treeTab,
  virtualTree,
  listTabs,
  outputTab,
  details,
  waiting,
  widths,
  system,
].join("\n");

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
