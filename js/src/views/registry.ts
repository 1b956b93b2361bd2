// The tabs of the face, in their order. A new view is a file and a line here.

import { buildTab } from "./build-tab";
import { checkpointsTab, warningsTab } from "./list-tabs";
import { outputTab } from "./output-tab";
import type { TabSpec } from "./view";
import { phasesTab, tasksTab } from "./work-tabs";

export const TABS: readonly TabSpec[] = [buildTab, phasesTab, tasksTab, checkpointsTab, outputTab, warningsTab];
