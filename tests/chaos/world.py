"""Where a trial happens: a laptop of its own, everything that is typed on it written down, and hands that reach every
process."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

import lib

COMMAND_LIMIT = 300  # seconds; more than any promise of ferry's takes, on a loaded computer, too


class Typed:
    """A command that was typed; what it says goes to files, so that it never waits for a reader."""

    def __init__(self, home, words, env=None):
        self.words, self.home, self.hung = words, home, False
        self.began = time.time()
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=home.said))
        while (
            not os.path.exists(home.program) and time.time() < self.began + 5
        ):  # it is just being updated: typed again
            time.sleep(0.1)
        with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            self.process = subprocess.Popen(
                [home.program, *words],
                cwd=home.work,
                env={**home.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                umask=home.umask,
            )
        self.ended_at = 0

    @property
    def out(self):
        return (self.folder / "out").read_text(errors="replace")

    @property
    def err(self):
        return (self.folder / "err").read_text(errors="replace")

    @property
    def code(self):
        return self.process.returncode

    def wait(self, limit=COMMAND_LIMIT):
        """The exit code; a command that does not end in time is killed, and told by the judge."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.hung = True
            self.process.kill()
            self.process.wait()
        self.ended_at = self.ended_at or time.time()
        return self.code

    def told(self):
        words = " ".join(word if len(word) < 60 else word[:40] + "…" for word in self.words)
        lines = [f"{self.began - self.home.born:7.2f} $ ferry {words}"]
        lines += ["          " + line for line in (self.out + self.err).splitlines()]
        end = "killed by the harness, it hung" if self.hung else f"exit {self.code}"
        return "\n".join([*lines, f"{(self.ended_at or time.time()) - self.home.born:7.2f}   {end}"])


class World(lib.Home):
    """lib.Home, and what can be done to it. Its methods may be called from several threads."""

    def __init__(self, boot_ms=50):
        super().__init__()
        self.born = time.time()
        self.said, self.tmp = self.root / "said", self.root / "t"
        self.said.mkdir()
        self.tmp.mkdir()
        self.env.update(TMPDIR=str(self.tmp), FERRY_REHEARSAL_BOOT_MS=str(boot_ms))
        self.data, self.program = self.root / "data/ferry", lib.FERRY
        self.umask, self.mounts = 0o022, []
        self.commands, self.notes = [], []  # Typed; (time, text)
        self._lock = threading.Lock()

    def __exit__(self, *_):
        super().__exit__(None)
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(path)], capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def mount(self, path, *options):
        """A small file system in memory over a folder; False where that is not allowed."""
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(path)], capture_output=True)
        self.mounts += [path] * (done.returncode == 0)
        return done.returncode == 0

    def unmount(self, path):
        if subprocess.run(["umount", "-l", str(path)], capture_output=True).returncode == 0:
            self.mounts.remove(path)

    def note(self, text):
        with self._lock:
            self.notes.append((time.time(), text))

    def begin(self, *words, how=Typed, **more):
        typed = how(self, words, **more)
        with self._lock:
            self.commands.append(typed)
        return typed

    def type(self, *words, limit=COMMAND_LIMIT, **more):
        typed = self.begin(*words, **more)
        typed.wait(limit)
        return typed

    def transcript(self):
        told = [(one.began, one.told()) for one in self.commands]
        told += [(at, f"{at - self.born:7.2f} * {text}") for at, text in self.notes]
        return "\n".join(text for _, text in sorted(told))

    # What the ledger and the cloud say, read without asking anybody.

    def query(self, sql, *values):
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{self.data}/ledger.db?mode=ro", uri=True, timeout=5)
            ) as ledger:
                return ledger.execute(sql, values).fetchall()
        except sqlite3.Error:  # not there yet, locked, or damaged by the trial
            return []

    def state(self):
        """The rehearsal cloud's own memory."""
        try:
            return json.loads((self.data / "rehearsal/state.json").read_text())
        except (OSError, ValueError):
            return {"instances": {}, "groups": {}, "keys": {}}

    def machine(self, run):
        """The id of the run's machine that was not ended, or None."""
        for one in self.state()["instances"].values():
            if one["client_token"].startswith(run + "-") and one["phase"] not in ("terminated", "shutting-down"):
                return one["id"]
        return None

    # Processes.

    def processes(self):
        """pid → words, of all that carry this laptop's HOME, machines and their processes left out."""
        found = {}
        mark = f"HOME={self.root}".encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                    if words and "rehearsal-instance" not in words:
                        found[int(entry.name)] = words
            except OSError:
                continue
        return found

    def ferries(self, *commands):
        """Also those that one started whose own file is gone by now: as /proc/PID/exe."""
        named = re.compile(rf"(.*/)?{re.escape(os.path.basename(lib.FERRY))}|/proc/\d+/exe")
        return [
            pid
            for pid, words in self.processes().items()
            if named.fullmatch(words[0]) and len(words) > 1 and words[1] in commands
        ]

    def followers(self):
        return self.ferries("run", "follow-run")

    def ssh_clients(self):
        return [
            pid
            for pid, words in self.processes().items()
            if os.path.basename(words[0]) == "ssh" and "ControlMaster=no" in words
        ]

    def server(self):
        return [pid for pid, words in self.processes().items() if words[1:3] == ["rehearsal", "serve"]]

    def inside(self, instance, pattern):
        """Processes of a machine whose name or command line matches."""
        children, words = {}, {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words[int(entry.name)] = (
                    (entry / "comm").read_text().strip()
                    + " "
                    + (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                )
                children.setdefault(parent, []).append(int(entry.name))
            except (OSError, ValueError, IndexError):
                continue
        todo = [
            pid
            for pid, text in words.items()
            if f"rehearsal-instance {self.data}/rehearsal/instances/{instance}" in text
        ]
        below = set()
        while todo:
            for child in children.get(todo.pop(), []):
                if child not in below:
                    below.add(child)
                    todo.append(child)
        return [pid for pid in below if re.search(pattern, words[pid]) and "rehearsal-instance" not in words[pid]]

    def files_of(self, instance):
        """The login's home on a machine, as it is seen from here; None where none of its processes is there to look
        through."""
        for pid in self.inside(instance, r"^ferry-agent|^bash|^sshd|^sh "):
            for home in pathlib.Path(f"/proc/{pid}/root/home").glob("*"):
                if (home / ".ferry").exists():
                    return home
        return None

    def signal(self, number, pids, what):
        """Tells how many processes heard it."""
        heard = 0
        for pid in pids:
            try:
                os.kill(pid, number)
                heard += 1
            except ProcessLookupError:
                pass
        self.note(f"{signal.Signals(number).name} to {what}: {heard} processes")
        return heard

    def fault(self, *words):
        typed = self.begin("rehearsal", "fault", *words)
        typed.wait(60)
        return typed.code == 0
