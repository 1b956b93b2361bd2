// Light or dark, as the host is: told by its own marks, for a stylesheet in a shadow root cannot see them.

export type Theme = "light" | "dark";

/** What the marks of the known hosts say: JupyterLab, VS Code, marimo and Sphinx themes, else the system. */
export function detectTheme(): { theme: Theme; contrast: boolean } {
  const { body, documentElement: root } = document;
  const name = `${body.dataset.jpThemeName ?? ""} ${body.className}`;
  const contrast = /high[- ]contrast/i.test(name) || matchMedia("(prefers-contrast: more)").matches;
  const told = (theme: Theme): { theme: Theme; contrast: boolean } => ({ theme, contrast });
  if (body.dataset.jpThemeLight !== undefined) return told(body.dataset.jpThemeLight === "false" ? "dark" : "light");
  const kind = body.dataset.vscodeThemeKind ?? body.className;
  if (/vscode-(dark|high-contrast(?!-light))/.test(kind)) return told("dark");
  if (/vscode-(light|high-contrast-light)/.test(kind)) return told("light");
  for (const el of [root, body]) {
    const mark = el.dataset.theme ?? el.dataset.colorScheme ?? "";
    if (mark === "dark" || el.classList.contains("dark")) return told("dark");
    if (mark === "light" || el.classList.contains("light")) return told("light");
  }
  return told(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

/** Keeps `data-bw-theme` of an element as the host is. */
export function followTheme(el: HTMLElement, signal: AbortSignal): void {
  const write = (): void => {
    const { theme, contrast } = detectTheme();
    el.dataset.bwTheme = theme;
    el.dataset.bwContrast = contrast ? "more" : "normal";
  };
  write();
  const observer = new MutationObserver(write);
  const attributeFilter = [
    "class",
    "data-jp-theme-light",
    "data-jp-theme-name",
    "data-vscode-theme-kind",
    "data-theme",
  ];
  observer.observe(document.body, { attributes: true, attributeFilter });
  observer.observe(document.documentElement, { attributes: true, attributeFilter });
  for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) {
    matchMedia(query).addEventListener("change", write, { signal });
  }
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
}
