// The fold: numbered messages in, the present state out. The same rules as `buildwidget/state.py`, tested against the
// same recorded logs.

import type { Changes } from "./changes";
import { noChanges } from "./changes";
import { Collection } from "./collection";
import { compareCodePoints, compareTimes, parseMs } from "./order";
import type {
  Activity,
  ActivityMessage,
  BuildWarning,
  Checkpoint,
  Component,
  ContextFile,
  Event,
  Feature,
  FileChange,
  Phase,
  Progress,
  Removed,
  Runtime,
  Session,
  State,
  Task,
  TerminalLine,
  TerminalOutput,
  WarningMessage,
} from "./protocol";

const ACTIVITY_WINDOW = 200;
const CHECKPOINT_WINDOW = 200;
const TERMINAL_WINDOW = 500;
const WARNING_WINDOW = 200;
const GAPS_KEPT = 200;

/** The state of a build of which nothing is known. */
export function emptyState(): State {
  return {
    session: {
      project: "",
      status: "unknown",
      status_source: "",
      phase: null,
      started_at: null,
      ended_at: null,
      counts: { components: 0, features: 0, tasks: 0, phases: 0, checkpoints: 0, files: 0, warnings: 0 },
    },
    components: [],
    features: [],
    tasks: [],
    phases: [],
    checkpoints: [],
    progress: {
      total: null,
      completed: null,
      percent: null,
      status: "unknown",
      current_component: null,
      current_feature: null,
    },
    terminal: { first_line: 1, next_line: 1, tail: [] },
    context: [],
    runtime: null,
    warnings: [],
    updated_at: null,
  };
}

/** The record inside an item message: the message without the fields of the message. */
function itemOf<T>(message: T & { type: string; seq: unknown; session_id: unknown; timestamp: unknown }): T {
  const { type: _t, seq: _s, session_id: _i, timestamp: _w, ...item } = message;
  return item as T;
}

const warningKey = (w: { file_path: string; code: string }): string => `${w.file_path}\0${w.code}`;

function compareWarnings(a: BuildWarning, b: BuildWarning): number {
  return compareCodePoints(a.file_path, b.file_path) || compareCodePoints(a.code, b.code);
}

function compareCheckpoints(a: Checkpoint, b: Checkpoint): number {
  return compareTimes(a.created_at, b.created_at) || compareCodePoints(a.checkpoint_id, b.checkpoint_id);
}

/** The present state of one build. */
export class Store {
  epoch: string | null = null;
  seq = 0;
  session!: Session;
  progress!: Progress;
  runtime!: Runtime | null;
  updatedAt!: string | null;
  components!: Collection<Component>;
  features!: Collection<Feature>;
  tasks!: Collection<Task>;
  phases!: Collection<Phase>;
  checkpoints!: Checkpoint[];
  #warnings!: Map<string, BuildWarning>;
  #context!: Map<string, ContextFile>;
  #activity!: Activity[];
  #tail!: TerminalLine[];
  #nextLine!: number;
  #gaps: number[] = [];
  #changes: Changes = noChanges();

  constructor(state: State = emptyState(), epoch: string | null = null, seq = 0) {
    this.adopt(state, epoch, seq);
  }

  /** Replaces everything by a snapshot. */
  adopt(state: State, epoch: string | null, seq: number): void {
    this.epoch = epoch;
    this.seq = seq;
    this.session = state.session;
    this.progress = state.progress;
    this.runtime = state.runtime;
    this.updatedAt = state.updated_at;
    this.components = new Collection((c) => c.component_id, state.components);
    this.features = new Collection((f) => f.feature_id, state.features);
    this.tasks = new Collection((t) => t.task_id, state.tasks);
    this.phases = new Collection((p) => p.phase_id, state.phases);
    this.checkpoints = [...state.checkpoints];
    this.#warnings = new Map(state.warnings.map((w) => [warningKey(w), w]));
    this.#context = new Map(state.context.map((c) => [c.file_path, c]));
    this.#activity = (state.activity ?? []).slice(-ACTIVITY_WINDOW);
    this.#tail = [...state.terminal.tail];
    this.#nextLine = state.terminal.next_line;
    this.#changes.all = true;
  }

  /** Folds one numbered message in. One that is not newer than the state is ignored. */
  apply(event: Event): void {
    if (event.seq !== null && event.seq !== undefined) {
      if (event.seq <= this.seq) return;
      this.seq = event.seq;
    }
    if (event.timestamp) this.#clock(event.timestamp);
    const changes = this.#changes;
    switch (event.type) {
      case "component_update": {
        const item = itemOf<Component>(event);
        this.#touched(this.components.set(item), item, item.component_id, changes.components);
        break;
      }
      case "feature_update": {
        const item = itemOf<Feature>(event);
        const old = this.features.set(item);
        if (old !== undefined && old.component_id !== item.component_id) changes.structure = true;
        this.#touched(old, item, item.feature_id, changes.features);
        break;
      }
      case "task_update": {
        const item = itemOf<Task>(event);
        const old = this.tasks.set(item);
        if (old !== undefined && (old.parent_id !== item.parent_id || old.kind !== item.kind)) changes.structure = true;
        this.#touched(old, item, item.task_id, changes.tasks);
        break;
      }
      case "phase_update": {
        const item = itemOf<Phase>(event);
        const old = this.phases.set(item);
        this.#touched(old, item, item.phase_id, changes.phases);
        if (item.errors.length > 0 || (old !== undefined && old.errors.length > 0)) changes.errors = true;
        changes.summary = true;
        break;
      }
      case "checkpoint_update":
        this.#checkpoint(itemOf<Checkpoint>(event));
        break;
      case "session_update":
        this.session = itemOf<Session>(event);
        changes.summary = true;
        break;
      case "build_progress":
        this.progress = itemOf<Progress>(event);
        changes.summary = true;
        break;
      case "runtime_update":
        this.runtime = itemOf<Runtime>(event);
        changes.summary = true;
        break;
      case "activity":
        this.#happened(event);
        break;
      case "warning":
        this.#warning(event);
        break;
      case "removed":
        this.#removed(event);
        break;
      case "file_change":
        this.#file(event);
        break;
      case "terminal_output":
        this.#terminal(event);
        break;
      default:
        break;
    }
  }

  /** The state as a snapshot would carry it. */
  snapshot(): State {
    return {
      session: this.session,
      components: this.components.list(),
      features: this.features.list(),
      tasks: this.tasks.list(),
      phases: this.phases.list(),
      checkpoints: [...this.checkpoints],
      progress: this.progress,
      terminal: { first_line: this.#tail[0]?.line ?? 1, next_line: this.#nextLine, tail: [...this.#tail] },
      context: [...this.#context.values()].sort((a, b) => compareCodePoints(a.file_path, b.file_path)),
      runtime: this.runtime,
      warnings: this.warnings(),
      updated_at: this.updatedAt,
      ...(this.#activity.length > 0 ? { activity: [...this.#activity] } : {}),
    };
  }

  /** The newest lines of what happened, oldest first. Valid until the next change. */
  get activity(): readonly Activity[] {
    return this.#activity;
  }

  warnings(): BuildWarning[] {
    return [...this.#warnings.values()].sort(compareWarnings);
  }

  /** The newest lines of output. Valid until the next change. */
  get output(): readonly TerminalLine[] {
    return this.#tail;
  }

  /** How many lines of output there were in all. */
  get outputCount(): number {
    return Math.max(0, this.#nextLine - 1);
  }

  get warningCount(): number {
    return this.#warnings.size;
  }

  /** The lengths of the newest silences between messages, in ms. */
  get gaps(): readonly number[] {
    return this.#gaps;
  }

  /** What has changed since this was last called. */
  takeChanges(): Changes {
    const changes = this.#changes;
    this.#changes = noChanges();
    return changes;
  }

  /** For what the store does not hold itself but the views show all the same. */
  get changes(): Changes {
    return this.#changes;
  }

  /** Whether there is anything at all to show. */
  get isEmpty(): boolean {
    return this.seq === 0 && this.updatedAt === null;
  }

  #touched(old: { status: string } | undefined, item: { status: string }, id: string, ids: Set<string>): void {
    ids.add(id);
    if (old === undefined) this.#changes.structure = true;
    if (old?.status !== item.status) this.#changes.summary = true;
    if (item.status === "error" || old?.status === "error") this.#changes.errors = true;
  }

  #clock(timestamp: string): void {
    const before = parseMs(this.updatedAt);
    const now = parseMs(timestamp);
    if (before !== null && now !== null && now > before) {
      this.#gaps.push(now - before);
      if (this.#gaps.length > GAPS_KEPT) this.#gaps.shift();
    }
    this.updatedAt = timestamp;
  }

  #checkpoint(item: Checkpoint): void {
    const list = this.checkpoints.filter((c) => c.checkpoint_id !== item.checkpoint_id);
    let at = list.length;
    while (at > 0 && compareCheckpoints(list[at - 1] as Checkpoint, item) > 0) at--;
    list.splice(at, 0, item);
    this.checkpoints = list.length > CHECKPOINT_WINDOW ? list.slice(-CHECKPOINT_WINDOW) : list;
    this.#changes.checkpoints = true;
  }

  #happened(event: ActivityMessage): void {
    this.#activity.push(itemOf<Activity>(event));
    if (this.#activity.length > ACTIVITY_WINDOW) this.#activity.shift();
    this.#changes.activity = true;
  }

  #warning(event: WarningMessage): void {
    const { file_path, code, message } = event;
    const key = warningKey(event);
    this.#changes.warnings = true;
    if (event.cleared) {
      this.#warnings.delete(key);
      return;
    }
    this.#warnings.set(key, { file_path, code, message });
    if (this.#warnings.size > WARNING_WINDOW) {
      const last = this.warnings()[WARNING_WINDOW];
      if (last) this.#warnings.delete(warningKey(last));
    }
  }

  #removed(event: Removed): void {
    const changes = this.#changes;
    switch (event.kind) {
      case "component":
        this.components.delete(event.id);
        break;
      case "feature":
        this.features.delete(event.id);
        break;
      case "task":
        this.tasks.delete(event.id);
        break;
      case "phase":
        this.phases.delete(event.id);
        break;
      case "checkpoint":
        this.checkpoints = this.checkpoints.filter((c) => c.checkpoint_id !== event.id);
        changes.checkpoints = true;
        return;
      case "context":
        this.#context.delete(event.id);
        changes.context = true;
        return;
      default:
        return;
    }
    changes.structure = true;
    changes.summary = true;
    changes.errors = true;
  }

  #file(event: FileChange): void {
    const { file_path, modified, size } = event;
    if (!file_path.startsWith(".buildrunner/context/") || !file_path.endsWith(".md")) return;
    if (event.change_type === "deleted") this.#context.delete(file_path);
    else this.#context.set(file_path, { file_path, modified, size });
    this.#changes.context = true;
  }

  #terminal(event: TerminalOutput): void {
    const text = event.output.endsWith("\n") ? event.output.slice(0, -1) : event.output;
    const lines = text.split("\n");
    const { output_type, source } = event;
    const tail = this.#tail;
    for (let i = 0; i < lines.length; i++) {
      const row: TerminalLine = { line: event.line + i, text: lines[i] as string, output_type, source };
      const at = lowerBound(tail, row.line);
      if (tail[at]?.line === row.line) tail[at] = row;
      else if (at === tail.length) tail.push(row);
      else tail.splice(at, 0, row);
    }
    if (tail.length > TERMINAL_WINDOW) tail.splice(0, tail.length - TERMINAL_WINDOW);
    this.#nextLine = Math.max(this.#nextLine, event.line + lines.length);
    this.#changes.terminal = true;
  }
}

function lowerBound(tail: readonly TerminalLine[], line: number): number {
  let low = 0;
  let high = tail.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if ((tail[mid] as TerminalLine).line < line) low = mid + 1;
    else high = mid;
  }
  return low;
}
