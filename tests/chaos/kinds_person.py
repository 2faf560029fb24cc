"""What people type at random moments, also two at once, and how they end what they typed."""
import signal
import threading
import time

from kinds import RENTED, dies_early, kind


def target(trial):
    """The run, once it is noted."""
    end = time.time() + 10
    while not trial.run() and time.time() < end:
        time.sleep(0.05)
    return trial.run()


def cancels(trial):
    dies_early(trial)
    trial.allow("cancelled", "not_started", why="it was cancelled")


@kind("ferry-cancel")
def cancel(trial, dice):
    cancels(trial)
    if run := target(trial):
        if trial.type("cancel", run).code == 0 and trial.phase() != "released":
            trial.problems.append("ferry cancel exits 0, and the run is not released")


@kind("ferry-down")
def down(trial, dice):
    cancels(trial)
    if run := target(trial):
        if trial.type("down", run).code == 0 and trial.phase() != "released":
            trial.problems.append("ferry down exits 0, and the run is not released")


@kind("ferry-down-no-fetch")
def down_no_fetch(trial, dice):
    cancels(trial)
    trial.allow("lost", why="its outputs were given up")
    trial.exempt |= {"logs", "logs_again", "secrets"}
    trial.given_up = True
    if run := target(trial):
        trial.type("down", "--no-fetch", run)


@kind("ferry-down-all", modes=RENTED)
def down_all(trial, dice):
    cancels(trial)
    trial.type("down", "--all")


@kind("ferry-fetch")
def fetch(trial, dice):
    if run := target(trial):
        trial.type("fetch", run)


@kind("ferry-fetch-broken-off", phases=("training", "fetching"))
def fetch_broken_off(trial, dice):
    if run := target(trial):
        typed = trial.begin("fetch", run)
        time.sleep(dice.uniform(0, 0.6))
        trial.signal(dice.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL)), [typed.process.pid], "ferry fetch")
        typed.wait(60)


@kind("ferry-ps-many-times")
def ps(trial, dice):
    for _ in range(6):
        trial.type("ps", *dice.choice(((), ("--all",), ("--json",))))


@kind("ferry-logs-f", phases=("launching", "connecting", "setup", "training", "fetching"))
def logs(trial, dice):
    if run := target(trial):
        trial.type("logs", "-f", run)


@kind("ferry-logs", phases=("training", "fetching", "releasing"))
def logs_once(trial, dice):
    if run := target(trial):
        for _ in range(3):
            trial.type("logs", run)


@kind("ferry-ssh", phases=("training", "fetching"))
def ssh(trial, dice):
    if run := target(trial):
        trial.type("ssh", run, "--", "true")


def together(trial, *commands):
    threads = [threading.Thread(target=trial.type, args=words) for words in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@kind("two-commands-at-once")
def two(trial, dice):
    run = target(trial)
    if not run:
        return
    choices = [("cancel", run), ("down", run), ("fetch", run), ("ps",)] + [("down", "--all")] * (
        not trial.box
    )  # the box is a run, too
    words = [dice.choice(choices) for _ in range(2)]
    if any(one[0] in ("cancel", "down") for one in words):
        cancels(trial)
    together(trial, *words)


@kind("many-down-all-at-once", modes=RENTED)
def many_down(trial, dice):
    cancels(trial)
    together(trial, *[("down", "--all")] * 3)


@kind("cancel-while-outputs-come-home", phases=("fetching",))
def cancel_in_fetch(trial, dice):
    cancels(trial)
    if run := target(trial):
        trial.type("cancel", run)


@kind("cancel-and-kill-it", phases=("training", "fetching", "releasing"))
def cancel_killed(trial, dice):
    cancels(trial)
    if run := target(trial):
        typed = trial.begin("cancel", run)
        time.sleep(dice.uniform(0, 0.5))
        trial.signal(signal.SIGKILL, [typed.process.pid], "ferry cancel")
        typed.wait(60)


@kind("down-and-kill-it", phases=("launching", "training", "fetching", "releasing"))
def down_killed(trial, dice):
    cancels(trial)
    if run := target(trial):
        typed = trial.begin("down", run)
        time.sleep(dice.uniform(0, 1.0))
        trial.signal(signal.SIGKILL, [typed.process.pid], "ferry down")
        typed.wait(60)


@kind("cancel-of-a-dead-ferry", phases=("training",))
def cancel_after_kill(trial, dice):
    cancels(trial)
    trial.signal(signal.SIGKILL, trial.followers(), "ferry")
    if run := target(trial):
        done = trial.type("cancel", run)
        if done.code != 0:
            trial.problems.append(f"ferry cancel after ferry was killed exits {done.code}")


@kind("down-of-a-dead-ferry", phases=("training",))
def down_after_kill(trial, dice):
    """The training is asked to end and to save, whoever follows it or not."""
    cancels(trial)
    trial.signal(signal.SIGKILL, trial.followers(), "ferry")
    if run := target(trial):
        done = trial.type("down", run)
        if done.code != 0:
            trial.problems.append(f"ferry down after ferry was killed exits {done.code}")
