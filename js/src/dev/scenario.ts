// A realistic build, for the development page and the tests.

import type { Checkpoint, Component, Event, Feature, Phase, State, Status, Task } from "../protocol";
import { emptyState } from "../store";

const MINUTE = 60_000;

export function component(id: string, over: Partial<Component> = {}): Component {
  return {
    component_id: id,
    name: id,
    component_type: null,
    status: "not_started",
    status_raw: null,
    progress: 0,
    files: [],
    dependencies: [],
    tests_pass: null,
    started_at: null,
    ended_at: null,
    error: null,
    metadata: {},
    ...over,
  };
}

export function feature(id: string, over: Partial<Feature> = {}): Feature {
  return {
    feature_id: id,
    name: id,
    description: null,
    component_id: null,
    status: "not_started",
    status_raw: null,
    progress: 0,
    priority: null,
    tasks: [],
    dependencies: [],
    estimated_minutes: null,
    actual_minutes: null,
    error: null,
    metadata: {},
    ...over,
  };
}

export function task(id: string, over: Partial<Task> = {}): Task {
  return {
    task_id: id,
    name: id,
    kind: "orchestration",
    parent_id: null,
    status: "not_started",
    status_raw: null,
    progress: 0,
    dependencies: [],
    estimated_minutes: null,
    started_at: null,
    completed_at: null,
    duration_ms: null,
    retry_count: null,
    error: null,
    metadata: {},
    ...over,
  };
}

export function phase(id: string, over: Partial<Phase> = {}): Phase {
  return {
    phase_id: id,
    name: "",
    step: null,
    step_label: null,
    status: "not_started",
    status_raw: null,
    tasks_total: null,
    tasks_done: null,
    current_task: null,
    errors: [],
    warnings: [],
    history: [],
    started_at: null,
    updated_at: null,
    metadata: {},
    ...over,
  };
}

export function checkpoint(id: string, over: Partial<Checkpoint> = {}): Checkpoint {
  return {
    checkpoint_id: id,
    phase: null,
    tasks_completed: [],
    files_created: [],
    status: "created",
    version: 1,
    created_at: null,
    ts_source: "file",
    metadata: {},
    ...over,
  };
}

/** A message of an item, a session, progress… */
export function message<T extends Event["type"]>(
  type: T,
  seq: number,
  item: object,
  timestamp = new Date().toISOString(),
): Event {
  return { type, seq, session_id: "dev", timestamp, ...item } as unknown as Event;
}

type Plan = [
  id: string,
  name: string,
  type: string,
  status: Status,
  progress: number,
  features: [string, string, number][],
];

const PLAN: Plan[] = [
  [
    "auth",
    "Authentication",
    "service",
    "completed",
    100,
    [
      ["Password login", "critical", 100],
      ["Session refresh", "high", 100],
      ["Two-factor codes", "high", 100],
      ["Account recovery", "medium", 100],
    ],
  ],
  [
    "catalog",
    "Product catalog",
    "service",
    "completed",
    100,
    [
      ["Product listing", "critical", 100],
      ["Faceted search", "high", 100],
      ["Image variants", "medium", 100],
      ["Stock badges", "low", 100],
    ],
  ],
  [
    "database",
    "Order database",
    "database",
    "completed",
    100,
    [
      ["Schema and migrations", "critical", 100],
      ["Read replicas", "medium", 100],
      ["Backup and restore", "high", 100],
    ],
  ],
  [
    "cart",
    "Shopping cart",
    "service",
    "in_progress",
    72,
    [
      ["Add and remove items", "critical", 100],
      ["Discount codes", "medium", 60],
      ["Saved carts", "low", 55],
    ],
  ],
  [
    "checkout",
    "Checkout",
    "api",
    "in_progress",
    48,
    [
      ["Address book", "high", 100],
      ["Shipping rates", "high", 65],
      ["Tax calculation", "critical", 30],
      ["Order confirmation", "high", 0],
    ],
  ],
  [
    "payments",
    "Payment gateway",
    "service",
    "error",
    35,
    [
      ["Card payments", "critical", 70],
      ["Refunds", "high", 35],
      ["Webhook signatures", "critical", 0],
    ],
  ],
  [
    "storefront",
    "Storefront",
    "frontend",
    "in_progress",
    57,
    [
      ["Home page", "high", 100],
      ["Product page", "critical", 80],
      ["Checkout flow", "critical", 25],
      ["Dark theme", "low", 25],
    ],
  ],
  [
    "admin",
    "Admin console",
    "frontend",
    "not_started",
    0,
    [
      ["Order overview", "high", 0],
      ["Inventory editor", "medium", 0],
      ["Role management", "high", 0],
    ],
  ],
  [
    "search",
    "Search index",
    "service",
    "in_progress",
    18,
    [
      ["Index pipeline", "high", 40],
      ["Typo tolerance", "medium", 0],
      ["Ranking rules", "low", 15],
    ],
  ],
  [
    "notify",
    "Notifications",
    "service",
    "blocked",
    20,
    [
      ["Order e-mails", "high", 40],
      ["Push messages", "low", 0],
      ["Digest of the week", "low", 20],
    ],
  ],
  [
    "analytics",
    "Analytics",
    "backend",
    "not_started",
    0,
    [
      ["Event collection", "medium", 0],
      ["Daily report", "low", 0],
      ["Funnels", "low", 0],
    ],
  ],
  [
    "gateway",
    "API gateway",
    "api",
    "in_progress",
    80,
    [
      ["Rate limits", "high", 100],
      ["Request tracing", "medium", 90],
      ["Key rotation", "high", 50],
    ],
  ],
];

const CHECKS = ["Write the failing tests", "Implement the happy path", "Handle the edge cases", "Review and document"];

/** The build as it stands in the middle of phase 5. */
export function storefront(now: number): State {
  const at = (ago: number): string => new Date(now - ago).toISOString();
  const state = emptyState();
  const features: Feature[] = [];
  const components = PLAN.map(([id, name, type, status, progress, list], i) => {
    list.forEach(([title, priority, done], j) => {
      const failed = title === "Webhook signatures";
      const ticks = Math.round((done / 100) * CHECKS.length);
      features.push(
        feature(`${id}-${j + 1}`, {
          name: title,
          component_id: id,
          priority,
          progress: done,
          status: failed ? "error" : done === 100 ? "completed" : done > 0 ? "in_progress" : "not_started",
          error: failed
            ? "AssertionError: expected 401 for a stale timestamp, found 200 (tests/test_webhooks.py:88)"
            : null,
          description: `${title} of the ${name.toLowerCase()}, as the plan describes it.`,
          estimated_minutes: 30 + ((i * 7 + j * 13) % 5) * 15,
          actual_minutes: done === 100 ? 24 + ((i * 5 + j * 11) % 7) * 9 : null,
          metadata: done === 100 ? { tests_pass: true } : {},
          tasks: CHECKS.map((c, k) => ({
            id: `${id}-${j + 1}.${k + 1}`,
            name: c,
            completed: k < ticks,
            timestamp: k < ticks ? at((40 - i - k) * MINUTE) : null,
          })),
        }),
      );
    });
    return component(id, {
      name,
      component_type: type,
      status,
      progress,
      files: [`src/${id}/__init__.py`, `src/${id}/service.py`, `tests/test_${id}.py`],
      dependencies: i > 2 ? ["database", "auth"] : [],
      tests_pass: status === "completed" ? true : status === "error" ? false : null,
      started_at: progress > 0 ? at((48 - i * 3) * MINUTE) : null,
      ended_at: status === "completed" ? at((30 - i * 4) * MINUTE) : null,
      error:
        status === "error"
          ? "ConnectionRefusedError: sandbox gateway at 127.0.0.1:8443 refused the connection\n  in payments/client.py, line 41"
          : null,
    });
  });
  state.components = components.sort((a, b) => (a.component_id < b.component_id ? -1 : 1));
  state.features = features.sort((a, b) => (a.feature_id < b.feature_id ? -1 : 1));
  const labels = ["Setup & sync", "Planning", "Writing tests", "Implementing tasks", "Review", "Merge"];
  state.phases = [1, 2, 3, 4, 5, 6].map((n) =>
    phase(String(n), {
      name: ["Foundations", "Data model", "Catalog", "Cart", "Checkout and payments", "Operations"][n - 1] ?? "",
      status: n < 5 ? "completed" : n === 5 ? "in_progress" : "not_started",
      step: n < 5 ? 6 : n === 5 ? 4 : null,
      step_label: n < 5 ? "Merged" : n === 5 ? "Implementing tasks" : null,
      tasks_total: 4,
      tasks_done: n < 5 ? 4 : n === 5 ? 2 : 0,
      current_task: n === 5 ? "5.3 — Verify webhook signatures" : null,
      started_at: n <= 5 ? at((62 - n * 10) * MINUTE) : null,
      updated_at: n < 5 ? at((50 - n * 10) * MINUTE) : n === 5 ? at(3000) : null,
      history:
        n <= 5
          ? labels.slice(0, n < 5 ? 6 : 4).map((label, i) => ({
              step: i + 1,
              name: label.toLowerCase(),
              label,
              at: at((60 - n * 10 - i) * MINUTE),
              status: n < 5 || i < 3 ? "done" : "active",
            }))
          : [],
    }),
  );
  state.tasks = [
    "Extract the payment client",
    "Write contract tests",
    "Verify webhook signatures",
    "Retry with backoff",
    "Document refunds",
  ].map((name, i) =>
    task(`5.${i + 1}`, {
      name,
      status: i < 2 ? "completed" : i === 2 ? "in_progress" : "not_started",
      progress: i < 2 ? 100 : i === 2 ? 40 : 0,
      estimated_minutes: 45,
      started_at: i <= 2 ? at((30 - i * 9) * MINUTE) : null,
      completed_at: i < 2 ? at((22 - i * 9) * MINUTE) : null,
      metadata: { domain: i % 2 ? "testing" : "backend" },
    }),
  );
  state.checkpoints = [
    checkpoint("checkpoint_20260301_091204_118203", {
      phase: "phase_3_catalog_complete",
      created_at: at(31 * MINUTE),
      tasks_completed: ["3.1", "3.2", "3.3", "3.4"],
      files_created: ["src/catalog/service.py"],
    }),
    checkpoint("checkpoint_20260301_092518_640031", {
      phase: "phase_4_cart_draft",
      status: "rolled_back",
      created_at: at(18 * MINUTE),
      tasks_completed: ["4.1"],
    }),
    checkpoint("checkpoint_20260301_093747_022914", {
      phase: "phase_4_cart_complete",
      status: "active",
      created_at: at(6 * MINUTE),
      tasks_completed: ["4.1", "4.2", "4.3", "4.4"],
      files_created: ["src/cart/service.py", "src/cart/discounts.py"],
    }),
  ];
  state.warnings = [
    {
      file_path: ".buildrunner/locks/phase-6/progress.json",
      code: "not_json",
      message: "Not JSON: the text ends in the middle of a string (line 14). The last good state is kept.",
    },
    {
      file_path: ".buildrunner/workflows/pool_9a31c0d2_checkpoint.json",
      code: "duplicate_id",
      message: "Two results have the id 7f21ab90; the later one counts.",
    },
  ];
  state.session = {
    project: "storefront-api",
    status: "in_progress",
    status_source: "components",
    phase: "5",
    started_at: at(52 * MINUTE + 5000),
    ended_at: null,
    counts: { components: 12, features: features.length, tasks: 5, phases: 6, checkpoints: 3, files: 24, warnings: 2 },
  };
  state.progress = {
    total: 12,
    completed: 3,
    percent: 52.5,
    status: "in_progress",
    current_component: "checkout",
    current_feature: "Tax calculation",
  };
  state.updated_at = at(3000);
  return state;
}

/** The same build at its end. */
export function finished(now: number, good: boolean): State {
  const state = storefront(now);
  const at = (ago: number): string => new Date(now - ago).toISOString();
  const done = (id: string): boolean => good || !id.startsWith("payments");
  state.components = state.components.map((c) =>
    done(c.component_id)
      ? {
          ...c,
          status: "completed",
          progress: 100,
          error: null,
          tests_pass: true,
          started_at: c.started_at ?? at(20 * MINUTE),
          ended_at: c.ended_at ?? at(2 * MINUTE),
        }
      : c,
  );
  state.features = state.features.map((f) =>
    done(f.feature_id)
      ? {
          ...f,
          status: "completed",
          progress: 100,
          error: null,
          actual_minutes: f.actual_minutes ?? 40,
          tasks: f.tasks.map((t) => ({ ...t, completed: true })),
        }
      : f,
  );
  state.phases = state.phases.map((p) => ({ ...p, status: "completed", tasks_done: 4, step_label: "Merged" }));
  state.tasks = state.tasks.map((t) => ({ ...t, status: "completed", progress: 100 }));
  state.warnings = [];
  state.session = {
    ...state.session,
    status: good ? "completed" : "failed",
    ended_at: at(90_000),
    phase: "6",
    counts: { ...state.session.counts, warnings: 0 },
  };
  state.progress = {
    ...state.progress,
    percent: good ? 100 : 94.6,
    completed: good ? 12 : 11,
    status: good ? "completed" : "failed",
  };
  return state;
}

/** A build of many components. */
export function large(n: number, now: number): State {
  const state = emptyState();
  const statuses: Status[] = ["completed", "completed", "in_progress", "not_started", "completed"];
  state.components = Array.from({ length: n }, (_, i) =>
    component(`service-${String(i).padStart(5, "0")}`, {
      name: `Service ${i}`,
      component_type: "service",
      status: statuses[i % 5] as Status,
      progress: i % 5 === 2 ? 50 : i % 5 === 3 ? 0 : 100,
      started_at: new Date(now - 600_000).toISOString(),
    }),
  );
  state.session = {
    ...state.session,
    project: "monorepo",
    status: "in_progress",
    started_at: new Date(now - 600_000).toISOString(),
    counts: { ...state.session.counts, components: n },
  };
  state.progress = { ...state.progress, total: n, percent: 68, status: "in_progress" };
  state.updated_at = new Date(now - 400).toISOString();
  return state;
}
