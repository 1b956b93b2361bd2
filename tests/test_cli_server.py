"""tail, events, status and wait: against folders and real servers, with the exit codes they promise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

from tests.projects import Project, component, until
from tests.serving import published, serving

BW = [sys.executable, "-m", "buildwidget"]


def bw(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "NO_COLOR": "1", **env}
    return subprocess.run([*BW, *args], capture_output=True, text=True, timeout=40, check=False, env=given)


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "shop")
    made.checkpoint(1, components=[component("api", 100, "completed"), component("ui", 40)])
    return made


@pytest.fixture
def session():
    with published() as made:
        made.publish({"type": "component_update", "component_id": "api", "status": "running", "progress": 40})
        yield made


@pytest.fixture
def server(session):
    with serving(session) as made:
        yield made


@pytest.fixture
def tls(session, tmp_path):
    """A server with a certificate of its own; its address, and the certificate."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    with serving(session, tls_cert=certificate, tls_key=key) as made:
        yield made.url, str(certificate)


@pytest.mark.parametrize(
    ("status", "code"), [("completed", 0), ("failed", 1), ("running", 0)], ids=["completed", "failed", "running"]
)
def test_the_exit_code_says_how_it_stands(session, server, status, code) -> None:
    session.publish({"type": "component_update", "component_id": "api", "status": status})
    done = bw("status", server.url, "--exit-status")
    assert done.returncode == code, done.stderr
    assert "shop" in done.stdout
    assert "\x1b" not in done.stdout, "plain off a terminal"
    assert bw("status", server.url).returncode == 0


def test_status_of_a_folder_and_as_json(project) -> None:
    body = json.loads(bw("status", str(project.root), "--json").stdout)
    assert body["state"]["progress"]["percent"] == 70
    assert body.keys() == {"epoch", "seq", "stalled", "state", "verdict"}
    assert "70.0 %" in bw("status", str(project.root)).stdout


def test_no_build_is_3(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for command in (["status"], ["status", "--exit-status"], ["wait", "--timeout", "0.5"]):
        done = bw(*command, str(tmp_path / "empty"))
        assert done.returncode == 3, command
        assert "no build" in done.stderr


def test_a_stalled_build_is_4(tmp_path) -> None:
    project = Project(tmp_path / "shop")
    path = project.checkpoint(1, components=[component("api", 40)])
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "timestamp": "2026-03-01T09:00:00Z"}))
    os.utime(path, (1_772_355_600, 1_772_355_600))
    os.utime(project.root / ".buildrunner", (1_772_355_600, 1_772_355_600))
    assert bw("status", str(project.root), "--exit-status").returncode == 4
    assert bw("wait", str(project.root), "--timeout", "10").returncode == 4


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["status", "http://127.0.0.1:9"], 5),
        (["tail", "http://127.0.0.1:9/?session=x"], 5),
        (["wait", "ws://127.0.0.1:9/api/build/stream/x"], 5),
        (["status", "/no/such/folder"], 2),
        (["tail", "--types", "nonsense"], 2),
        (["events", "--since", "yesterday"], 2),
        (["tail", "--nonsense"], 2),
        (["serve", "/no/such/folder"], 2),
    ],
)
def test_what_is_wrong_has_a_code_and_a_word(args, code) -> None:
    done = bw(*args)
    assert done.returncode == code, done.stderr
    assert done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_token_is_asked_for(session) -> None:
    with serving(session, token="read-token-1") as server:
        assert bw("status", server.url).returncode == 5
        assert bw("status", server.url, "--token", "wrong-token-1").returncode == 5
        assert bw("status", server.url, "--token", "read-token-1").returncode == 0
        assert bw("status", server.url, BUILDWIDGET_TOKEN="read-token-1").returncode == 0


def test_wait_ends_with_the_build(session, server) -> None:
    process = subprocess.Popen([*BW, "wait", server.url, "--timeout", "30"], stderr=subprocess.PIPE, text=True)
    until(server._sessions.clients, 20)
    session.publish({"type": "component_update", "component_id": "api", "status": "failed"})
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said == "", "no progress line off a terminal"


def test_wait_gives_up_in_time(session, server) -> None:
    done = bw("wait", server.url, "--timeout", "0.5")
    assert done.returncode == 124
    assert "timed out: the build has not ended after 0.5 s" in done.stderr


def test_events_are_all_that_the_log_holds(session, server) -> None:
    got = [json.loads(line) for line in bw("events", server.url, "--json").stdout.splitlines()]
    assert [m["seq"] for m in got] == list(range(1, session.seq + 1))
    some = bw(
        "events", server.url, "--json", "--types", "components", "--since", f"{session.epoch}:1"
    ).stdout.splitlines()
    assert {json.loads(line)["type"] for line in some} == {"component_update"}
    lines = bw("events", server.url).stdout.splitlines()
    assert len(lines) == session.seq
    assert any("api" in line and "in progress" in line and "40.0 %" in line for line in lines)


def test_tail_follows_a_server_and_a_folder_until_ctrl_c(session, server, project) -> None:
    for place, change, word in (
        (
            server.url,
            lambda: session.publish({"type": "component_update", "component_id": "new", "progress": 5}),
            '"new"',
        ),
        (str(project.root), lambda: project.checkpoint(2, components=[component("fresh", 5)]), '"fresh"'),
    ):
        command = [*BW, "tail", place, "--json", "--types", "components"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if place == server.url:
                until(server._sessions.clients, 20)
            else:  # until it has read what is there
                until(lambda p=process: _waits(p.pid), 20)
            change()
            line = process.stdout.readline()
            assert word in line
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
            assert process.returncode == 130
            assert "Traceback" not in said
        finally:
            process.kill()
            process.wait()


def _waits(pid: int) -> bool:
    """Whether that process has a watcher's thread that has been idle for a moment."""
    import psutil

    process = psutil.Process(pid)
    before = process.cpu_times()
    import time

    time.sleep(0.5)
    after = process.cpu_times()
    return process.num_threads() > 1 and after.user - before.user < 0.05


def test_a_reader_that_ends_ends_it(session, server) -> None:
    for n in range(3_000):
        session.publish({"type": "component_update", "component_id": f"c{n % 50}", "metadata": {"n": n, "x": "y" * 50}})
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m buildwidget events {server.url} --json | head -1; exit ${{PIPESTATUS[0]}}",
        ],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stdout.count("\n") == 1
    assert done.returncode == 74
    assert done.stderr == "buildwidget: standard output cannot be written to: its reader has closed it\n"


@pytest.mark.parametrize("where", ["folder", "server"])
def test_tail_that_does_not_follow_shows_the_newest_and_ends(session, server, project, where) -> None:
    if where == "server":
        for n in range(30):
            session.publish({"type": "component_update", "component_id": "api", "metadata": {"n": n}})
    place = server.url if where == "server" else str(project.root)
    done = bw("tail", place, "--no-follow", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    seqs = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert seqs[-1] == session.seq if where == "server" else seqs[-1] > 1
    assert len(seqs) == 10 or seqs[0] == 1
    assert bw("tail", place, "--no-follow", "--since", str(seqs[-1])).stdout == ""
    ahead = bw("events", place, "--since", "9999", "--json")
    assert (ahead.returncode, ahead.stdout) == (0, "")
    assert "9,999" in ahead.stderr


def test_what_the_log_no_longer_holds_is_said(session, server) -> None:
    session.log._max_messages = 5
    for n in range(30):
        session.publish({"type": "component_update", "component_id": "api", "metadata": {"n": n}})
    first, *rest = [json.loads(line) for line in bw("events", server.url, "--json").stdout.splitlines()]
    assert (first["type"], first["from_seq"], first["to_seq"]) == ("gap", 1, session.seq - 5)
    assert [message["seq"] for message in rest] == list(range(session.seq - 4, session.seq + 1))
    assert "missing" in bw("events", server.url).stdout


class Served:
    """`buildwidget serve` in a process of its own, that can be killed and started again at the same port."""

    def __init__(self, folder) -> None:
        self.folder, self.port = folder, 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def start(self) -> None:
        command = [*BW, "serve", str(self.folder), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Lines:
    """What a process writes, a line at a time, with a deadline."""

    def __init__(self, stream) -> None:
        self.all: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream) -> None:
        for line in stream:
            self.all.append(line)

    def until(self, word: str) -> str:
        return until(lambda: next((line for line in self.all if word in line), None), 30, f"{word} in {self.all}")


@pytest.mark.parametrize("command", ["tail", "wait"])
def test_a_server_that_is_killed_and_started_again_is_told_of(project, command) -> None:
    with Served(project.root) as served:
        process = subprocess.Popen(
            [*BW, command, served.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, said = Lines(process.stdout), Lines(process.stderr)
            connected = f"{served.url}/api/build/sessions"
            until(lambda: json.loads(urllib.request.urlopen(connected).read())["sessions"][0]["clients"], 30)
            served.kill()
            said.until("the server is away")
            served.start()
            said.until("the server is back")
            if command == "tail":
                out.until("a new log has begun")
                project.checkpoint(2, components=[component("fresh", 5)])
                out.until("Fresh")
                process.send_signal(signal.SIGINT)
            else:
                project.checkpoint(
                    2, [component("api", 100, "completed"), component("ui", 100, "completed")], phase="build_complete"
                )
            assert process.wait(30) == (130 if command == "tail" else 0)
            assert [line for line in said.all if "Traceback" in line] == []
            assert len(said.all) == 2, said.all
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()


@pytest.mark.parametrize("command", ["tail", "status", "wait", "events", "run --to"])
@pytest.mark.parametrize("session_is_named", [False, True])
def test_a_certificate_that_is_not_trusted_is_said(session, tls, command, session_is_named) -> None:
    """At once: trying again makes no certificate better."""
    url, _ = tls
    place = f"{url}/?session=shop" if session_is_named else url
    done = bw(*command.split(), place, *(["--", "true"] if "run" in command else []))
    assert done.returncode == (0 if "run" in command else 5)
    (line,) = done.stderr.splitlines()
    assert "certificate that is not trusted here: self-signed certificate" in line
    assert "SSL_CERT_FILE" in line


def test_a_certificate_that_is_named_is_trusted(session, tls) -> None:
    url, certificate = tls
    for place in (url, f"{url}/?session=shop"):
        done = bw("status", place, SSL_CERT_FILE=certificate)
        assert (done.returncode, done.stderr) == (0, "")
        assert "shop" in done.stdout


def test_tls_where_there_is_none_is_said(server) -> None:
    for place in (server.url, f"{server.url}/?session=shop"):
        done = bw("status", place.replace("http:", "https:"))
        assert done.returncode == 5
        assert done.stderr.endswith("does not speak TLS; try its address with http:// instead of https://\n")
