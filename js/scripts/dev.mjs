// Serves the development page on the loopback address and builds it anew at every load.
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { options } from "./build.mjs";

const dev = fileURLToPath(new URL("../src/dev/", import.meta.url));
const context = await esbuild.context({
  ...options,
  minify: false,
  sourcemap: "inline",
  entryPoints: [`${dev}page.ts`],
  outdir: dev,
  write: false,
});
const { port } = await context.serve({ host: "127.0.0.1", servedir: dev });
process.stdout.write(`http://127.0.0.1:${port}/?state=play\n`);
