// Whether somebody works on a build: the same rules as `life` and `life_of` in buildwidget/progress.py, where they are
// told.

import { SILENT_AT_FIRST } from "./derive";
import { parseMs } from "./order";
import type { BuildStatus, Status } from "./protocol";
import type { Store } from "./store";

/** None of these says that a build failed or crashed. */
export type Life = "alive" | "quiet" | "silent" | "idle" | "dormant" | "done" | "unknown";

const SECOND = 1000;
/** Where work is claimed: from then on it is quiet (ms). */
const QUIET_AFTER = 600 * SECOND;
/** The `silent_after` (s) of builds whose work is claimed by locks. */
const CLAIMS_SILENT_AFTER = 1800;
const DORMANT_AFTER = 24 * 3600 * SECOND;
const OPEN: readonly Status[] = ["not_started", "in_progress", "blocked", "paused"];

export interface Signs {
  status: BuildStatus;
  /** How many items are in progress: claimed, where work is claimed. */
  running: number;
  /** Whether an item is neither finished nor failed. */
  workLeft: boolean;
  /** The time of the newest sign of life, in ms. */
  evidenceAt: number | null;
  /** The silence that this build's rhythm explains, in ms. */
  silentAfter: number | null;
  /** Whether work is claimed, by locks that show signs of life. */
  claims: boolean;
}

export function life(signs: Signs, now: number): Life {
  const { status, running, claims } = signs;
  if (status === "completed") return "done";
  const age = signs.evidenceAt === null ? null : now - signs.evidenceAt;
  const isOld = age !== null && age > DORMANT_AFTER;
  if (running > 0 || (status === "in_progress" && !claims && !isOld)) {
    if (age === null) return "unknown";
    if (age > (signs.silentAfter ?? SILENT_AT_FIRST)) return "silent";
    return claims && age > QUIET_AFTER ? "quiet" : "alive";
  }
  if (signs.workLeft) return isOld ? "dormant" : "idle";
  return status === "failed" || status === "in_progress" ? "done" : "unknown";
}

export function lifeOf(store: Store, now: number): Life {
  const { session } = store;
  const silentAfter = session.silent_after ?? null;
  const claims = (session.system ?? null) !== null && silentAfter === CLAIMS_SILENT_AFTER;
  const count = counted(store, claims);
  return life(
    {
      status: session.status,
      running: count("in_progress"),
      workLeft: OPEN.some((status) => count(status) > 0) || (claims && count("unknown") > 0),
      evidenceAt: parseMs(session.evidence_at) ?? parseMs(store.updatedAt),
      silentAfter: silentAfter === null ? null : silentAfter * SECOND,
      claims,
    },
    now,
  );
}

/** How many of the items that count have a status. */
function counted(store: Store, claims: boolean): (status: Status) => number {
  const { components, features, tasks, phases } = store;
  if (!claims) {
    return (status) => [components, features, tasks, phases].reduce((sum, items) => sum + items.count(status), 0);
  }
  const present = new Set(store.session.present);
  if (present.size === 0) return (status) => phases.count(status);
  const found = new Map<Status, number>();
  for (const id of features.ids()) {
    const feature = features.get(id);
    if (feature?.component_id != null && present.has(feature.component_id)) {
      found.set(feature.status, (found.get(feature.status) ?? 0) + 1);
    }
  }
  return (status) => found.get(status) ?? 0;
}
