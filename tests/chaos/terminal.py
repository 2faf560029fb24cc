"""A command typed on a terminal of its own, which can be closed."""
import os
import pty
import re
import select
import subprocess
import tempfile
import pathlib
import threading
import time

from world import COMMAND_LIMIT, Typed

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


class OnTerminal(Typed):
    """Like Typed; both streams are one text, `err`."""

    def __init__(self, home, words):
        self.words, self.home, self.hung, self.ended_at = words, home, False, 0
        self.began = time.time()
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=home.said))
        (self.folder / "out").touch()
        (self.folder / "err").touch()
        self._master, slave = pty.openpty()
        # setsid -c makes the terminal the one that controls it: Ctrl-C and hang-up arrive as in life.
        self.process = subprocess.Popen(
            ["setsid", "-c", "-w", home.program, *words],
            cwd=home.work,
            env={**home.env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            umask=home.umask,
        )
        os.close(slave)
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self.folder / "err", "ab", buffering=0) as text:
            while self._master is not None:
                with self._lock:
                    if self._master is None:
                        return
                    try:
                        if not select.select([self._master], [], [], 0.05)[0]:
                            continue
                        text.write(os.read(self._master, 65536))
                    except OSError:  # everybody has closed the other end
                        os.close(self._master)
                        self._master = None
                        return
                time.sleep(0.001)

    @property
    def err(self):
        return ESCAPES.sub("", (self.folder / "err").read_text(errors="replace"))

    def key(self, text):
        with self._lock:
            if self._master is not None:
                os.write(self._master, text.encode())
        self.home.note(f"typed on the terminal: {text!r}")

    def close(self):
        """The window is closed."""
        with self._lock:
            if self._master is not None:
                os.close(self._master)
            self._master = None
        self.home.note("the terminal is closed")

    def wait_for(self, words, limit=20):
        end = time.time() + limit
        while words not in self.err and time.time() < end and self.process.poll() is None:
            time.sleep(0.02)
        return words in self.err

    def wait(self, limit=COMMAND_LIMIT):
        super().wait(limit)
        self._reader.join(5)
        return self.code
