// A recorded build, played again: for the development page and the tests.

import type { Live } from "../live";
import type { Event, State } from "../protocol";
import { LogReader } from "./log";

export interface Recording {
  snapshot?: State;
  epoch?: string;
  seq?: number;
  /** Messages and when they came, ms from the start. */
  steps: { at: number; messages: Event[] }[];
}

/** Plays a recording into `live`; ends with the signal. Returns a promise of the end. */
export function play(live: Live, recording: Recording, signal: AbortSignal, speed = 1): Promise<void> {
  const epoch = recording.epoch ?? "recorded";
  const log = new LogReader(live, () => {});
  if (recording.snapshot) log.snapshot(epoch, recording.seq ?? 0, recording.snapshot);
  live.setConnection("live");
  const waits: Promise<void>[] = recording.steps.map(
    (step) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => {
          const first = step.messages[0]?.seq ?? 0;
          const last = step.messages[step.messages.length - 1]?.seq ?? first;
          log.events(epoch, { from: first, to: last, messages: step.messages });
          resolve();
        }, step.at / speed);
        signal.addEventListener(
          "abort",
          () => {
            clearTimeout(timer);
            resolve();
          },
          { once: true },
        );
      }),
  );
  return Promise.all(waits).then(() => {});
}
