"""What the judge looks for on the laptop: outputs, logs, outcome, and what nobody else may read."""
import re

from seen import natural_end, seconds_of_training, the_run


def books(trial):
    run = the_run(trial)
    if not run:
        return []
    natural = "failed" if trial.plan.training.code else "succeeded"
    found = []
    if run["phase"] != "released":
        found.append(f"the ledger says {run['phase']}, {run['outcome']}")
    elif run["outcome"] != natural and run["outcome"] not in trial.allowed:
        found.append(
            f"the run is called '{run['outcome']}' ({run['error']}): "
            f"nothing that happened makes it other than '{natural}'"
        )
    if (
        run["outcome"] == "succeeded"
        and run["exit_code"] != 0
        or run["outcome"] == "failed"
        and run["exit_code"] in (0, None)
    ):
        found.append(f"outcome '{run['outcome']}' with exit code {run['exit_code']}")
    if run["outcome"] in ("cancelled", "lost", "not_started") and run["exit_code"] == 0 and not trial.given_up:
        found.append(f"outcome '{run['outcome']}' with exit code 0")
    if (
        run["outcome"] in ("succeeded", "failed")
        and not run["outputs_home"]
        and not (trial.given_up and run["outcome"] == "failed")
    ):
        found.append(f"called '{run['outcome']}', and its outputs are not home")
    if run["outcome"] == "cancelled" and run["train_start"] and not run["outputs_home"] and "lost" not in trial.allowed:
        found.append("cancelled, and what it had written is not home, though its machine answered")
    if trial.cut and run["outcome"] == "succeeded" and seconds_of_training(run) > 3:
        found.append("cut at its limit, and called 'succeeded'")
    if not run["outputs_home"] and run["train_start"] and not (trial.given_up or trial.ended_outside or trial.box):
        ended = [
            one["id"]
            for one in trial.state()["instances"].values()
            if one["client_token"].startswith(run["run"] + "-") and one["transition_reason"]
        ]
        if ended and f"{ended[0]} died" not in (trial.data / "rehearsal/server.log").read_text(errors="replace"):
            found.append(f"ferry ended {ended[0]}, which was well, and the outputs are not home")
    if trial.query("PRAGMA integrity_check") != [("ok",)]:
        found.append("the ledger is damaged")
    if run["outcome"] in ("lost", "not_started") and not run["error"]:
        found.append(f"called '{run['outcome']}' without a reason")
    return found


def outputs(trial):
    run, training = the_run(trial), trial.plan.training
    if not run:
        return []
    home = trial.home_of(run) / "outputs"
    there = {str(path.relative_to(home)): path for path in home.rglob("*") if path.is_file()} | {
        str(path.relative_to(home)): path for path in (home / "side").glob("*")
    }
    ever = training.ever()
    partial = {".part", ".saved"}
    cut = (
        lambda name, path: name.startswith("many/") and not natural_end(trial, run) and path.stat().st_size == 0
    )  # seen between open and write
    found = [
        f"{name} is home with the wrong bytes"
        for name, path in sorted(there.items())
        if name in ever and path.read_bytes() != ever[name] and not cut(name, path)
    ]
    found += [f"a file that nobody made is home: {name}" for name in sorted(set(there) - set(ever) - partial)]
    whole = natural_end(trial, run) and (run["outputs_home"] or not trial.given_up)
    promised = training.at_the_end() if whole else training.files(steps_home(trial, run)) if run["outputs_home"] else {}
    if run["exit_code"] is not None and run["exit_code"] == training.trap != 0:
        promised = {**promised, "saved": ever["saved"]}  # its handler had the last word
    if trial.cut:
        promised = {}
    missing = sorted(set(promised) - set(there))
    if missing:
        found.append(
            f"{len(missing)} outputs that were finished are not home, though the run is called '{run['outcome']}': "
            f"{', '.join(missing[:6])}"
        )
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
    if trial.disk_is_full and "bytes of what the training printed are lost" in trial.main.err + follower_text(trial):
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
    if (
        natural_end(trial, run)
        and main.code == run["exit_code"]
        and "detached" not in trial.plan.mode
        and not trial.on_terminal
        and "is training on" not in main.err
        and training.steps_in(main.out, "out") != training.lines
    ):
        found.append(
            f"ferry run ended with the training and showed {training.steps_in(main.out, 'out')} of "
            f"{training.lines} lines"
        )
    return found


def logs_again(trial):
    """What ferry logs shows of a run that is over is what came home."""
    run = the_run(trial)
    text = train_log(trial, run) if run and run["phase"] == "released" else None
    if text is None:
        return []
    again, count = trial.type("logs", run["run"]).out, trial.plan.training.steps_in
    return (
        []
        if count(again, "out") == count(text, "out")
        else [f"ferry logs shows {count(again, 'out')} lines, train.log has {count(text, 'out')}"]
    )


def secrets(trial):
    """No key where others look, nothing of ferry's left in TMPDIR, no file that umask forbids."""
    found = []
    for path in trial.tmp.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            found.append(f"a private key lies in TMPDIR: {path.name}")
    killed = any(
        text.startswith("SIGKILL") for _, text in trial.notes
    )  # what that leaves goes with the next connection
    if (left := [path.name for path in trial.tmp.glob("ferry-[a-z]*")]) and not killed:
        found.append(f"left in TMPDIR: {left}")
    run = the_run(trial)
    if run and trial.plan.private:
        open_to_others = [
            path for path in trial.home_of(run).rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077
        ]
        if open_to_others:
            found.append(f"umask is 077, and {len(open_to_others)} files are open to others: {open_to_others[0].name}")
    return found
