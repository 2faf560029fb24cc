"""What must be true after every trial. Each rule returns sentences; none is what should be."""
import os
import re

from judge_cloud import furthest, money, nothing_left, nothing_on_the_box, one_machine, times
from judge_home import books, logs, logs_again, outputs, secrets
from seen import the_run

COMMANDS = {
    "run",
    "rehearse",
    "plan",
    "gpus",
    "ps",
    "logs",
    "fetch",
    "ssh",
    "cancel",
    "down",
    "check",
    "quota",
    "policy",
    "cost",
    "env",
    "rehearsal",
    "catalog",
    "init",
    "completion",
    "help",
    "wait",
    "show",
    "version",
}
BUGS = re.compile(
    r"Traceback \(most|AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed|terminate called|"
    r"bug of its own|Segmentation fault|core dumped"
)
RULES = (nothing_left, nothing_on_the_box, one_machine, times, money, books, outputs, logs, logs_again, secrets)


def no_bug(trial):
    texts = {" ".join(one.words)[:60]: one.out + one.err for one in trial.commands}
    texts |= {
        str(path.name): path.read_text(errors="replace")
        for path in (*trial.data.glob("runs/*/follower.txt"), *trial.data.glob("rehearsal/server.log"))
    }
    found = [f"'{BUGS.search(text)[0]}' in what {name} said" for name, text in texts.items() if BUGS.search(text)]
    return found + [
        f"ferry {' '.join(one.words)[:60]} died by signal {-one.code}"
        for one in trial.commands
        if one.code and one.code < 0 and not one.hung and -one.code in (4, 6, 7, 8, 11)
    ]


def no_hang(trial):
    return [
        f"ferry {' '.join(one.words)[:60]} did not end within {one.ended_at - one.began:.0f} s"
        for one in trial.commands
        if one.hung
    ]


def no_nagging(trial):
    """A follower is started anew where one was killed, not on every command."""
    told = sum("was left behind" in one.err for one in trial.commands)
    killed = sum(text.startswith(("SIGKILL", "SIGHUP", "SIGTERM", "SIGINT")) for _, text in trial.notes)
    return [f"{told} commands each started one more follower"] if told > 3 + killed else []


def exit_code(trial):
    """What the command that ran the training ended with, beside the ledger. A killed one says nothing, one that handed
    over not the end."""
    run, main = the_run(trial), trial.main
    if not run or main.hung or main.code < 0:
        return []
    if (
        re.search(
            r"A follower in the background|goes on|is training on|is kept|may still run|"
            r"ferry fetch \S+ --yes starts it",
            main.err,
        )
        or trial.on_terminal
        and main.code in (0, 9)
    ):  # 9: setsid's word for a killed one
        return []
    own = run["exit_code"]
    right = {
        "succeeded": (0,),
        "failed": (own,),
        "cancelled": (own or 130, 130),
        "lost": (125,),
        "not_started": (75, 125, 130),
    }[run["outcome"]]
    return (
        []
        if main.code in right
        else [f"ferry run exits {main.code}, and the run is '{run['outcome']}', exit code {own}"]
    )


def advice(trial):
    """Commands that a message names exist; a machine that is told to be kept was there when it was told."""
    found, cloud = set(), trial.state()["instances"]
    runs = {name for (name,) in trial.query("SELECT name FROM runs")}
    for one in trial.commands:
        for command, name in re.findall(
            r"(?<![\w/.-])ferry ([a-z]+(?:-[a-z]+)*)(?: -[-a-z]+)* ?((?:tiny|box)-[a-z0-9]+)?", one.err
        ):
            if name and command not in COMMANDS:
                found.add(f"'ferry {command}' is advised, and there is no such command")
            if name and name not in runs:
                found.add(f"{name} is advised about, and there is no such run")
        for advised, name in re.findall(
            r"ferry (fetch|logs -f|down|cancel) ((?:tiny|box)-[a-z0-9]+)(?=[\s\S]*\n✓ release)", one.err
        ):
            if f"try:  ferry {advised} {name}" in one.err:
                found.add(f"ferry {one.words[0]} advises 'ferry {advised} {name}' and then releases the run itself")
        for ident in re.findall(r"(i-[0-9a-f]{8,17}) is kept", one.err):
            machine, said_at = cloud.get(ident), os.path.getmtime(one.folder / "err")
            if not machine or machine["phase"] == "terminated" and machine["phase_ms"] / 1000 < said_at - 3:
                found.add(f"ferry {one.words[0]} says that {ident} is kept, and it is gone")
    return sorted(found)


def judge(trial):
    problems = list(trial.problems)
    for rule in (*RULES, no_bug, no_hang, no_nagging, exit_code, advice):
        if rule.__name__ not in trial.exempt:
            problems += rule(trial)
    return problems
