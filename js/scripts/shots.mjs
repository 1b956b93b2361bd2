// Screenshots of the face in its states, themes and widths: `node scripts/shots.mjs OUT [filter]`.
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { chromium } from "playwright";
import { options } from "./build.mjs";

const out = process.argv[2] ?? "shots";
const only = process.argv[3] ?? "";
await mkdir(out, { recursive: true });
const entry = fileURLToPath(new URL("../src/dev/page.ts", import.meta.url));
const built = await esbuild.build({ ...options, entryPoints: [entry], write: false, minify: false, logLevel: "error" });
const script = built.outputFiles[0].text;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});

// What JupyterLab's themes give.
const themes = {
  light: "--jp-layout-color0:#fff;--jp-ui-font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif",
  dark: "--jp-layout-color0:#111;--jp-ui-font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif",
};
const cases = [
  ["running", [320, 600, 1200]],
  ["selected", [600, 1200]],
  ["phases", [600]],
  ["tasks", [600]],
  ["checkpoints", [320, 900]],
  ["warnings", [600]],
  ["filter", [600]],
  ["empty", [600]],
  ["completed", [600, 1200]],
  ["failed", [900]],
  ["stale", [600]],
  ["static", [320]],
  ["large", [1200]],
  ["forced", [600]],
];

for (const [state, widths] of cases) {
  for (const width of widths) {
    for (const theme of ["light", "dark"]) {
      const name = `${state}-${width}-${theme}`;
      if (!name.includes(only)) continue;
      const page = await browser.newPage({
        viewport: { width: width + 32, height: 900 },
        deviceScaleFactor: width < 700 ? 2 : 1,
        colorScheme: theme,
        forcedColors: state === "forced" ? "active" : "none",
      });
      page.on("pageerror", (e) => process.stderr.write(`${name}: ${e.stack}\n`));
      await page.route("http://dev.invalid/**", (route) =>
        route.fulfill({
          contentType: "text/html",
          body: `<!doctype html><meta charset=utf-8><body data-jp-theme-light="${theme === "light"}" style="margin:16px;background:var(--jp-layout-color0);${themes[theme]}"><div id=cell></div><script type=module>${script}</script>`,
        }),
      );
      const known = ["empty", "completed", "failed", "stale", "static", "large"].includes(state);
      await page.goto(`http://dev.invalid/?state=${known ? state : "running"}`);
      await page.waitForSelector(".bw-root");
      if (["phases", "tasks", "checkpoints", "warnings"].includes(state)) await page.click(`[id$="-tab-${state}"]`);
      if (state === "selected") {
        await page.click('[data-key="feature:auth-2"] .bw-twisty');
        await page.click(".bw-error .bw-link");
      }
      if (state === "filter") await page.fill(".bw-input", "status:error,blocked");
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 350))));
      await page.screenshot({ path: resolve(out, `${name}.png`), fullPage: true });
      await page.close();
    }
  }
}
await browser.close();
