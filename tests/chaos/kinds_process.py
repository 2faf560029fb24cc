"""Ferry itself, its followers and its ssh are killed, stopped, or asked to end."""
import os
import signal
import time

from kinds import dies_early, hangs_up, kind

NUMBERS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT, "hup": signal.SIGHUP}


def to_ferry(trial, number, twice_after=None):
    (hangs_up if number == signal.SIGHUP else dies_early)(trial)
    if number in (signal.SIGTERM, signal.SIGINT):
        trial.allow("cancelled", why="it was asked to end")
        trial.allow("not_started", why="it was asked to end before anything was rented")
    trial.signal(number, trial.followers(), "ferry")
    if twice_after is not None:
        time.sleep(twice_after)
        trial.signal(number, trial.followers(), "ferry, again")


def registered(word):
    @kind(f"{word}-ferry")
    def once(trial, dice):
        to_ferry(trial, NUMBERS[word])

    @kind(f"{word}-ferry-twice")
    def twice(trial, dice):
        to_ferry(trial, NUMBERS[word], dice.choice((0.0, 0.05, 0.3, 1.5)))


for each in NUMBERS:
    registered(each)


@kind("ctrl-c-of-the-whole-group", modes=("foreground", "aws", "host"))
def ctrl_c(trial, dice):
    """A terminal signals everything in the foreground, ssh as well."""
    dies_early(trial)
    trial.allow("cancelled", "not_started", why="Ctrl-C")
    try:
        os.killpg(trial.main.process.pid, signal.SIGINT)
        trial.note("SIGINT to the group of ferry run")
    except ProcessLookupError:
        pass


@kind("kill-follower-again-and-again")
def kill_repeatedly(trial, dice):
    dies_early(trial)
    for _ in range(3):
        trial.signal(signal.SIGKILL, trial.followers(), "whoever follows")
        trial.type("ps")
        time.sleep(dice.uniform(0, 1))


@kind("kill-ssh-master")
def kill_master(trial, dice):
    if trial.before("setup"):
        trial.allow("lost", "not_started", why="the connection broke before anything ran")
    trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")


@kind("kill-ssh-masters-for-a-while")
def kill_masters(trial, dice):
    if trial.before("setup"):
        trial.allow("lost", "not_started", why="the connection broke before anything ran")
    for _ in range(dice.randint(2, 5)):
        trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")
        time.sleep(dice.uniform(0.1, 0.8))


@kind("term-ssh-master")
def term_master(trial, dice):
    if trial.before("setup"):
        trial.allow("lost", "not_started", why="the connection broke before anything ran")
    trial.signal(signal.SIGTERM, trial.ssh_clients(), "ssh")


@kind("laptop-asleep")
def asleep(trial, dice):
    """Everything of the laptop stands still; the cloud goes on."""
    pids = [pid for pid in trial.processes() if pid not in trial.server()]
    trial.signal(signal.SIGSTOP, pids, "the laptop")
    trial.lasts(dice.choice((1, 3, 8)), lambda: trial.signal(signal.SIGCONT, pids, "the laptop"))


@kind("ssh-stands-still")
def ssh_stands_still(trial, dice):
    if trial.before("setup"):
        trial.allow("lost", "not_started", why="the connection broke before anything ran")
    pids = trial.ssh_clients()
    trial.signal(signal.SIGSTOP, pids, "ssh")
    trial.lasts(dice.choice((2, 6)), lambda: trial.signal(signal.SIGCONT, pids, "ssh"))


@kind("kill-everything-of-the-laptop")
def power_cut(trial, dice):
    """A laptop whose battery is empty: ferry, ssh and the rehearsal cloud's server are gone at once; machines go on."""
    dies_early(trial)
    trial.signal(signal.SIGKILL, list(trial.processes()), "everything on the laptop")
    trial.type("rehearsal", "start")
