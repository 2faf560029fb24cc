"""What else happens on the laptop: another run, an update of ferry, a lost ledger, a limit that ends the training."""
import os
import shutil
import signal
import time

import lib
from kinds import hangs_up, kind


@kind("another-run-beside")
def beside(trial, dice):
    """It must come to its own end, whatever happens to the one on trial."""
    where = "ssh/box" if trial.box else "rehearsal"
    other = trial.type(
        "run", "--name", "other", "--infra", where, "--", "sh", "-c", "mkdir outputs; echo other > outputs/o; echo said"
    )
    if len(trial.plan.faults) == 1 and (other.code != 0 or other.out != "said\n"):
        trial.problems.append(f"another run beside it exits {other.code}")


@kind("another-run-is-killed-beside")
def killed_beside(trial, dice):
    other = trial.begin(
        "run",
        "--name",
        "other",
        "--infra",
        "rehearsal",
        "--",
        "sh",
        "-c",
        "mkdir outputs; sleep 1; echo other > outputs/o",
    )
    time.sleep(dice.uniform(0, 3))
    trial.signal(signal.SIGKILL, [other.process.pid], "the other ferry")
    other.wait(60)
    trial.type("ps")


@kind("training-cut-at-its-limit", phases=("planning",), flags=("--max-duration", "1s"))
def limit(trial, dice):
    trial.allow("failed", why="it was cut at its limit")
    trial.cut = True


@kind(
    "ledger-lost",
    phases=("launching", "connecting", "training", "fetching", "releasing"),
    modes=("aws", "aws detached"),
)
def ledger_lost(trial, dice):
    """Ferry dies and its ledger is gone: down --all finds what it rented by its tags."""
    trial.signal(signal.SIGKILL, trial.followers() + trial.ssh_clients(), "ferry and its ssh")
    trial.main.wait(60)
    trial.name_was = trial.run()
    for path in trial.data.glob("ledger.db*"):
        path.unlink()
    trial.note("the ledger is removed")
    trial.exempt |= {"books", "logs", "logs_again", "exit_code", "times", "advice"}
    end = time.time() + 30  # what else is broken heals meanwhile, and it is typed again
    while (code := trial.type("down", "--all").code) != 0 and time.time() < end:
        time.sleep(1)
    if code != 0:
        trial.problems.append("down --all after the ledger was lost fails")


def own_copy(trial):
    """The trial runs a copy of the program, which an update can replace."""
    trial.program = str(trial.root / "ferry")  # of the same name: the harness knows it by that
    shutil.copy(lib.FERRY, trial.program)


@kind("ferry-is-updated-meanwhile", phases=("launching", "setup", "training"), prepare=own_copy)
def updated(trial, dice):
    """The file is another one now, with the same bytes; whoever runs has the old one open."""
    os.rename(trial.program, trial.program + ".old")
    os.unlink(trial.program + ".old")
    time.sleep(dice.choice((0, 0, 1)))
    shutil.copy(lib.FERRY, trial.program + ".new")
    os.rename(trial.program + ".new", trial.program)
    trial.note("ferry is another file now")
    hangs_up(trial)
    trial.signal(dice.choice((signal.SIGHUP, signal.SIGKILL)), trial.followers(), "ferry")
