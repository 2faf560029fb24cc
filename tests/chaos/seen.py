"""The run on trial as ferry itself shows it when all is over."""
import datetime
import json


def the_run(trial):
    """As `ferry ps --all --json` shows it at the end, once asked."""
    if not hasattr(trial, "seen"):
        name, done = trial.run(), trial.type("ps", "--all", "--json")
        trial.seen = (
            next((run for run in json.loads(done.out or '{"runs": []}')["runs"] if run["run"] == name), None)
            if name
            else None
        )
    return trial.seen


def seconds_of_training(run):
    begun, ended = (
        datetime.datetime.fromisoformat(run[one].replace("Z", "+00:00")) for one in ("train_start", "train_end")
    )
    return (ended - begun).total_seconds()


def natural_end(trial, run):
    """The training came to the end of its script."""
    return run["outcome"] == "succeeded" or run["outcome"] == "failed" and run["exit_code"] == trial.plan.training.code
