"""What the tests of the whole program share: a ferry with folders of its own, and a count of what is rented."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

# Whoever starts tests in the background of a shell without job control, or by nohup, has them ignored; ferry would
# inherit that.
for one in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(one) == signal.SIG_IGN:
        signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)

FERRY = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/ferry").resolve())
# With these ferry speaks to a coding agent, which may run the tests.
CODING_AGENTS = ("AI_AGENT", "CLAUDECODE", "CODEX_SANDBOX", "CURSOR_AGENT", "GEMINI_CLI")
# For pkill -f on a machine: its own agents. (In the plain sandbox the processes of every other test are to be seen.)
ITS_AGENTS = "$HOME/[.]ferry/bin/ferry-agent-"


class Home:
    """A laptop: its own data folder (ledger, rehearsal cloud), its own working folder."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ft."))
        self.work = self.root / "work"
        self.work.mkdir()
        self.started = []
        self.env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("AWS_", "FERRY_", "XDG_", "PIP_", "UV_"))
            and not k.lower().endswith("_proxy")
            and k not in CODING_AGENTS
            or k == "FERRY_SANDBOX"
        }
        self.env.update(
            XDG_DATA_HOME=str(self.root / "data"),
            XDG_CACHE_HOME=str(self.root / "cache"),
            HOME=str(self.root),
            AWS_EC2_METADATA_DISABLED="true",
            FERRY_REHEARSAL_BOOT_MS="50",
            FERRY_NO_INTERNET="1",  # no test talks to anybody outside
            FERRY_HOLD_CONNECTION="off",
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for log in (
                self.root / "data/ferry/rehearsal/server.log",
                *self.root.glob("data/ferry/runs/*/follower.txt"),
            ):
                if log.exists():
                    print(
                        (f"--- {log.name} of {log.parent.name}\n") + log.read_text(errors="replace")[-2000:],
                        file=sys.stderr,
                    )
            for process in self.started:
                print(f"--- {' '.join(map(str, process.args[1:]))[:200]}: " + said_by(process), file=sys.stderr)
        self.ferry("down", "--all", "--no-fetch", timeout=120)
        self.ferry("rehearsal", "stop", timeout=120)
        subprocess.run(["chmod", "-R", "u+rwX", str(self.root)], capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def file(self, name, text, mode=0o644):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self, *args, **more):
        self.started.append(
            subprocess.Popen(
                [FERRY, *args],
                cwd=self.work,
                env={**self.env, **more.pop(("env"), {})},
                stdin=subprocess.DEVNULL,
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
            )
        )
        return self.started[-1]

    def ferry(self, *args, timeout=300, env=None):
        done = subprocess.run(
            [FERRY, *args],
            cwd=self.work,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
        )
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return done

    def good(self, *args, **more):
        done = self.ferry(*args, **more)
        assert done.returncode == 0, f"ferry {' '.join(args)} exited {done.returncode}\n{done.out}\n{done.err}"
        return done

    def cloud(self):
        """The rehearsal cloud's own account of itself."""
        return json.loads(self.good("rehearsal", "status", "--json").out)

    def sandbox(self):
        """What its machines are made of here: root, user or plain."""
        return self.cloud()["sandbox"]

    def alive(self):
        return [one["id"] for one in self.cloud()["instances"] if one["state"] not in ("terminated", "shutting-down")]

    def runs(self, *flags):
        return json.loads(self.good("ps", "--json", *flags).out)["runs"]

    def newest(self):
        return self.runs("--all")[0]

    def log_is_here(self, text, run=None):
        """Whether the copy of its log on this laptop has it; `ferry logs` shows what only the machine has, too."""
        kept = (self.root / "data/ferry/runs" / (run or self.newest()["run"])).glob("log*")
        return any(text.encode() in one.read_bytes() for one in kept)

    def home_of(self, run):
        return self.work / "runs" / run["run"]

    def nothing_left(self):
        assert self.alive() == [], self.cloud()
        folder = self.root / "data/ferry/rehearsal/instances"
        left = list(folder.iterdir()) if folder.exists() else []
        assert not left, f"folders of instances are left: {left}"
        found = subprocess.run(["pgrep", "-af", f"rehearsal-instance {folder}"], capture_output=True, text=True).stdout
        assert not found, f"processes of instances are left: {found}"

    def wait_for(self, what, condition, limit=240):
        end = time.time() + limit
        while time.time() < end:
            got = condition()
            if got:
                return got
            time.sleep(0.1)
        raise AssertionError(f"not within {limit} s: {what}")


def said_by(process):
    """Of a process that a failed test had started: whether it runs on, and what of its words nobody has read."""
    words = "runs on" if process.poll() is None else f"exited {process.returncode}"
    for stream in (process.stdout, process.stderr):
        if stream and not stream.closed:
            os.set_blocking(stream.fileno(), False)
            words += "\n" + (stream.read() or b"").decode(errors="replace")[-2000:]
    return words


def main(tests):
    """Runs every function of the module whose name begins with test_, or those named on the command line."""
    chosen = sys.argv[2:]
    failed = []
    for name, test in sorted(tests.items()):
        if not name.startswith("test_") or (chosen and name not in chosen):
            continue
        began = time.time()
        try:
            test()
            print(f"ok    {name} ({time.time() - began:.1f} s)", flush=True)
        except Exception:
            failed.append(name)
            print(f"FAIL  {name}", flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)
