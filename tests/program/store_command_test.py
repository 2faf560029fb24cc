#!/usr/bin/env python3
"""ferry store …, with a folder as the store: what is asked, what is refused, what is written into the settings."""
import hashlib
import json
import os
import time

from lib import Home, main


def stored(folder, run, complete=True, age_days=0):
    """A run with one output and a piece that no manifest names."""
    below = folder / "runs" / run / "a1/r0"
    key = f"runs/{run}/a1/r0/outputs/outputs/m"
    manifest = {
        "format": 1,
        "run": run,
        "attempt": 1,
        "rank": 0,
        "made_ms": 1,
        "complete": complete,
        "entries": [
            {
                "path": "outputs/m",
                "kind": "output",
                "bytes": 5,
                "sha256": hashlib.sha256(b"model").hexdigest(),
                "mode": 0o644,
                "key": key,
                "mtime_ns": 1,
            }
        ],
    }
    written = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"))
    manifest["sha256"] = hashlib.sha256(written(manifest).encode()).hexdigest()
    (below / "outputs/outputs").mkdir(parents=True)
    (below / "outputs/outputs/m").write_text("model")
    (below / "outputs/half").write_text("unnamed")
    (below / "manifest.json").write_text(written(manifest))
    at = time.time() - age_days * 86400
    for file in below.rglob("*"):
        os.utime(file, (at, at))
    return below


def settings_of(home):
    return home.root / ".config/ferry/config.yaml"


def test_a_folder_becomes_the_store_of_every_run_and_the_settings_keep_their_comments():
    with Home() as home:
        settings_of(home).parent.mkdir(parents=True)
        settings_of(home).write_text("# mine\ndefaults: ferry  # as ever\n")
        folder = home.root / "shared"
        none = home.ferry("store", "ls")
        assert none.returncode == 2 and "ferry store setup" in none.err, none.err
        asked = home.ferry("store", "setup", str(folder))
        assert asked.returncode == 2 and "--yes" in asked.err and not folder.exists(), asked.err
        home.good("store", "setup", str(folder), "--yes")
        assert (
            folder.is_dir()
            and settings_of(home).read_text() == f"# mine\ndefaults: ferry  # as ever\nstore: {folder}\n"
        )
        home.good("store", "setup", f"{folder}2", "--yes")
        assert settings_of(home).read_text() == f"# mine\ndefaults: ferry  # as ever\nstore: {folder}2\n"
        assert "nothing is stored" in home.good("store", "ls").out
        for bad in ("gs://bucket", "relative", "s3://UPPER"):
            done = home.ferry("store", "setup", bad, "--yes")
            assert done.returncode == 125 and "s3://BUCKET/PREFIX" in done.err, (bad, done.err)
        assert settings_of(home).read_text().endswith(f"store: {folder}2\n")


def test_settings_that_are_a_link_stay_one():
    with Home() as home:
        real = home.file("dotfiles/ferry.yaml", "defaults: ferry\n")
        settings_of(home).parent.mkdir(parents=True)
        settings_of(home).symlink_to(real)
        home.good("store", "setup", str(home.root / "shared"), "--yes")
        assert settings_of(home).is_symlink() and "store: " in real.read_text()


def test_runs_and_their_files_are_listed():
    with Home() as home:
        folder = home.root / "shared"
        stored(folder, "digits-abc")
        stored(folder, "other-abc", complete=False)
        (folder / "runs/torn-abc/a1/r0").mkdir(parents=True)
        (folder / "runs/torn-abc/a1/r0/manifest.json").write_text("{}")
        at = ("--store", str(folder))
        lines = home.good("store", "ls", *at).out.splitlines()
        assert [line.split()[:2] for line in lines[1:]] == [
            ["digits-abc", "complete"],
            ["other-abc", "partial"],
            ["torn-abc", "unreadable"],
        ], lines
        assert "outputs/m" in home.good("store", "ls", "digits-abc", *at).out
        assert home.ferry("store", "ls", "nobody", *at).returncode == 125


def test_only_what_nothing_names_is_cleared_and_only_after_a_yes():
    with Home() as home:
        folder = home.root / "shared"
        old, fresh = stored(folder, "old-abc", age_days=3), stored(folder, "fresh-abc")
        at = ("--store", str(folder))
        shown = home.good("store", "gc", "--dry-run", *at).out
        assert "runs/old-abc/a1/r0/outputs/half" in shown and "fresh" not in shown, shown
        assert home.ferry("store", "gc", *at).returncode == 2 and (old / "outputs/half").exists()
        assert "7 B removed" in home.good("store", "gc", "--yes", *at).out
        assert (
            not (old / "outputs/half").exists()
            and (old / "outputs/outputs/m").exists()
            and (fresh / "outputs/half").exists()
        )
        assert "nothing to clear" in home.good("store", "gc", *at).out
        assert "run     old-abc" in home.good("store", "gc", "--dry-run", "--older-than", "2d", *at).out
        home.good("store", "gc", "--older-than", "2d", "--yes", *at)
        assert not old.exists() and fresh.exists()
        assert home.ferry("store", "gc", "--older-than", "soon", *at).returncode == 2


def test_a_run_that_is_not_over_is_not_removed_unless_one_insists():
    with Home() as home:
        folder = home.root / "shared"
        at = ("--store", str(folder))
        home.good("run", "-d", "--infra", "rehearsal", "--", "sleep", "1000")
        run = home.runs()[0]["run"]
        going = stored(folder, run, age_days=30)
        stored(folder, "over-abc")
        refused = home.ferry("store", "rm", run, "--yes", *at)
        assert (
            refused.returncode == 125 and "is not over" in refused.err and (going / "manifest.json").exists()
        ), refused.err
        assert "nothing to clear" in home.good("store", "gc", "--older-than", "1d", *at).out
        home.good("store", "rm", "over-abc", "--yes", *at)
        home.good("store", "rm", run, "--yes", "--force", *at)
        assert not list(folder.glob("runs/*/a1/r0/manifest.json"))


if __name__ == "__main__":
    main(globals())
