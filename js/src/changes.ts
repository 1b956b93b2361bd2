/** What has changed since the views were last told. Sets hold ids. */
export interface Changes {
  /** Everything may have changed: a snapshot was adopted. */
  all: boolean;
  /** The status, phase, percentage, runtime or counts of the whole. */
  summary: boolean;
  components: Set<string>;
  features: Set<string>;
  tasks: Set<string>;
  phases: Set<string>;
  /** An item came, went, or moved to another parent: lists must be made again. */
  structure: boolean;
  /** Which items have failed, or what they say. */
  errors: boolean;
  warnings: boolean;
  checkpoints: boolean;
  terminal: boolean;
  /** A line of what happened was added. */
  activity: boolean;
  context: boolean;
  connection: boolean;
  selection: boolean;
  filter: boolean;
  layout: boolean;
  notices: boolean;
}

export function noChanges(): Changes {
  return {
    all: false,
    summary: false,
    components: new Set(),
    features: new Set(),
    tasks: new Set(),
    phases: new Set(),
    structure: false,
    errors: false,
    warnings: false,
    checkpoints: false,
    terminal: false,
    activity: false,
    context: false,
    connection: false,
    selection: false,
    filter: false,
    layout: false,
    notices: false,
  };
}
