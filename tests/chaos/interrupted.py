"""Trials of `scripts/chaos --spot`: a training on spot machines that are taken away, while ferries, the cloud's server
and connections are killed and there is no room for a while. Each of its steps depends on all before it, so that one
that is lost, repeated or begun anew shows in the model."""
import hashlib
import json
import random
import signal
import subprocess
import threading
import time
import traceback

import lib

STEPS = 25
TRAINING = (
    """
import hashlib, json, os, pathlib, time
out = pathlib.Path("outputs")
out.mkdir(exist_ok=True)
saved = out / "state.json"
state = json.loads(saved.read_text()) if saved.exists() else {"step": 0, "weights": "none"}
print(f"attempt {os.environ['FERRY_ATTEMPT']} at {state['step']}", flush=True)
while state["step"] < %d:
    state = {"step": state["step"] + 1, "weights": hashlib.sha256(f"{state}".encode()).hexdigest()}
    part = out / ".state.part"
    part.write_text(json.dumps(state))
    part.rename(saved)
    print(f"step {state['step']}", flush=True)
    time.sleep(0.3)
(out / "model").write_text(state["weights"])
"""
    % STEPS
)


def wanted():
    state = {"step": 0, "weights": "none"}
    while state["step"] < STEPS:
        state = {"step": state["step"] + 1, "weights": hashlib.sha256(f"{state}".encode()).hexdigest()}
    return state["weights"]


class Watch(threading.Thread):
    """Looks all the time how many machines there are."""

    def __init__(self, home):
        super().__init__(daemon=True)
        self.state, self.most, self.over = home.root / "data/ferry/rehearsal/state.json", 0, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            try:
                machines = json.loads(self.state.read_text())["instances"].values()
            except (OSError, ValueError):
                continue
            self.most = max(self.most, sum(one["phase"] in ("pending", "running") for one in machines))


class Trial:
    def __init__(self, seed):
        self.seed, self.dice, self.problems, self.told = seed, random.Random(seed), [], []
        self.outcome, self.seconds, self.furthest_ms = "never noted", 0, 0
        self.plan = self

    def repeat(self):
        return f"scripts/chaos --spot --exactly --seed {self.seed}"

    def line(self):
        return (
            f"{'FAIL' if self.problems else 'ok  '} {self.seconds:5.1f} s  {self.outcome:14} {self.seed}  "
            f"{' '.join(word for _, word in self.told)}"
        )

    def whole(self):
        return "\n".join(
            [
                f"--- {self.repeat()}",
                *(f"{at:6.2f} {word}" for at, word in self.told),
                self.transcript,
                *(f"  ! {one}" for one in self.problems),
            ]
        )

    def note(self, word):
        self.told.append((time.monotonic() - self.began, word))

    def ferries(self, home):
        """The ferry that runs the training, or follows it."""
        found = subprocess.run(
            ["pgrep", "-f", f"{lib.FERRY} (run|follow-run) "], capture_output=True, text=True
        ).stdout.split()
        mine = []
        for pid in found:
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if f"HOME={home.root}".encode() in file.read().split(b"\0"):
                        mine.append(pid)
            except OSError:
                pass
        return mine

    def disturb(self, home):
        what = self.dice.choices(
            ["interrupt", "die", "kill", "server", "full", "throttle", "ssh"], [6, 2, 4, 1, 2, 1, 1]
        )[0]
        self.note(what)
        if what == "interrupt":
            home.ferry("interrupt", env=self.env)
        if what == "die":
            for machine in self.alive(home)[:1]:
                home.ferry("rehearsal", "fault", "die", f"instance={machine}")
        if what == "kill":
            for pid in self.ferries(home):
                subprocess.run(["kill", "-9", pid])
            time.sleep(self.dice.uniform(0, 2))
            home.ferry("ps", env=self.env)
        if what == "server":
            subprocess.run(["pkill", "-9", "-f", f"rehearsal serve .*{home.root}"])
            time.sleep(self.dice.uniform(0, 2))
            home.ferry("rehearsal", "start")
        if what == "full":
            home.ferry("rehearsal", "fault", "capacity")
            time.sleep(self.dice.uniform(1, 5))
            home.ferry("rehearsal", "fault", "clear")
        if what == "throttle":
            home.ferry("rehearsal", "fault", "throttle", "count=3")
        if what == "ssh":
            subprocess.run(["pkill", "-9", "-f", f"[s]sh -o .*{home.root}"])

    def alive(self, home):
        try:
            return home.alive()
        except AssertionError:
            return []

    def play(self, home):
        home.file("train.py", TRAINING)
        store = self.dice.random() < 0.5
        self.note("store" if store else "home")
        home.file(
            "task.yaml",
            "name: tiny\nresources: {infra: rehearsal, instance_type: r5.large, use_spot: true}\n"
            + ("store: s3://a-bucket/team\n" if store else "")
            + "max_duration: 30m\nrun: python3 train.py\n",
        )
        self.env = {
            "FERRY_STORE_EVERY": "1s",
            "FERRY_PULL_EVERY": "1s",
            "FERRY_WAIT_EVERY": "1s",
            "FERRY_LOST_LIMIT": "10s",
        }
        home.good("rehearsal", "start")
        home.good("rehearsal", "fault", "settings", f"spot_notice_ms={self.dice.choice((1000, 2000, 5000))}")
        watch = Watch(home)
        watch.start()
        detach = ["--detach"] if self.dice.random() < 0.5 else []
        training = home.start("run", "task.yaml", *detach, env=self.env, start_new_session=True)
        home.wait_for(
            "it trains",
            lambda: (runs := json.loads(home.ferry("ps", "--all", "--json").out)["runs"])
            and runs[0]["phase"] in ("training", "released"),
        )
        for _ in range(self.dice.randint(1, 6)):
            time.sleep(self.dice.uniform(0.2, 5))
            self.disturb(home)
        home.ferry("rehearsal", "start")
        home.ferry("rehearsal", "fault", "clear")
        self.note("calm")

        def is_over():
            said = home.ferry("ps", "--all", "--json", env=self.env)
            time.sleep(0.5)
            return said.returncode == 0 and json.loads(said.out)["runs"][0]["phase"] == "released"

        home.wait_for("it is over", is_over, limit=300)
        training.send_signal(signal.SIGKILL)
        training.communicate()
        watch.over.set()
        watch.join()
        self.judge(home, watch)

    def judge(self, home, watch):
        run = home.newest()
        self.outcome = run["outcome"]
        where = home.home_of(run)
        model = where / "outputs/model"
        log = (where / "train.log").read_text() if (where / "train.log").exists() else ""
        begun = [int(line.rsplit(" ", 1)[1]) for line in log.splitlines() if line.startswith("attempt ")]
        self.note(f"attempts at {begun}")
        if run["outcome"] != "succeeded":
            self.problems.append(f"it is called {run['outcome']}: {run.get('error')}")
        elif not model.exists() or model.read_text() != wanted():
            self.problems.append("its model is another one")
        if run["outcome"] == "succeeded" and log.splitlines()[-1] != f"step {STEPS}":
            self.problems.append(f"its log does not end with its last step: {log[-200:]}")
        if begun != sorted(begun):
            self.problems.append(f"an attempt began before what an earlier one began with: {begun}")
        if watch.most > 1:
            self.problems.append(f"{watch.most} machines at once")
        try:
            home.nothing_left()
        except AssertionError as left:
            self.problems.append(str(left)[:300])
        for path in home.root.glob("data/ferry/runs/*/sent"):
            self.problems.append(f"left: {path}")


def living(home):
    """The processes that have to do with it, and in what each of them waits."""
    every = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,stat,etimes,wchan:24,args"], capture_output=True, text=True)
    return "".join(f"{line}\n" for line in every.stdout.splitlines() if str(home.root) in line)


def trial(seed, _only=None):
    one = Trial(seed)
    one.began = time.monotonic()
    one.transcript = ""
    try:
        with lib.Home() as home:
            try:
                one.play(home)
            except Exception:
                one.problems.append(traceback.format_exc())
            if one.problems:
                one.transcript = living(home) + "\n".join(
                    f"--- {path.name}\n{path.read_text(errors='replace')[-5000:]}"
                    for path in (
                        *home.root.glob("data/ferry/runs/*/follower.txt"),
                        home.root / "data/ferry/rehearsal/server.log",
                    )
                    if path.exists()
                )
    except Exception:
        one.problems.append("cleaning up: " + traceback.format_exc())
    one.seconds = time.monotonic() - one.began
    return one
