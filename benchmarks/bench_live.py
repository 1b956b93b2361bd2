"""File replaced → text painted in JupyterLab, step by step, and clicks while the kernel is busy.

*Painted* is: the text is in the DOM, the next animation frame has begun, and one task later. Writes are at least
100 ms apart, at random moments. All clocks are the machine's: Python's ``time.time_ns``, and in the page the time
origin corrected by the moment at which ``Date.now()`` ticks.

The peer, measured in the same run: a ten-line anywidget to which the kernel's loop sends a message; no file at all.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._numbers import quantile, summary, table, verdict
from tests.lab.builds import Project, component, feature
from tests.lab.face import Face
from tests.lab.jupyterlab import Lab, Notebook

WATCH = """
import time, buildwidget as bw
w = bw.watch('project')
batches = []
def timed(changes, inner=w.session._batch):
    start = time.time_ns()
    inner(changes)
    batches.append((start, time.time_ns()))
w.session._batch = timed
w
"""

FLOOR = """
import anywidget, asyncio, random, time
class Floor(anywidget.AnyWidget):
    _esm = '''export default { render({ model, el }) {
        el.className = 'floor';
        model.on('msg:custom', message => { el.textContent = message.mark; });
    } }'''
f = Floor()
sent = {}
async def send(count):
    for mark in range(count):
        await asyncio.sleep(0.1 + random.random() / 10)
        sent[f'{mark:06d}'] = time.time_ns()
        f.send({'mark': f'mark-{mark:06d}'})
f
"""

# How far the page's clock is from the system's, in ms: Date.now() is exact at the moment it changes.
OFFSET = """() => {
  const found = [];
  for (let i = 0; i < 21; i++) {
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    found.push(now - (performance.timeOrigin + performance.now()));
  }
  found.sort((a, b) => a - b);
  return found[10];
}"""

# Notes when each mark arrives, is in the DOM, and is painted. Times in ms since 1970.
RECORD = """([selector, offset]) => {
  const now = () => performance.timeOrigin + performance.now() + offset;
  window.benchNow = now;
  const rows = (window.benchRows = {});
  const answers = (window.benchAnswers = []);
  const row = mark => (rows[mark] ??= {});
  const stamp = date => {  // an ISO time with microseconds
    const whole = Date.parse(date.replace(/\\.\\d+/, ''));
    return whole + 1000 * Number('0' + (/\\.\\d+/.exec(date)?.[0] ?? '.0'));
  };
  const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
  const decoder = new TextDecoder();
  kernel.anyMessage.connect((_, { msg, direction }) => {
    if (direction !== 'recv' || msg.header.msg_type !== 'comm_msg') return;
    const at = now();
    const content = msg.content.data.content;
    if (content?.kind === 'selected') answers.push(at);
    const text = JSON.stringify(content ?? '') + (msg.buffers ?? []).map(b => decoder.decode(b)).join('');
    if (msg.content.data.method !== 'custom') return;
    for (const [, mark] of text.matchAll(/mark-(\\d+)/g)) {
      row(mark).arrived ??= at;
      row(mark).left ??= stamp(msg.header.date);
    }
  });
  const channel = new MessageChannel();
  const after = [];
  channel.port1.onmessage = () => after.shift()();
  const look = () => {
    const at = now();
    for (const root of document.querySelectorAll(selector)) {
      for (const [, mark] of root.textContent.matchAll(/mark-(\\d+)/g)) {
        const r = row(mark);
        if (r.shown) continue;
        r.shown = at;
        requestAnimationFrame(() => {
          after.push(() => { r.painted = now(); });
          channel.port2.postMessage(null);
        });
      }
    }
  };
  for (const root of document.querySelectorAll(selector)) {
    new MutationObserver(look).observe(root, { subtree: true, childList: true, characterData: true });
  }
}"""


Rows = dict[str, dict[str, float]]  # mark → what happened when, in ms since 1970


class Bench:
    def __init__(self, notebook: Notebook, project: Project) -> None:
        self.notebook, self.page, self.project = notebook, notebook.page, project
        self.written: dict[str, float] = {}
        self.next = 0
        self.parts = [component(f"part{n:02d}") for n in range(12)]
        self.things = [feature(f"thing{n:02d}", f"part{n % 12:02d}") for n in range(40)]

    def write(self) -> str:
        """Change one component's name and replace the file."""
        mark = f"{self.next:06d}"
        self.next += 1
        self.parts[0]["name"] = f"mark-{mark}"
        data = self.project.content(self.parts, self.things)
        self.written[mark] = time.time_ns() / 1e6
        self.project.replace(data)
        return mark

    def painted(self, marks: list[str], seconds: float = 15) -> None:
        """Wait until these are painted, or give up on them."""
        script = "marks => marks.every(mark => window.benchRows[mark]?.painted)"
        try:
            self.page.wait_for_function(script, arg=marks, timeout=seconds * 1000)
        except Exception:
            print("   some writes were never shown")

    def rows(self) -> Rows:
        rows = self.page.evaluate("() => window.benchRows")
        for mark, row in rows.items():
            if mark in self.written:
                row["written"] = self.written[mark]
        return rows


def pause(low: float = 0.1, high: float = 0.2) -> None:
    time.sleep(random.uniform(low, high))


def totals(rows: Rows, marks: list[str]) -> list[float]:
    return [rows[m]["painted"] - rows[m]["written"] for m in marks if "painted" in rows.get(m, {})]


STEPS = (
    ("notify: written → taken up", "written", "taken"),
    ("parse: read, parse, merge, number", "taken", "left"),
    ("send: left the kernel → in the page", "left", "arrived"),
    ("fold: in the page → text in the DOM", "arrived", "shown"),
    ("paint: in the DOM → painted", "shown", "painted"),
)


def steps(rows: Rows, marks: list[str]) -> list[str]:
    """Median and p95 of each step of the way."""
    cells = []
    for _, start, end in STEPS:
        found = [rows[m][end] - rows[m][start] for m in marks if start in rows.get(m, {}) and end in rows[m]]
        cells.append(f"{statistics.median(found):.2f} / {quantile(found, 0.95):.2f}" if found else "-")
    return cells


def note_taken(rows: Rows, batches: list[list[int]]) -> None:
    """The last batch that began between the write and the message is the one that took the write up."""
    starts = [start / 1e6 for start, _ in batches]
    for row in rows.values():
        if "written" in row and "left" in row:
            between = [start for start in starts if row["written"] <= start <= row["left"]]
            if between:
                row["taken"] = between[-1]


def floor(lab: Lab, page, count: int) -> Rows:
    notebook = lab.open(page, [FLOOR, f"task = asyncio.create_task(send({count}))"])
    notebook.run(0)
    page.wait_for_selector(".floor", state="attached")
    page.evaluate(RECORD, [".floor", page.evaluate(OFFSET)])
    notebook.run(1)
    page.wait_for_function("mark => window.benchRows[mark]?.painted", arg=f"{count - 1:06d}", timeout=count * 1000)
    rows: Rows = page.evaluate("() => window.benchRows")
    for mark, at in notebook.evaluate("sent").items():
        rows.setdefault(mark, {})["taken"] = rows[mark]["written"] = at / 1e6
    notebook.close()
    return rows


def main(*, quick: bool = False) -> None:
    count = 40 if quick else 150
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, lab.browser() as page:
        bare = floor(lab, page, count)
        base = totals(bare, list(bare))
        print(f"   peer, a bare message → painted, ms: {summary(base)}")
        project = Project(Path(folder) / "project")
        length = 7 if quick else 20
        notebook = lab.open(page, [WATCH, f"import time\ntime.sleep({length})", "time.sleep(0.7)"])
        bench = Bench(notebook, project)
        bench.write()
        notebook.run(0)
        face = Face(notebook, 0)
        face.wait_text("mark-000000")
        page.evaluate(RECORD, [Face.ROOT, page.evaluate(OFFSET)])
        page.wait_for_timeout(1500)

        idle = []
        for _ in range(count):
            idle.append(bench.write())
            pause()
        bench.painted(idle)

        busy = []
        while len(busy) < count:
            notebook.start(1)
            pause(0.2, 0.3)
            end = time.monotonic() + length - 1
            while time.monotonic() < end and len(busy) < count:
                busy.append(bench.write())
                pause()
            live = page.evaluate("marks => marks.filter(m => window.benchRows[m]?.painted).length", busy[:-1])
            late = len(busy) - 1 - live
            notebook.ended(1)
            if late:
                print(f"   {late} updates were not shown while the other cell ran")
        bench.painted(busy)

        fresh = []
        for _ in range(5 if quick else 20):
            notebook.start(2)
            time.sleep(random.uniform(0, 0.19))
            fresh.append(bench.write())
            notebook.ended(2)
            pause(0.1, 0.4)
        bench.painted(fresh)

        clicks = click_times(notebook, face, 10 if quick else 50)
        rows = bench.rows()
        batches = notebook.evaluate("batches")

        print("   file replaced → text painted, ms")
        a, b, c = totals(rows, idle), totals(rows, busy), totals(rows, fresh)
        print(f"   idle kernel:            {summary(a)}")
        print(
            f"     median {verdict(statistics.median(a), 12)}, p95 {verdict(quantile(a, 0.95), 25)}; "
            f"{statistics.median(a) / statistics.median(base):.1f} × the peer"
        )
        print(f"   another cell sleeps:    {summary(b)}  shown {len(b)} of {len(busy)}")
        print(f"     median {verdict(statistics.median(b), 25)}, p95 {verdict(quantile(b, 0.95), 130)}")
        print(f"   first 200 ms of it:     {summary(c)}  shown {len(c)} of {len(fresh)}")
        print(f"     median {verdict(statistics.median(c), 25)}, p95 {verdict(quantile(c, 0.95), 130)}")
        print(
            f"   click answered while it sleeps, ms: {summary(clicks)}  median {verdict(statistics.median(clicks), 80)}"
        )
        note_taken(rows, batches)
        columns = [steps(bare, list(bare)), steps(rows, idle), steps(rows, busy), steps(rows, fresh)]
        head = ["step, median / p95", "peer", "idle kernel", "other cell sleeps", "first 200 ms"]
        lines = [[name, *(column[at] for column in columns)] for at, (name, _, _) in enumerate(STEPS)]
        print("   " + table(head, lines).replace("\n", "\n   "))


def click_times(notebook: Notebook, face: Face, count: int) -> list[float]:
    """A row is clicked; the kernel's acknowledgement comes back. In ms."""
    notebook.edit(2, f"time.sleep({count * 0.4 + 2})")
    notebook.start(2)
    found: list[float] = []
    for number in range(count):
        rows = face.rows()
        found.append(
            notebook.page.evaluate(
                """async row => {
                  const answers = window.benchAnswers;
                  const had = answers.length;
                  const start = window.benchNow();
                  row.click();
                  while (answers.length === had && window.benchNow() - start < 30000) {
                    await new Promise(resolve => setTimeout(resolve, 1));
                  }
                  return (answers[had] ?? Infinity) - start;
                }""",
                rows[number % len(rows)],
            )
        )
        pause(0.1, 0.3)
    notebook.ended(2)
    return found


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
