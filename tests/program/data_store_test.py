#!/usr/bin/env python3
"""Large folders of this computer go into the run's store once, by content, and every machine takes them from there."""
import hashlib
import json
import os
import signal
import subprocess
import time

from lib import FERRY, Home, main

STORE = "s3://ferry-rehearsal/team"
WHERE = ("--store", STORE, "--infra", "rehearsal")
SEES = (
    "(cd /data && find . -type f -printf '%P %m ' -exec sha256sum '{}' ';' | sed 's/  .*//' | sort; "
    "readlink /data/newest; cd /data && find . -type d "
    "| sort) >outputs/seen"
)


def folder_of(home, files=60, size=20_000):
    """Small files, two of them the same, one that may be executed, a link, and a large one."""
    home.env["FERRY_STORED_DATA_FROM"] = "1000000"
    source = home.work / "sets/digits"
    (source / "deep/er").mkdir(parents=True)
    for i in range(files):
        (source / f"deep/er/f{i}").write_bytes(os.urandom(size + i))
    (source / "twice").write_bytes((source / "deep/er/f0").read_bytes())
    (source / "large").write_bytes(os.urandom(20_000_000))
    (source / "tool.sh").write_text("#!/bin/sh\n")
    (source / "tool.sh").chmod(0o755)
    (source / "newest").symlink_to("deep/er/f1")
    home.file(
        "task.yaml",
        "\n".join(
            [
                "name: tiny",
                "resources: {infra: rehearsal}",
                f"store: {STORE}",
                "file_mounts:",
                "  /data: ./sets/digits",
                "  small: ./task.yaml",
                "run: |",
                "  mkdir outputs",
                f"  {SEES}",
                "  test -f small",
            ]
        )
        + "\n",
    )
    return source


def expected(source):
    lines = sorted(
        f"{one.relative_to(source)} {one.stat().st_mode & 0o777:o} {hashlib.sha256(one.read_bytes()).hexdigest()}"
        for one in source.rglob("*")
        if one.is_file() and not one.is_symlink()
    )
    return lines


def seen(home):
    run = home.newest()
    assert run["outcome"] == "succeeded", run
    text = (home.home_of(run) / "outputs/seen").read_text().splitlines()
    assert "deep/er/f1" in text and "./deep/er" in text, text
    return sorted(line for line in text if len(line.split()) == 3)


def data(home, *words):
    done = home.good("data", *words, *WHERE, "--json")
    return json.loads(done.out)


def test_a_large_folder_goes_over_once_and_every_machine_has_exactly_that():
    with Home() as home:
        source = folder_of(home)
        done = home.good("run", "task.yaml")
        assert "goes by the store" in done.err and "from the store" in done.err, done.err
        assert seen(home) == expected(source), seen(home)
        (first,) = data(home, "ls")["sets"]
        assert first["name"] == "digits" and first["files"] == 63, first
        done = home.good("run", "task.yaml")
        assert "is in the store already" in done.err, done.err
        assert seen(home) == expected(source)
        # One file is changed, one is another's copy: only the change goes over.
        (source / "deep/er/f3").write_bytes(os.urandom(777))
        (source / "again").write_bytes((source / "large").read_bytes())
        put = data(home, "push", "sets/digits")
        assert (put["sent_files"], put["sent_bytes"]) == (1, 777), put
        home.good("run", "task.yaml")
        assert seen(home) == expected(source)
        listed = data(home, "ls")
        assert len(listed["sets"]) == 2 and listed["about_usd_a_month"] > 0, listed
        # What the second needs stays when the first goes.
        removed = data(home, "rm", "--yes", first["id"])
        assert removed["bytes"] == 20_003, removed
        home.good("run", "task.yaml")
        assert seen(home) == expected(source)
        assert data(home, "rm", "--yes", "digits")["bytes"] > 20_000_000
        assert data(home, "ls")["bytes"] == 0
        home.nothing_left()


def test_a_push_that_is_killed_is_gone_on_with_and_no_run_sees_half_of_it():
    with Home() as home:
        source = folder_of(home, files=400, size=50_000)
        home.good("rehearsal", "start")
        sent = 0
        for _ in range(3):
            before = data(home, "ls")["bytes"] if sent else 0
            push = subprocess.Popen(
                [FERRY, "data", "push", "sets/digits", *WHERE],
                env=home.env,
                cwd=home.work,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            home.wait_for(
                "some of it is there",
                lambda: push.poll() is not None
                or (sent == 0 and bucket_is_there(home))
                or (sent and data(home, "ls")["bytes"] > before),
            )
            if push.poll() is None:  # on a fast computer it may be done by then, and is no process any more
                os.killpg(push.pid, signal.SIGKILL)
            push.wait()
            sent += 1
        listed = at_rest(home)
        there, total = listed["bytes"], sum(
            {
                hashlib.sha256(one.read_bytes()).hexdigest(): one.stat().st_size
                for one in source.rglob("*")
                if one.is_file() and not one.is_symlink()
            }.values()
        )
        if not listed["sets"]:
            put = data(home, "push", "sets/digits")
            assert put["sent_bytes"] == total - there, (put, there, total)
        home.good("run", "task.yaml")
        assert seen(home) == expected(source)
        home.good("data", "rm", "--yes", "digits", *WHERE)
        home.nothing_left()


def at_rest(home):
    """What there is once the server has stored all that a killed push had sent before its end."""
    seen_last = {}

    def is_at_rest():
        before = seen_last.get("listed")
        time.sleep(0.3)
        seen_last["listed"] = data(home, "ls")
        return before == seen_last["listed"]

    home.wait_for("nothing more arrives", is_at_rest)
    return seen_last["listed"]


def bucket_is_there(home):
    done = home.ferry("data", "ls", *WHERE, "--json")
    return done.returncode == 0 and json.loads(done.out)["bytes"] > 0


def test_what_is_small_or_comes_home_or_has_no_store_goes_with_the_workdir():
    with Home() as home:
        source = folder_of(home)
        home.env["FERRY_STORED_DATA_FROM"] = "100000000"
        done = home.good("run", "task.yaml")
        assert "goes by the store" not in done.err and seen(home) == expected(source), done.err
        home.env["FERRY_STORED_DATA_FROM"] = "1000"
        done = home.good("run", "task.yaml", "--store", "none")
        assert "goes by the store" not in done.err and seen(home) == expected(source), done.err
        home.nothing_left()


def test_what_is_asked_for_wrongly_is_refused():
    with Home() as home:
        folder_of(home)
        home.good("data", "push", "sets/digits", *WHERE)
        done = home.ferry("data", "push", "no-such-folder", *WHERE)
        assert done.returncode == 2 and "no folder" in done.err, done.err
        done = home.ferry("data", "rm", "--yes", "faces", *WHERE)
        assert done.returncode != 0 and "ferry data ls" in done.err, done.err
        done = home.ferry("data", "rm", "digits", *WHERE)
        assert done.returncode == 2 and "--yes" in done.err, done.err
        assert len(data(home, "ls")["sets"]) == 1
        done = home.ferry("data", "ls")
        assert done.returncode == 2 and "--store" in done.err, done.err


if __name__ == "__main__":
    main(globals())
