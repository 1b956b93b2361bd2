// Builds what is served and shipped: the cell's bundle with its stylesheet inside, and the page with its files beside it.
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const src = resolve(here, "../src");
const out = resolve(here, "../../buildwidget/static");

/** `import css from "./x.css?inline"`, as Vite understands it too: the minified text of the stylesheet. */
export const inlineCss = {
  name: "inline-css",
  setup(build) {
    build.onResolve({ filter: /\.css\?inline$/ }, (args) => ({
      path: resolve(args.resolveDir, args.path.replace(/\?inline$/, "")),
      namespace: "inline-css",
    }));
    build.onLoad({ filter: /.*/, namespace: "inline-css" }, async (args) => {
      const source = await readFile(args.path, "utf8");
      const { code } = await esbuild.transform(source, { loader: "css", minify: true, target: "es2022" });
      return { contents: code.trim(), loader: "text", watchFiles: [args.path] };
    });
  },
};

/**
 * The edition of lit-html that can be imported where there is no document: hosts may look at a widget's module in a worker
 * or on a server before a page shows it. In a page it does the same.
 */
const litHtml = resolve(here, "../node_modules/lit-html/node/lit-html.js");

/** What every bundle has in common. */
export const options = {
  bundle: true,
  alias: { "lit-html": litHtml },
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  plugins: [inlineCss],
  logLevel: "info",
};

/** Some hosts look for the words `export default` in the text of a widget; minified, they would not be there. */
const plainDefault = {
  name: "plain-default",
  setup(build) {
    build.initialOptions.write = false;
    build.onEnd(async ({ outputFiles = [] }) => {
      for (const file of outputFiles) {
        const text = file.text.replace(/export\{([\w$]+) as default\};?(\s*)$/, "export default $1;$2");
        if (!text.includes("export default ")) throw new Error(`expected a default export at the end of ${file.path}`);
        await writeFile(file.path, text);
      }
    });
  },
};

/** The page as it is, when it changes too. */
const pageHtml = {
  name: "page-html",
  setup(build) {
    build.onEnd(() => copyFile(resolve(src, "page.html"), resolve(out, "page.html")));
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await mkdir(out, { recursive: true });
  const bundles = [
    {
      ...options,
      entryPoints: [resolve(src, "widget.ts")],
      outfile: resolve(out, "widget.js"),
      plugins: [inlineCss, plainDefault],
    },
    {
      ...options,
      entryPoints: [resolve(src, "page.ts"), resolve(src, "page.css")],
      outdir: out,
      plugins: [inlineCss, pageHtml],
    },
  ];
  // Shadow roots (marimo, Voila) never see a stylesheet of the document's head, so the styles travel in the script.
  await writeFile(resolve(out, "widget.css"), "/* The styles of the cell are inside widget.js. */\n");
  if (process.argv.includes("--watch")) {
    for (const bundle of bundles) await (await esbuild.context(bundle)).watch();
  } else {
    await Promise.all(bundles.map((bundle) => esbuild.build(bundle)));
  }
}
