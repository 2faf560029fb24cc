"""One trial: a small training, broken at moments that its seed chooses, then looked after by a person who does what
ferry says."""
import random
import threading
import time

import aws_test
import host_test
import training
from terminal import OnTerminal
from world import Typed, World

PHASES = (
    "checking",
    "planning",
    "launching",
    "connecting",
    "syncing",
    "setup",
    "training",
    "fetching",
    "releasing",
    "released",
)
# How long after a phase has begun something may happen, in seconds; and how often it happens there.
SPAN = {
    "planning": 0.1,
    "launching": 0.6,
    "connecting": 0.7,
    "syncing": 0.2,
    "setup": 0.3,
    "training": 2.5,
    "fetching": 0.15,
    "releasing": 0.6,
}
WEIGHT = {
    "planning": 1,
    "launching": 3,
    "connecting": 2,
    "syncing": 1,
    "setup": 1,
    "training": 7,
    "fetching": 3,
    "releasing": 3,
}
MODES = ("foreground", "foreground", "detached", "detached", "aws", "aws detached", "host", "host detached")
PATIENCE = 150  # seconds that the person waits for what goes on in the background


class Plan:
    """What a seed means. Each part has dice of its own, so that a new kind changes no other part."""

    def __init__(self, seed, kinds, only=None):
        self.seed = seed
        dice = lambda part: random.Random(f"{seed} {part}")
        if only is not None:
            self.kinds = only.split("+") if only else []
        else:
            choose = dice("kinds")
            self.kinds = choose.sample(sorted(kinds), 2 if choose.random() < 0.3 else 1)
        common = lambda names: [mode for mode in MODES if all(kinds[name].fits(mode) for name in names)]
        if not common(self.kinds):
            self.kinds = self.kinds[:1]
        self.faults = [(kinds[name], dice(f"fault {number}")) for number, name in enumerate(self.kinds)]
        self.mode = dice("mode").choice(common(self.kinds))
        self.moments = [kind.moment(dice(f"moment {number}")) for number, (kind, _) in enumerate(self.faults)]
        self.training = training.Training(dice("training"))
        self.keep = dice("keep").random() < 0.12
        self.boot_ms = dice("boot").choice((20, 50, 400))
        self.private = dice("umask").random() < 0.15  # umask 077
        self.pulls = dice("pulls").random() < 0.3  # outputs come home while it trains
        self.awkward = dice("path").random() < 0.15 and not self.mode.startswith(
            "host"
        )  # a data folder whose name is one

    def told(self):
        when = ", ".join(
            f"{name} {delay:.2f} s after {phase}" for name, (phase, delay) in zip(self.kinds, self.moments)
        )
        when += f"; {self.mode}{' --keep' if self.keep else ''}"
        when += "; pulls" * self.pulls + "; umask 077" * self.private + "; an awkward path" * self.awkward
        return f"seed {self.seed}: {when}; {self.training.told()}"

    def repeat(self):
        return f"scripts/chaos --exactly --seed {self.seed} --only {'+'.join(self.kinds)}"


class Trial(World):
    def __init__(self, plan):
        super().__init__(plan.boot_ms)
        self.plan, self.box = plan, None
        self.umask = 0o077 if plan.private else 0o022
        self.env["FERRY_PULL_EVERY"] = "1s" if plan.pulls else "off"
        if plan.awkward:
            odd = self.root / "my data's %h"
            odd.mkdir()
            (self.root / "data").symlink_to(odd)
            self.env["XDG_DATA_HOME"], self.data = str(odd), odd / "ferry"
        self.allowed = {}  # outcome → why, beside the training's own
        self.exempt = set()  # rules of the judge that the faults put out of force
        self.heals = []  # what puts right what a fault still holds broken
        self.over = threading.Event()
        self.main = None  # the Typed command that runs the training
        self.problems = []  # what a fault or the person found itself
        self.on_terminal = False
        self.cut = False  # the training meets its limit
        self.given_up = False  # the person did not want its outputs
        self.ended_outside = False  # somebody else ended its machine
        self.disk_is_full = False  # of the machine: what is printed may have to be dropped, but not in silence

    # What faults ask and say.

    def run(self):
        """The name of the run on trial, once the ledger has it."""
        found = self.query("SELECT name FROM runs WHERE task_name = 'tiny' ORDER BY created_ms LIMIT 1")
        return found[0][0] if found else None

    def phase(self):
        found = self.query("SELECT phase FROM runs WHERE task_name = 'tiny' ORDER BY created_ms LIMIT 1")
        return found[0][0] if found else "checking"

    def before(self, phase):
        return PHASES.index(self.phase()) < PHASES.index(phase)

    def instance(self):
        run = self.run()
        return self.box_instance if self.box else run and self.machine(run)

    def allow(self, *outcomes, why):
        for outcome in outcomes:
            self.allowed[outcome] = why

    def lasts(self, seconds, heal):
        """Something stays broken for a while, or until the trial's first part is over; then heal() is called, once."""
        self.heals.append(heal)
        self.over.wait(seconds)
        self.heal(heal)

    def heal(self, heal):
        if heal in self.heals:
            self.heals.remove(heal)
            heal()

    # The trial itself.

    def play(self):
        """Everything up to the judge."""
        self.prepare()
        words, script = ["run", "--name", "tiny"], self.plan.training.script()
        words += ["--infra", {"aws": "aws", "host": "ssh/box"}.get(self.plan.mode.split()[0], "rehearsal")]
        words += ["--detach"] if "detached" in self.plan.mode else []
        words += ["--keep"] if self.plan.keep else []
        for kind, _ in self.plan.faults:
            words += kind.flags
        how = OnTerminal if self.on_terminal else Typed
        self.main = self.begin(*words, *self.plan.training.flags(), "--", "bash", "-c", script, how=how)
        threads = [
            threading.Thread(target=self.one_fault, args=(*fault, *moment), daemon=True)
            for fault, moment in zip(self.plan.faults, self.plan.moments)
        ]
        for thread in threads:
            thread.start()
        self.main.wait()
        for thread in threads:
            thread.join(120)
        self.over.set()
        for heal in list(self.heals):
            self.heal(heal)
        if any(thread.is_alive() for thread in threads):
            self.problems.append("the harness: a fault did not come to its end")
        self.look_after()

    def prepare(self):
        self.file("train.txt", "what is trained with\n")
        if self.plan.mode.startswith("aws"):
            aws_test.aws_env(self)
        if self.plan.mode.startswith("host"):
            self.box = host_test.own_machine(self)
            self.box_instance = self.machine(self.box)
        for kind, _ in self.plan.faults:
            kind.prepare(self)

    def one_fault(self, kind, dice, phase, delay):
        try:
            self.wait_for_phase(phase)
            time.sleep(delay)
            self.note(f"{kind.name} begins ({self.phase()})")
            kind.act(self, dice)
        except Exception as bug:  # told by the judge as the harness's own
            self.problems.append(f"the harness: {kind.name}: {type(bug).__name__}: {bug}")

    def wait_for_phase(self, phase):
        end = time.time() + 60
        while self.before(phase) and time.time() < end:
            if self.main.process.poll() is not None and not self.followers():
                return
            time.sleep(0.01)

    def look_after(self):
        """What a person does who reads: waits while somebody follows, else ferry fetch and ferry down as advised."""
        end, tries = time.time() + PATIENCE, {"start": 0, "fetch": 0, "down": 0}
        nap, alone = 0.2, 0
        while True:
            looked = self.type("ps")
            if looked.code != 0:
                self.problems.append(f"ferry ps exits {looked.code}")
            name, phase = self.run(), self.phase()
            if not name or phase == "released":
                break
            if "is stopped: nothing trains" in looked.err and not tries["start"]:
                tries["start"] += 1
                if self.type("fetch", "--yes", name).code != 0:
                    self.problems.append("ferry fetch --yes does not bring home what is on a machine that was stopped")
                continue
            kept = self.query("SELECT keep, outputs_home FROM runs WHERE name = ?", name)[0]
            followed = self.ferries("follow-run", "run")
            alone = 0 if followed else alone + 1
            if (followed or alone < 3 and not kept[0]) and time.time() < end:  # ps finds a follower for what has none
                time.sleep(nap)
                nap = min(nap * 1.5, 5)
                continue
            if time.time() >= end:
                self.problems.append(f"{name} still goes on in the background {PATIENCE} s after all was well again")
                self.type("cancel", name)
            if not (kept[0] and kept[1]) and tries["fetch"] < 2:
                tries["fetch"] += 1
                if self.type("fetch", name).code != 0 and self.could_be_fetched(name):
                    self.problems.append("ferry fetch fails, and the machine is there")
            tries["down"] += 1
            if self.type("down", name).code != 0:
                self.problems.append("ferry down fails, though all is well again")
            if tries["down"] >= 3:
                break
        while self.query("SELECT 1 FROM runs WHERE task_name = 'other' AND phase <> 'released'") and time.time() < end:
            time.sleep(0.5)
            self.type("ps")
        self.clear_host()
        if self.run() and not self.query("SELECT 1 FROM runs WHERE name = ? AND phase = 'released'", self.run()):
            self.problems.append(f"the run is {self.phase()} after all that its messages advise")

    def clear_host(self):
        """What ferry said to have left on a machine of one's own goes with another down."""
        said = "".join(one.err for one in self.commands) + "".join(
            path.read_text(errors="replace") for path in self.data.glob("runs/*/follower.txt")
        )
        if self.run() and f"what {self.run()} left on" in said:
            self.type("down", self.run())

    def could_be_fetched(self, run):
        """The run's machine answers, and there is something on it."""
        began = self.query("SELECT 1 FROM runs WHERE name = ? AND train_start_ms > 0 AND phase <> 'released'", run)
        if self.box:
            return bool(began)
        machine = self.state()["instances"].get(self.machine(run) or "")
        return bool(began and machine and machine["phase"] == "running")
