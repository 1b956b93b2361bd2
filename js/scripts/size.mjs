// Fails when a bundle is larger than its budget: every saved notebook holds a copy of the cell's, and the page's is
// what a phone waits for.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const KIB = 1024;
const BUDGETS = { "widget.js": 60 * KIB, "page.js": 60 * KIB, "page.css": 8 * KIB };
const kib = (n) => `${(n / KIB).toFixed(1)} KiB`;

for (const [name, budget] of Object.entries(BUDGETS)) {
  const raw = await readFile(new URL(`../../buildwidget/static/${name}`, import.meta.url));
  const packed = gzipSync(raw, { level: 9 }).length;
  process.stdout.write(`${name}: ${kib(raw.length)}, ${kib(packed)} gzip (budget ${kib(budget)})\n`);
  if (packed > budget) {
    process.stderr.write(`expected at most ${kib(budget)} gzip, found ${kib(packed)}: make ${name} smaller\n`);
    process.exitCode = 1;
  }
}
