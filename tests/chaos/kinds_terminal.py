"""A foreground run on a terminal: Ctrl-C and its question, the window closed."""
import signal
import time

from kinds import dies_early, hangs_up, kind

FOREGROUND = ("foreground", "aws", "host")
QUESTION = "[g]o on?"


def on_terminal(trial):
    trial.on_terminal = True


def terminal_kind(name, phases=("launching", "connecting", "setup", "training", "fetching", "releasing")):
    return kind(name, phases=phases, modes=FOREGROUND, prepare=on_terminal)


def cancels(trial):
    dies_early(trial)
    trial.allow("cancelled", "not_started", why="it was cancelled at the terminal")


def question(trial):
    """Ctrl-C; true once ferry asks what it is to mean."""
    trial.main.key("\x03")
    return trial.main.wait_for(QUESTION, 5)


@terminal_kind("terminal-closed")
def closed(trial, dice):
    hangs_up(trial)
    trial.main.close()


@terminal_kind("terminal-closed-at-the-question", phases=("training", "fetching"))
def closed_at_question(trial, dice):
    dies_early(trial)
    question(trial)
    time.sleep(dice.uniform(0, 0.5))
    trial.main.close()


@terminal_kind("end-of-input-at-the-question", phases=("training", "fetching"))
def end_of_input(trial, dice):
    dies_early(trial)
    if question(trial):
        trial.main.key("\x04")


@terminal_kind("answer-detach", phases=("training",))
def answer_detach(trial, dice):
    if question(trial):
        trial.main.key("d\n")


@terminal_kind("answer-go-on", phases=("training", "fetching"))
def answer_go_on(trial, dice):
    if question(trial):
        trial.main.key("g\n")


@terminal_kind("answer-cancel", phases=("training", "fetching"))
def answer_cancel(trial, dice):
    cancels(trial)
    if question(trial):
        trial.main.key("c\n")


@terminal_kind("ctrl-c-many-times")
def many(trial, dice):
    cancels(trial)
    for _ in range(dice.randint(2, 5)):
        trial.main.key("\x03")
        time.sleep(dice.uniform(0, 0.4))
    trial.main.key("c\n")


@terminal_kind("killed-at-the-question", phases=("training", "fetching"))
def killed_at_question(trial, dice):
    dies_early(trial)
    question(trial)
    trial.signal(signal.SIGKILL, trial.followers(), "ferry")
