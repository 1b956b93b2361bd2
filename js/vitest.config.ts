import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    // Frames are counted: one page at a time.
    fileParallelism: false,
    browser: {
      enabled: true,
      provider: "playwright",
      headless: true,
      screenshotFailures: false,
      viewport: { width: 1000, height: 800 },
      instances: [
        {
          browser: "chromium",
          launch: {
            executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
            // As with a mouse on most systems: scroll bars take room.
            ignoreDefaultArgs: ["--hide-scrollbars"],
            args: [
              "--no-sandbox",
              "--disable-gpu",
              "--disable-quic",
              "--no-first-run",
              "--disable-background-networking",
              "--disable-component-update",
              "--disable-sync",
            ],
          },
        },
      ],
    },
  },
  // The same lit-html as in the bundle: see scripts/build.mjs.
  resolve: { alias: { "lit-html": fileURLToPath(new URL("node_modules/lit-html/node/lit-html.js", import.meta.url)) } },
  // The logs that Python recorded lie beside this folder.
  server: { fs: { allow: [".."] } },
});
