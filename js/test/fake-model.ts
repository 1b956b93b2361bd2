import type { WidgetModel } from "../src/transport/comm";

type Callback = (...args: never[]) => void;

/** A model as anywidget hands it over, with the kernel's end of it in the hands of the test. */
export class FakeModel implements WidgetModel {
  readonly sent: Record<string, unknown>[] = [];
  readonly saved: Record<string, unknown>[] = [];
  readonly #state: Record<string, unknown>;
  readonly #callbacks = new Map<string, Set<Callback>>();

  constructor(state: Record<string, unknown> = {}) {
    this.#state = {
      selected: [],
      filter: "",
      height: 0,
      _meta: { path: "~/shop", version: "0.1.0" },
      _snapshot: null,
      ...state,
    };
  }
  get(name: string): unknown {
    return this.#state[name];
  }
  on(name: string, callback: Callback): void {
    const set = this.#callbacks.get(name) ?? new Set();
    this.#callbacks.set(name, set.add(callback));
  }
  off(name?: string | null, callback?: Callback | null): void {
    if (name && callback) this.#callbacks.get(name)?.delete(callback);
  }
  send(content: unknown): void {
    this.sent.push(content as Record<string, unknown>);
  }
  set(name: string, value: unknown): void {
    this.#state[name] = value;
    this.#emit(`change:${name}`);
  }
  save_changes(): void {
    this.saved.push({ selected: this.#state.selected, filter: this.#state.filter });
  }
  kernel(content: unknown, buffers: DataView[] = []): void {
    this.#emit("msg:custom", content, buffers);
  }
  get listeners(): number {
    return [...this.#callbacks.values()].reduce((n, s) => n + s.size, 0);
  }
  asked(kind: string): Record<string, unknown>[] {
    return this.sent.filter((m) => m.kind === kind);
  }
  #emit(name: string, ...args: unknown[]): void {
    for (const callback of [...(this.#callbacks.get(name) ?? [])]) (callback as (...a: unknown[]) => void)(...args);
  }
}
