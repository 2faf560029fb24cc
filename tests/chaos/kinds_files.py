"""Files of the laptop: a run's folder damaged, disks full or not writable, the ledger busy."""
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from kinds import RENTED, dies_early, kind

LATER = ("setup", "training", "fetching", "releasing")


def folder(trial):
    return trial.data / "runs" / (trial.run() or "none")


def damage(name, phases=LATER, kill=True):
    """A kind that damages something of the run's folder, and kills whoever follows (or not): the next one finds it
    so."""

    def register(act):
        def whole(trial, dice):
            dies_early(trial)
            if not trial.before("fetching"):
                trial.exempt.add("logs_again")  # the machine that has the whole of it may be gone
            if kill and dice.random() < 0.7:
                trial.signal(signal.SIGKILL, trial.followers() + trial.ssh_clients(), "ferry and its ssh")
            try:
                act(folder(trial), dice)
            except FileNotFoundError:
                pass

        kind(name, phases=phases)(whole)
        return act

    return register


@damage("log-cut-short")
def cut(run, dice):
    with open(run / "log", "r+b") as log:
        size = log.seek(0, os.SEEK_END)
        log.truncate(max(0, size - dice.randint(1, max(1, size))))


@damage("log-ends-in-nul-bytes")
def nuls(run, dice):
    with open(run / "log", "ab") as log:
        log.write(b"\0" * dice.choice((1, 7, 64, 4096)))


@damage("log-ends-in-rubbish")
def rubbish(run, dice):
    with open(run / "log", "ab") as log:
        log.write(dice.randbytes(dice.choice((3, 40, 3000))))


@damage("log-gone")
def log_gone(run, dice):
    (run / "log").unlink()


@damage("known-hosts-gone")
def known_hosts(run, dice):
    (run / "known_hosts").unlink()


@damage("known-hosts-empty")
def known_hosts_empty(run, dice):
    (run / "known_hosts").write_text("")


@damage("key-gone")
def key(run, dice):
    (run / "id_ed25519").unlink()


@damage("owner-file-gone")
def owner(run, dice):
    (run / "owner").unlink()


@damage("owner-file-empty")
def owner_empty(run, dice):
    (run / "owner").write_text("")


@damage("outputs-state-damaged")
def state(run, dice):
    (run / "outputs.state").write_bytes(dice.randbytes(200))


@damage("outputs-state-gone")
def state_gone(run, dice):
    (run / "outputs.state").unlink()


@damage("run-folder-gone")
def gone(run, dice):
    while run.exists():  # somebody may be writing there
        shutil.rmtree(run, ignore_errors=True)


@kind("socket-folder-gone", phases=LATER)
def tmpdir(trial, dice):
    """The system cleans /tmp."""
    dies_early(trial)
    shutil.rmtree(trial.tmp, ignore_errors=True)
    trial.note("TMPDIR is removed")
    if dice.random() < 0.5:
        trial.signal(signal.SIGKILL, trial.ssh_clients(), "ssh")
    trial.lasts(dice.choice((0, 4)), lambda: trial.tmp.mkdir(exist_ok=True))


@kind("ledger-locked-by-another-program")
def locked(trial, dice):
    dies_early(trial)
    trial.allow("not_started", why="the ledger could not be written")
    try:
        other = sqlite3.connect(trial.data / "ledger.db", timeout=1, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.Error:
        return
    trial.note("the ledger is locked")
    trial.lasts(dice.choice((0.5, 2, 7)), other.close)


def own_disk_for_results(trial):
    trial.mount(trial.work / "runs", "size=64m")


def remount(trial, option):
    done = subprocess.run(["mount", "-o", f"remount,{option}", str(trial.work / "runs")], capture_output=True)
    trial.note(f"the results' disk: {option}" + (" (in vain)" if done.returncode else ""))
    return done.returncode == 0


@kind("results-on-a-full-disk", phases=("planning", "training", "fetching"), prepare=own_disk_for_results)
def full(trial, dice):
    """There is room for a few pages more, for a while."""
    dies_early(trial)
    disk = os.statvfs(trial.work / "runs")
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024
    if remount(trial, f"size={used + dice.choice((4, 16, 64))}k"):
        trial.lasts(dice.choice((3, 8)), lambda: remount(trial, "size=64m"))


@kind("results-cannot-be-written", phases=("planning", "training", "fetching"), prepare=own_disk_for_results)
def read_only(trial, dice):
    """The disk is read-only for a while: at once where no file is open for writing, else a moment later."""
    dies_early(trial)
    end = time.time() + 3
    while not remount(trial, "ro") and time.time() < end:
        time.sleep(0.05)
    trial.lasts(dice.choice((3, 8)), lambda: remount(trial, "rw"))


def fills(trial, dice, folder, what):
    """No room there, for a while, from some moment on."""
    trial.wait_for_phase(dice.choice(("launching", "connecting", "training", "fetching")))
    time.sleep(dice.uniform(0, 1))
    dies_early(trial)
    balloon = folder / "balloon"
    with open(balloon, "wb", buffering=0) as big:
        try:
            while True:
                big.write(b"\0" * 4096)
        except OSError:
            pass
    trial.note(f"{what} is full")
    trial.lasts(dice.choice((2, 5)), lambda: balloon.unlink(missing_ok=True))


@kind("run-folder-on-a-full-disk", phases=("planning",), modes=RENTED)
def full_runs(trial, dice):
    """No room for keys, log and notes."""
    dies_early(trial)
    trial.allow("not_started", why="there was no room")
    if trial.mount(trial.data / "runs", "size=96k"):
        fills(trial, dice, trial.data / "runs", "the disk of the run's folder")


def small_home(trial):
    """The ledger and the runs' folders on a small disk, the rehearsal cloud elsewhere."""
    cloud = trial.root / "cloud"
    cloud.mkdir()
    if trial.mount(trial.data, "size=3m"):
        (trial.data / "rehearsal").mkdir()
        if subprocess.run(["mount", "--bind", str(cloud), str(trial.data / "rehearsal")]).returncode == 0:
            trial.mounts.append(trial.data / "rehearsal")


@kind("home-on-a-full-disk", phases=("planning",), modes=("foreground", "detached"), prepare=small_home)
def full_home(trial, dice):
    """Neither the ledger nor the log can be written."""
    dies_early(trial)
    trial.allow("not_started", why="there was no room")
    fills(trial, dice, trial.data, "the disk of the ledger and the runs")


@kind("another-holds-the-fetch-lock", phases=("training", "fetching"))
def fetch_lock(trial, dice):
    """A ferry fetch of another terminal that does not end for a while."""
    try:
        lock = open(folder(trial) / "fetch", "a")
    except OSError:
        return
    fcntl.flock(lock, fcntl.LOCK_EX)
    trial.lasts(dice.choice((1, 4)), lock.close)
