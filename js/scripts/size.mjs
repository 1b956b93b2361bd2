// Fails when the bundle of the cell is larger than its budget: every saved notebook holds a copy.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const BUDGET = 60 * 1024;
const path = fileURLToPath(new URL("../../buildwidget/static/widget.js", import.meta.url));
const raw = await readFile(path);
const packed = gzipSync(raw, { level: 9 }).length;
const kib = (n) => `${(n / 1024).toFixed(1)} KiB`;
process.stdout.write(`widget.js: ${kib(raw.length)}, ${kib(packed)} gzip (budget ${kib(BUDGET)})\n`);
if (packed > BUDGET) {
  process.stderr.write(`expected at most ${kib(BUDGET)} gzip, found ${kib(packed)}: make the bundle smaller\n`);
  process.exit(1);
}
