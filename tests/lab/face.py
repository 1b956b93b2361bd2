"""What a person sees of the live cell: the one place that knows how it is marked up."""

from __future__ import annotations

from playwright.sync_api import Page

from .jupyterlab import Notebook

__all__ = ["Face"]


class Face:
    """The live cell in the output of one notebook cell.

    Parameters
    ----------
    notebook
        The notebook.
    cell
        The number of the cell; None for the output view that is open beside the notebook.
    """

    ROOT = ".bw"

    def __init__(self, notebook: Notebook, cell: int | None) -> None:
        self.notebook, self.cell = notebook, cell
        self.page: Page = notebook.page

    @property
    def root(self) -> Locator:
        """The outermost element of the live cell."""
        if self.cell is None:
            return self.page.locator(f".jp-LinkedOutputView {self.ROOT}")
        return self.page.locator(f"{self.ROOT} >> visible=true").first

    def text(self) -> str:
        return self.root.inner_text()

    def wait_text(self, text, timeout=10):
        self.page.wait_for_function("([s,t]) => [...document.querySelectorAll(s)].some(n => n.textContent.includes(t))", arg=[self.ROOT, text], timeout=timeout*1000)

    def rows(self):
        return self.root.element_handles()
