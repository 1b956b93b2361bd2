"""What a person sees of the live cell: the one place that knows how it is marked up."""

from __future__ import annotations

import re

from playwright.sync_api import ElementHandle, Locator, Page

from .jupyterlab import Notebook, until

__all__ = ["Face"]

# Every `selected` message of the kernel, as the page gets it.
_RECORD = """() => {
  const answers = (window.labAnswers = []);
  const { kernel } = window.jupyterapp.shell.currentWidget.context.sessionContext.session;
  kernel.iopubMessage.connect((_, message) => {
    const content = message.content?.data?.content;
    if (message.header.msg_type === 'comm_msg' && content?.kind === 'selected') answers.push(content.ids);
  });
}"""


class Face:
    """The live cell in the output of one notebook cell.

    Parameters
    ----------
    notebook
        The notebook.
    cell
        The number of the cell; None for the output view that is open beside the notebook.
    """

    ROOT = ".bw-root"

    def __init__(self, notebook: Notebook, cell: int | None) -> None:
        self.notebook, self.cell = notebook, cell
        self.page: Page = notebook.page

    @property
    def root(self) -> Locator:
        """The outermost element of the live cell."""
        if self.cell is None:
            return self.page.locator(f".jp-LinkedOutputView {self.ROOT}")
        shown = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-cell")
        return shown.nth(self.cell).locator(self.ROOT)

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait(self, timeout: float = 15) -> None:
        """Wait until it is there."""
        self.root.wait_for(state="visible", timeout=timeout * 1000)

    def text(self) -> str:
        """The text that can be seen; empty while there is none."""
        return self.root.inner_text() if self.root.count() else ""

    def wait_text(self, text: str, timeout: float = 8) -> None:
        """Wait until this text can be seen."""
        until(lambda: text in self.text(), f"the cell shows {text!r}", timeout, explain=self.text)

    def wait_gone(self, text: str, timeout: float = 8) -> None:
        """Wait until this text cannot be seen any more."""
        until(lambda: text not in self.text(), f"the cell no longer shows {text!r}", timeout, explain=self.text)

    def wait_count(self, what: str, number: int, timeout: float = 15) -> None:
        """Wait until the header counts so many ``components``, ``features`` or ``checkpoints``."""
        pattern = re.compile(rf"\b{number:,}\s+{what}\b|\b{what}\s+{number:,}\b|/\s*{number:,}\s+{what}", re.IGNORECASE)
        until(lambda: pattern.search(self.text()), f"the cell counts {number} {what}", timeout, explain=self.text)

    # -- connection -----------------------------------------------------------------------------------------------

    def connection(self) -> str:
        """The connection as it is written: live, stale, disconnected …"""
        pill = self.root.locator("[data-connection] >> visible=true")
        return pill.first.inner_text().strip().lower() if pill.count() else ""

    def wait_live(self, timeout: float = 10) -> None:
        """Wait until the cell says that it is live."""
        until(lambda: "live" in self.connection(), "the cell is live", timeout, explain=self.text)

    def wait_not_live(self, timeout: float) -> None:
        """Wait until the cell says that what it shows may be old."""
        words = ("disconnected", "stale", "static")
        until(
            lambda: any(word in self.connection() for word in words),
            "it says it is not live",
            timeout,
            explain=self.text,
        )

    # -- rows -----------------------------------------------------------------------------------------------------

    def row(self, name: str) -> Locator:
        """The row with exactly this name."""
        names = self.page.locator(".bw-name", has_text=re.compile(rf"^{re.escape(name)}$"))
        return self.root.locator("[role=row][data-key]").filter(has=names)

    def rows(self) -> list[ElementHandle]:
        """All rows in the page that can be chosen."""
        return self.root.locator("[role=row][aria-selected]").element_handles()

    def has_row(self, name: str) -> bool:
        """Whether there is such a row."""
        return self.row(name).count() > 0

    def wait_row(self, name: str) -> None:
        """Wait until there is such a row."""
        until(lambda: self.has_row(name), f"there is a row {name!r}", explain=self.text)

    def wait_row_gone(self, name: str) -> None:
        """Wait until there is no such row."""
        until(lambda: not self.has_row(name), f"there is no row {name!r}", explain=self.text)

    def click(self, name: str) -> None:
        """Click a row."""
        self.row(name).locator(".bw-name").click()

    def selected(self) -> list[str]:
        """The names of the selected rows."""
        return self.root.locator("[role=row][aria-selected=true] .bw-name").all_inner_texts()

    def wait_selected(self, names: list[str]) -> None:
        """Wait until exactly these rows are selected."""
        until(lambda: self.selected() == names, f"selected: {names}", explain=lambda: str(self.selected()))

    def record_answers(self) -> None:
        """From now on, note what the kernel says of the selection."""
        self.page.evaluate(_RECORD)

    def answers(self) -> list[list[str]]:
        """What the kernel has said of the selection."""
        return self.page.evaluate("() => window.labAnswers")

    # -- filter, tabs, warnings -----------------------------------------------------------------------------------

    def filter_box(self) -> Locator:
        """The field for the filter."""
        return self.root.get_by_label("Filter", exact=True).locator("visible=true")

    def type_filter(self, text: str) -> None:
        """Type a filter, as a person does."""
        self.filter_box().fill("")
        self.filter_box().press_sequentially(text)

    def tab(self, name: str) -> Locator:
        """A tab by its name."""
        return self.root.locator("[role=tab]").filter(has_text=re.compile(rf"^\s*{name}"))

    def open_everything(self) -> None:
        """Open every tab, one after the other, and the first again."""
        tabs = self.root.locator("[role=tab]")
        for number in [*range(tabs.count()), 0]:
            tabs.nth(number).click()

    def warnings(self) -> list[str]:
        """The warnings above the tabs: file and reason of the first ones."""
        if self.root.count() == 0:
            return []
        script = "root => [...root.querySelectorAll('.bw-warning')].map(one => one.innerText)"
        return self.root.evaluate(script)

    def wait_warning(self, text: str, timeout: float = 8) -> str:
        """Wait for a warning that holds this text, and return it."""
        found = until(
            lambda: [one for one in self.warnings() if text in one],
            f"a warning of {text!r}",
            timeout,
            explain=self.text,
        )
        return found[0]

    def wait_no_warnings(self, timeout: float = 8) -> None:
        """Wait until there is no warning."""
        until(lambda: not self.warnings(), "no warning", timeout, explain=lambda: str(self.warnings()))
