"""The texts of the demo: context markdown and the output of test runs."""

from __future__ import annotations

from .product import PROJECT
from .world import ComponentState, World

__all__ = ["architecture", "blockers", "command_output", "current_work", "test_results", "test_run"]


def architecture(world: World) -> str:
    """Return ``architecture.md``: the components and their dependencies."""
    rows = [
        f"| {c.spec.name} | {c.spec.type} | `{c.spec.folder}/` | {', '.join(c.spec.dependencies) or 'nothing'} |"
        for c in world.components.values()
    ]
    return "\n".join([
        f"# Architecture: {PROJECT}", "",
        "An appointment system for small clinics: patients book online, staff see the day at a glance.", "",
        "| part | kind | folder | needs |", "|---|---|---|---|", *rows, "",
        "## Decisions", "",
        "- **One database.** A slot is unique in the database, not in the code that books it.",
        "- **No passwords for patients.** One-time links; staff sign in with the clinic's directory.",
        "- **The API is the only door.** Websites and reports hold no connection of their own.", "",
    ])  # fmt: skip


def current_work(world: World) -> str:
    """Return ``current-work.md``: the features by status."""
    by = {word: [f for f in world.features.values() if f.status == word]
          for word in ("completed", "in_progress", "pending", "blocked", "error")}  # fmt: skip
    text = [
        "# Current Work", "",
        f"**Progress:** {len(by['completed'])} of {len(world.features)} features, {world.commits} commits", "",
        "### In Progress",
        *[f"- 🚧 {f.spec.name} ({f.tasks_done}/{len(f.done)})" for f in by["in_progress"]],
    ]  # fmt: skip
    if by["error"] or by["blocked"]:
        text += [
            "",
            "### Stuck",
            *[f"- ❌ {f.spec.name}" for f in by["error"]],
            *[f"- ⛔ {f.spec.name}" for f in by["blocked"]],
        ]
    text += ["", "### Completed", *[f"- ✅ {f.spec.name}" for f in by["completed"]]]
    text += ["", "### Pending", *[f"- ⏳ {f.spec.name}" for f in by["pending"]], ""]
    return "\n".join(text)


def blockers(active: list[tuple[str, str, str]]) -> str:
    """Return ``blockers.md``, given name, error message and affected items of each blocker."""
    text = ["# Blockers", "", "## Active Blockers", ""]
    for name, error, affected in active:
        text += [f"### {name}", "", "```", error, "```", "", f"**Affects:** {affected}", ""]
    return "\n".join([*text, *([] if active else ["*None currently*", ""])])


def test_run(component: ComponentState) -> list[str]:
    """Return the log lines of a test run."""
    failed = 0 if component.tests_pass else max(1, component.tests // 20)
    passed = component.tests - failed
    dots = "." * min(passed, 50) + "F" * failed
    seconds = 1.3 + component.tests / 11
    colour = "31" if failed else "32"
    summary = f"{failed} failed, {passed} passed" if failed else f"{passed} passed"
    return [
        f"\x1b[36m{component.spec.id}\x1b[0m $ run tests {component.spec.folder}",
        f"  \x1b[{colour}m{dots}\x1b[0m",
        f"  \x1b[1;{colour}m{summary}\x1b[0m in {seconds:.1f}s",
    ]


def command_output(component: ComponentState, at: str) -> str:
    """Return one entry of ``command-outputs.md``, a file that is only appended to."""
    verdict = f"{component.tests} passed" if component.tests_pass else "failures, see the log"
    return f"\n## {at} tests of {component.spec.name}\n\n```\n$ run tests {component.spec.folder}\n{verdict}\n```\n"


def test_results(world: World) -> str:
    """Return ``test-results.md``: the newest test run of each component."""
    run = [c for c in world.components.values() if c.tests]
    if not run:
        return "# Test Results\n\n*Not yet run*\n"
    rows = [f"| {c.spec.name} | {c.tests} | {'✅ pass' if c.tests_pass else '❌ fail'} |" for c in run]
    return "\n".join(["# Test Results", "", "| component | tests | result |", "|---|---|---|", *rows, ""])
