"""What must be true after every trial. Each rule returns sentences; none is what should be."""
import calendar
import json
import os
import re
import time

import host_test

COMMANDS = {"run", "rehearse", "plan", "gpus", "ps", "logs", "fetch", "ssh", "cancel", "down", "check", "quota", "policy", "cost", "env", "rehearsal", "catalog",
            "init", "completion", "help", "wait", "show", "version"}
BUGS = re.compile(r"Traceback \(most|AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed|terminate called|bug of its own|Segmentation fault|core dumped")
TOLERANCE_MS = 1000  # the cloud tells its times in whole seconds


def judge(trial):
    problems = list(trial.problems)
    for rule in (no_bug, no_hang, nothing_left, nothing_on_the_box, one_machine, books, outputs, logs, logs_again, exit_code, secrets, money, times, advice):
        if rule.__name__ not in trial.exempt:
            problems += rule(trial)
    return problems


def the_run(trial):
    """As `ferry ps --all --json` shows it at the end, once asked."""
    if not hasattr(trial, "seen"):
        name, done = trial.run(), trial.type("ps", "--all", "--json")
        trial.seen = next((run for run in json.loads(done.out or "[]") if run["run"] == name), None) if name else None
    return trial.seen


def no_bug(trial):
    texts = {" ".join(one.words)[:60]: one.out + one.err for one in trial.commands}
    texts |= {str(path.name): path.read_text(errors="replace") for path in
              (*trial.data.glob("runs/*/follower.txt"), *trial.data.glob("rehearsal/server.log"))}
    found = [f"'{BUGS.search(text)[0]}' in what {name} said" for name, text in texts.items() if BUGS.search(text)]
    return found + [f"ferry {' '.join(one.words)[:60]} died by signal {-one.code}" for one in trial.commands
                    if one.code and one.code < 0 and not one.hung and -one.code in (4, 6, 7, 8, 11)]


def no_hang(trial):
    return [f"ferry {' '.join(one.words)[:60]} did not end within {one.ended_at - one.began:.0f} s" for one in trial.commands if one.hung]


def nothing_left(trial):
    state, found = trial.state(), []
    mine = lambda one: one["client_token"].startswith((trial.run() or "?") + "-") or not trial.box
    alive = [one["id"] for one in state["instances"].values() if mine(one) and one["phase"] != "terminated"]
    if alive:
        found.append(f"still in the cloud: {', '.join(alive)}")
    if not trial.box:
        groups = [one["name"] for one in state["groups"].values() if one["name"] != "default"]
        keys = list(state.get("keys", state.get("key_pairs", {})))
        if groups or keys:
            found.append(f"left in the cloud: groups {groups}, key pairs {keys}")
        folder = trial.data / "rehearsal/instances"
        if folder.exists() and list(folder.iterdir()):
            found.append(f"folders of machines are left: {[one.name for one in folder.iterdir()]}")
    end = time.time() + 15
    while (left := trial.ferries("run", "follow-run") + trial.ssh_clients()) and time.time() < end:
        time.sleep(0.2)
    if left:
        found.append(f"processes of ferry are left: {[' '.join(trial.processes().get(pid, []))[:80] for pid in left]}")
    return found


def nothing_on_the_box(trial):
    """A machine of the person's own stays, without what the run had there."""
    run = trial.run()
    if not trial.box or not run:
        return []
    if trial.machine(trial.box) != trial.box_instance:
        return ["the person's own machine is gone"]
    left = host_test.on_box(trial, f"find .ferry -name '{run}*' -not -name '*.lock'; ps axww -o args | grep '[f]erry-agent.*{run}' || true").strip()
    end = time.time() + 10
    while left and time.time() < end:
        time.sleep(0.5)
        left = host_test.on_box(trial, f"find .ferry -name '{run}*' -not -name '*.lock'; ps axww -o args | grep '[f]erry-agent.*{run}' || true").strip()
    return [f"left on the person's own machine: {left}"] if left else []


def one_machine(trial):
    tokens = [one["client_token"] for one in trial.state()["instances"].values()]
    mine = [token for token in tokens if token.startswith((trial.run() or "?") + "-")]
    return [f"{len(mine)} machines were rented for one run: {mine}"] if len(mine) > 1 else []


def books(trial):
    run = the_run(trial)
    if not run:
        return []
    natural = "failed" if trial.plan.training.code else "succeeded"
    found = []
    if run["phase"] != "released":
        found.append(f"the ledger says {run['phase']}, {run['outcome']}")
    elif run["outcome"] != natural and run["outcome"] not in trial.allowed:
        found.append(f"the run is called '{run['outcome']}' ({run['error']}): nothing that happened makes it other than '{natural}'")
    if run["outcome"] == "succeeded" and run["exit_code"] != 0 or run["outcome"] == "failed" and run["exit_code"] in (0, None):
        found.append(f"outcome '{run['outcome']}' with exit code {run['exit_code']}")
    if run["outcome"] in ("cancelled", "lost", "did not start") and run["exit_code"] == 0 and not trial.given_up:
        found.append(f"outcome '{run['outcome']}' with exit code 0")
    if run["outcome"] in ("succeeded", "failed") and not run["outputs_home"]:
        found.append(f"called '{run['outcome']}', and its outputs are not home")
    if run["outcome"] == "cancelled" and run["train_start_ms"] and not run["outputs_home"] and "lost" not in trial.allowed:
        found.append("cancelled, and what it had written is not home, though its machine answered")
    if trial.cut and run["outcome"] == "succeeded" and run["train_end_ms"] - run["train_start_ms"] > 3000:
        found.append("cut at its limit, and called 'succeeded'")
    if not run["outputs_home"] and run["train_start_ms"] and not (trial.given_up or trial.ended_outside or trial.box):
        ended = [one["id"] for one in trial.state()["instances"].values() if one["client_token"].startswith(run["run"] + "-") and one["transition_reason"]]
        if ended and f"{ended[0]} died" not in (trial.data / "rehearsal/server.log").read_text(errors="replace"):
            found.append(f"ferry ended {ended[0]}, which was well, and the outputs are not home")
    if trial.query("PRAGMA integrity_check") != [("ok",)]:
        found.append("the ledger is damaged")
    if run["outcome"] in ("lost", "did not start") and not run["error"]:
        found.append(f"called '{run['outcome']}' without a reason")
    return found


def natural_end(trial, run):
    """The training came to the end of its script."""
    return run["outcome"] == "succeeded" or run["outcome"] == "failed" and run["exit_code"] == trial.plan.training.code


def outputs(trial):
    run, training = the_run(trial), trial.plan.training
    if not run:
        return []
    home = trial.home_of(run) / "outputs"
    there = {str(path.relative_to(home)): path for path in home.rglob("*") if path.is_file()} | \
            {str(path.relative_to(home)): path for path in (home / "side").glob("*")}
    ever = training.ever()
    partial = {".part", ".saved"}
    cut = lambda name, path: name.startswith("many/") and not natural_end(trial, run) and path.stat().st_size == 0  # seen between open and write
    found = [f"{name} is home with the wrong bytes" for name, path in sorted(there.items()) if name in ever and path.read_bytes() != ever[name] and not cut(name, path)]
    found += [f"a file that nobody made is home: {name}" for name in sorted(set(there) - set(ever) - partial)]
    whole = natural_end(trial, run)
    promised = training.at_the_end() if whole else training.files(steps_home(trial, run)) if run["outputs_home"] else {}
    if run["exit_code"] is not None and run["exit_code"] == training.trap != 0:
        promised = {**promised, "saved": ever["saved"]}  # its handler had the last word
    if trial.cut:
        promised = {}
    missing = sorted(set(promised) - set(there))
    if missing:
        found.append(f"{len(missing)} outputs that were finished are not home, though the run is called '{run['outcome']}': {', '.join(missing[:6])}")
    said_home = [one for one in trial.commands if one.code == 0 and one.words[0] == "fetch" and "are home" in one.out]
    if said_home and not run["outputs_home"]:
        found.append("'are home' was said, and the ledger does not know it")
    return found


def train_log(trial, run):
    for path in (trial.home_of(run) / "train.log", trial.home_of(run) / ".ferry/train.log"):
        if path.exists():
            return path.read_text(errors="replace")
    return None


def follower_text(trial):
    return "".join(path.read_text(errors="replace") for path in trial.data.glob("runs/*/follower.txt"))


def steps_home(trial, run):
    text = train_log(trial, run) or ""
    return trial.plan.training.steps_in(text, "out") or 0


def logs(trial):
    run, training = the_run(trial), trial.plan.training
    if not run:
        return []
    found = []
    text = train_log(trial, run)
    if "the log may not be whole here" in trial.main.err + follower_text(trial):
        return []
    if trial.disk_is_full and re.search(r"dropped|disk is full|not enough space|No space left", (text or "") + trial.main.err + follower_text(trial)):
        return []
    if text is None and run["outcome"] in ("succeeded", "failed"):
        found.append("there is no train.log")
    for stream in ("out", "err"):
        steps = training.steps_in(text or "", stream)
        if steps is None:
            found.append(f"train.log has lines of '{stream}' twice, missing or out of order")
        elif natural_end(trial, run) and steps != training.lines:
            found.append(f"train.log has {steps} of {training.lines} lines of '{stream}'")
    shown = [trial.main] + [one for one in trial.commands if one.words[0] == "logs"]
    for one in shown:
        if training.steps_in(one.out, "out") is None or training.steps_in(one.err, "err") is None:
            found.append(f"ferry {' '.join(one.words[:3])} showed lines twice, out of order, or with gaps")
    main = trial.main
    if natural_end(trial, run) and main.code == run["exit_code"] and "detached" not in trial.plan.mode and not trial.on_terminal and \
            "is training on" not in main.err and training.steps_in(main.out, "out") != training.lines:
        found.append(f"ferry run ended with the training and showed {training.steps_in(main.out, 'out')} of {training.lines} lines")
    return found


def logs_again(trial):
    """What ferry logs shows of a run that is over is what came home."""
    run = the_run(trial)
    text = train_log(trial, run) if run and run["phase"] == "released" else None
    if text is None:
        return []
    again, count = trial.type("logs", run["run"]).out, trial.plan.training.steps_in
    return [] if count(again, "out") == count(text, "out") else [f"ferry logs shows {count(again, 'out')} lines, train.log has {count(text, 'out')}"]


def exit_code(trial):
    """What the command that ran the training ended with, beside the ledger. A killed one says nothing, one that handed over not the end."""
    run, main = the_run(trial), trial.main
    if not run or main.hung or main.code < 0:
        return []
    if re.search(r"A follower in the background|goes on|is training on|is kept|may still run", main.err) or trial.on_terminal and main.code == 0:
        return []
    own = run["exit_code"]
    right = {"succeeded": (0,), "failed": (own,), "cancelled": (own or 130, 130), "lost": (125,), "did not start": (125, 130)}[run["outcome"]]
    return [] if main.code in right else [f"ferry run exits {main.code}, and the run is '{run['outcome']}', exit code {own}"]


def secrets(trial):
    """No key where others look, nothing of ferry's left in TMPDIR, no file that umask forbids."""
    found = []
    for path in trial.tmp.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            found.append(f"a private key lies in TMPDIR: {path.name}")
    killed = any(text.startswith("SIGKILL") for _, text in trial.notes)  # what that leaves goes with the next connection
    if (left := [path.name for path in trial.tmp.glob("ferry-link.*")]) and not killed:
        found.append(f"left in TMPDIR: {left}")
    run = the_run(trial)
    if run and trial.plan.private:
        open_to_others = [path for path in trial.home_of(run).rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
        if open_to_others:
            found.append(f"umask is 077, and {len(open_to_others)} files are open to others: {open_to_others[0].name}")
    return found


def money(trial):
    run, said = the_run(trial), re.search(r"at most \$([0-9.]+)", trial.main.err)
    if run and said and (run["spent_usd"] or 0) > float(said[1]) + 1e-6:
        return [f"it cost ${run['spent_usd']}, and was said to cost at most ${said[1]}"]
    return []


def end_of(trial, machine):
    """When the cloud stopped billing a machine, in milliseconds since 1970: whole seconds where somebody asked for its end."""
    said = re.search(r"\((\d+-\d+-\d+ \d+:\d+:\d+) GMT\)", machine["transition_reason"])
    if said:
        return calendar.timegm(time.strptime(said[1], "%Y-%m-%d %H:%M:%S")) * 1000
    log = (trial.data / "rehearsal/server.log").read_text(errors="replace")
    if ended := re.search(rf"^(\S+)\.(\d+)Z {machine['id']} (?:running: died|shutting-down: )", log, re.MULTILINE):
        return calendar.timegm(time.strptime(ended[1], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(ended[2])
    return machine["phase_ms"]


def start_of(trial, machine):
    """When it was launched; the cloud's own launched_ms is that of the last start."""
    log = (trial.data / "rehearsal/server.log").read_text(errors="replace")
    boots = re.findall(rf"^(\S+)\.(\d+)Z {machine['id']} pending: boot", log, re.MULTILINE)
    if len(boots) < 2:
        return machine["launched_ms"]
    return calendar.timegm(time.strptime(boots[0][0], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(boots[0][1])


def differences(trial):
    """(id, what, ledger minus cloud in milliseconds, the cloud's words) of every machine that both know to be over."""
    cloud = trial.state()["instances"]
    for ident, launched, released, state in trial.query("SELECT id, launched_ms, released_ms, state FROM instances WHERE id LIKE 'i-%'"):
        one = cloud.get(ident)
        if one and state == "released" and one["phase"] == "terminated":
            yield ident, "launched", launched - start_of(trial, one), ""
            yield ident, "released", released - end_of(trial, one), one["transition_reason"] or one["reason_message"]


def furthest(trial):
    return 0 if "times" in trial.exempt else max((abs(ms) for _, _, ms, _ in differences(trial)), default=0)


def times(trial):
    """What is billed by: the ledger beside the cloud, to the second."""
    return [f"{ident}: {what} by the ledger {ms / 1000:+.3f} s from the cloud's time ({words})"
            for ident, what, ms, words in differences(trial) if abs(ms) > TOLERANCE_MS]


def advice(trial):
    """Commands that a message names exist; a machine that is told to be kept was there when it was told."""
    found, cloud = set(), trial.state()["instances"]
    runs = {name for (name,) in trial.query("SELECT name FROM runs")}
    for one in trial.commands:
        for command, name in re.findall(r"(?<![\w/.-])ferry ([a-z]+(?:-[a-z]+)*)(?: -[-a-z]+)* ?((?:tiny|box)-[a-z0-9]+)?", one.err):
            if name and command not in COMMANDS:
                found.add(f"'ferry {command}' is advised, and there is no such command")
            if name and name not in runs:
                found.add(f"{name} is advised about, and there is no such run")
        for advised, name in re.findall(r"ferry (fetch|logs -f|down|cancel) ((?:tiny|box)-[a-z0-9]+)(?=[\s\S]*\n✓ release)", one.err):
            if f"try:  ferry {advised} {name}" in one.err:
                found.add(f"ferry {one.words[0]} advises 'ferry {advised} {name}' and then releases the run itself")
        for ident in re.findall(r"(i-[0-9a-f]{8,17}) is kept", one.err):
            machine, said_at = cloud.get(ident), os.path.getmtime(one.folder / "err")
            if not machine or machine["phase"] == "terminated" and machine["phase_ms"] / 1000 < said_at - 3:
                found.add(f"ferry {one.words[0]} says that {ident} is kept, and it is gone")
    return sorted(found)
