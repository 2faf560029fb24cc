"""A person's computer with ferry on it: its own data folder, and an ssh that reaches the bench's machine."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

from world import Failed

# As tests/program/lib.py: with these ferry speaks to a coding agent, which may run the bench.
AGENTS = ("AI_AGENT", "CLAUDECODE", "CODEX_SANDBOX", "CURSOR_AGENT", "GEMINI_CLI")


class Laptop:
    def __init__(self, machine, ferry):
        self.machine, self.ferry = machine, ferry
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="laptop.", dir=machine.root))
        self.work = self.root / "work"
        self.work.mkdir()
        self.env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AWS_", "FERRY_", "XDG_")) and not key.lower().endswith("_proxy")
        }
        for name in AGENTS:
            self.env.pop(name, None)
        self.env.update(
            HOME=str(self.root),
            XDG_DATA_HOME=str(self.root / "data"),
            XDG_CACHE_HOME=str(self.root / "cache"),
            AWS_EC2_METADATA_DISABLED="true",
            FERRY_NO_INTERNET="1",
            FERRY_HOLD_CONNECTION="off",
            PATH=machine.path,
        )

    def hold(self):
        """From the next run on a connection is held; returns when it is."""
        self.env["FERRY_HOLD_CONNECTION"] = "10m"
        self.run("true")
        folder, end = self.root / "data/ferry/held", time.monotonic() + 30
        while not (folder.exists() and any(one.is_socket() for one in folder.iterdir())):
            if time.monotonic() > end:
                raise Failed("no connection is held within 30 s")
            time.sleep(0.05)
        time.sleep(1)  # another ferry that was to hold it has seen that one does

    def command(self, *words):
        return [self.ferry, "run", "--infra", f"ssh/{self.machine.host}", *words]

    def run(self, *command, flags=(), work=None, limit=600):
        """One run, told in events; each has the moment it came at, in "at_ms" of CLOCK_MONOTONIC. Returns them, when
        ferry was started, and when it had ended."""
        work = work or self.work
        began = time.monotonic() * 1000
        process = subprocess.Popen(
            self.command("--json", *flags, "--", *command),
            cwd=work,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        complaint = []
        reading = threading.Thread(target=lambda: complaint.append(process.stderr.read()))
        reading.start()
        watch = threading.Timer(limit, process.kill)
        watch.start()
        try:
            events = [{**json.loads(line), "at_ms": time.monotonic() * 1000} for line in process.stdout]
            code = process.wait()
            ended = time.monotonic() * 1000
        finally:
            watch.cancel()
        reading.join()
        shutil.rmtree(pathlib.Path(work) / "runs", ignore_errors=True)
        if code:
            told = [event for event in events if event["event"] in ("error", "phase_failed", "warning")]
            words = (complaint or [b""])[0].decode(errors="replace").strip()
            raise Failed(f"ferry run exited {code}: {words or told[-1:]}")
        return events, began, ended
