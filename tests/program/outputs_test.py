#!/usr/bin/env python3
"""Whatever a training leaves behind as its work comes home, however it was left; what cannot come keeps its machine."""
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import time

from lib import Home, main


def run(home, script, *flags, code=0, **more):
    done = home.ferry("run", "--infra", "rehearsal", *flags, "--", "bash", "-c", script, **more)
    assert done.returncode == code, (done.returncode, done.out, done.err)
    return done


def brought(home):
    """Path → content of every file at home, or "-> target" of a link; ferry's log is left out."""
    top = home.home_of(home.newest())
    seen = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = pathlib.Path(folder, name)
            if path.is_symlink():
                seen[str(path.relative_to(top))] = "-> " + os.readlink(path)
            elif path.is_file():
                seen[str(path.relative_to(top))] = path.read_text(errors="replace")
    for own in ("train.log", "run.json"):
        seen.pop(own, None)
    return seen


def shared_tmp(home):
    """Whether instances share /tmp with this computer (the sandbox without namespaces)."""
    home.good("rehearsal", "start")
    return home.sandbox() == "plain"


def test_an_output_that_is_a_link_brings_what_it_points_to():
    with Home() as home:
        run(
            home,
            "mkdir ~/big; ln -s ~/big outputs; echo 5 > outputs/model; mkdir ~/big/deep; echo 6 > outputs/deep/part; "
            "ln -s model ~/big/best",
        )
        assert brought(home) == {
            "outputs/model": "5\n",
            "outputs/deep/part": "6\n",
            "outputs/best": "-> model",
        }, brought(home)
        done = run(
            home,
            'mkdir outputs; echo 7 > "$FERRY_SCRATCH/weights"; ln -s "$FERRY_SCRATCH" outputs/ck; echo a > outputs/a',
        )
        assert brought(home) == {"outputs/ck/weights": "7\n", "outputs/a": "a\n"}, (brought(home), done.err)
        home.nothing_left()


def test_a_named_output_that_is_a_link_is_never_called_unwritten():
    with Home() as home:
        done = run(home, "mkdir ~/real; echo 1 > ~/real/a.pt; echo 2 > ~/real/b.txt; ln -s ~/real ckpt", "-o", "ckpt/")
        assert brought(home) == {"ckpt/a.pt": "1\n", "ckpt/b.txt": "2\n"} and "did not write" not in done.err, (
            brought(home),
            done.err,
        )
        done = run(
            home, "mkdir ~/real; echo 1 > ~/real/a.pt; echo 2 > ~/real/b.txt; ln -s ~/real ckpt", "-o", "ckpt/*.pt"
        )
        assert brought(home) == {"ckpt/a.pt": "1\n"} and "did not write" not in done.err, (brought(home), done.err)
        done = run(home, "echo 1 > ~/m; ln -s ~/m model.pt", "-o", "model.pt")
        assert brought(home) == {"model.pt": "1\n"}, (brought(home), done.err)


def test_links_below_outputs_bring_what_does_not_come_otherwise():
    with Home() as home:
        home.file("config.yaml", "sent\n")
        done = run(
            home,
            """
            mkdir -p ~/.cache/hf/blobs ~/.cache/hf/snap outputs/sub steps
            echo blob > ~/.cache/hf/blobs/x; ln -s ../blobs/x ~/.cache/hf/snap/model.bin
            ln -s ~/.cache/hf/snap outputs/hf
            echo s9 > steps/9; ln -s ../steps/9 outputs/last
            echo in > outputs/sub/in; ln -s sub/in outputs/relative; ln -s "$PWD/outputs/sub/in" outputs/absolute
            ln -s ../config.yaml outputs/config; ln -s /etc/passwd outputs/etc; ln -s /dev/null outputs/device
            ln -s loop2 outputs/loop1; ln -s loop1 outputs/loop2; ln -s .. outputs/up; ln -s nowhere outputs/dangling
        """,
        )
        assert brought(home) == {
            "outputs/hf/model.bin": "blob\n",
            "outputs/last": "s9\n",
            "outputs/sub/in": "in\n",
            "outputs/relative": "-> sub/in",
            "outputs/absolute": "-> sub/in",
            "outputs/config": "-> ../config.yaml",
            "outputs/etc": "-> /etc/passwd",
            "outputs/device": "-> /dev/null",
            "outputs/loop1": "-> loop2",
            "outputs/loop2": "-> loop1",
            "outputs/up": "-> ..",
            "outputs/dangling": "-> nowhere",
        }, brought(home)
        for name in ("config", "etc", "device", "loop1", "up", "dangling"):
            assert f"outputs/{name} ->" in done.err, (name, done.err)
        for name in ("hf", "last", "relative", "absolute"):
            assert f"outputs/{name} ->" not in done.err, (name, done.err)


def test_a_workdir_of_three_thousand_levels_is_refused_before_anything_is_rented():
    with Home() as home:
        folder = os.open(home.work, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=folder)
            deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "1000 folders" in done.err, (done.returncode, done.err)
        assert not (home.root / "data/ferry/rehearsal").exists(), "the rehearsal cloud was started for nothing"
        subprocess.run(["rm", "-rf", home.work / "d"], check=True)  # Python's own way ends at a thousand, too


def test_outputs_that_the_login_user_cannot_read_come_home():
    with Home() as home:
        done = run(
            home,
            "mkdir -p outputs/closed; echo 1 > outputs/mine; echo 2 > outputs/roots; echo 3 > outputs/closed/inside; "
            "sudo chown 0 outputs/roots; sudo chmod 600 outputs/roots; chmod 000 outputs/closed",
        )
        assert brought(home) == {"outputs/mine": "1\n", "outputs/roots": "2\n", "outputs/closed/inside": "3\n"}, (
            brought(home),
            done.err,
        )
        done = run(
            home,
            "mkdir outputs; echo 1 > outputs/m; sudo chown -R 0 outputs; sudo chmod 700 outputs; "
            "sudo chmod 600 outputs/m",
        )
        assert brought(home) == {"outputs/m": "1\n"}, (brought(home), done.err)
        home.nothing_left()


def test_what_cannot_be_read_keeps_the_machine():
    with Home() as home:
        # Root can read nearly everything; deeper than ferry goes is one thing that cannot come.
        home.file(
            "deep.py",
            """
            import os
            os.mkdir("outputs")
            open("outputs/m", "w").write("1\\n")
            os.chdir("outputs")
            for _ in range(1100):
                os.mkdir("d")
                os.chdir("d")
            open("x", "w").write("x")
        """.replace(
                "\n            ", "\n"
            ),
        )
        done = home.ferry("run", "--infra", "rehearsal", "--", "python3", "deep.py", timeout=300)
        assert done.returncode == 125 and "1000 folders" in done.err and "is kept" in done.err, (
            done.returncode,
            done.err,
        )
        assert len(home.alive()) == 1
        # Every ferry command starts a follower, which tries again: not while the person is at it.
        home.good(
            "ssh", home.newest()["run"], "--", "rm -rf ferry/*/outputs/d; sleep 3; echo 2 > $(echo ferry/*/outputs)/n"
        )
        assert home.ferry("fetch", home.newest()["run"]).returncode == 0
        home.good("down", home.newest()["run"])
        assert brought(home) == {"outputs/m": "1\n", "outputs/n": "2\n"}, brought(home)
        home.nothing_left()


def test_what_the_run_made_is_not_judged_by_its_date():
    with Home() as home:
        home.file("same.txt", "same\n")
        home.file("touched.txt", "touched\n")
        home.file("edited.txt", "edited\n")
        home.file("old/inside.txt", "sent\n")
        run(
            home,
            """
            mkdir t; echo packed > t/m2024; touch -d 2024-05-05 t/m2024
            tar cf m.tar -C t m2024; rm -r t; tar xf m.tar; rm m.tar
            echo model > model; touch -d 2001-01-01 model
            touch -d 1999-01-01 touched.txt; echo Edited > edited.txt; touch -r same.txt edited.txt
            cp old/inside.txt old/copy.txt
            mkdir -p __pycache__; echo c > __pycache__/x.pyc
        """,
        )
        assert brought(home) == {
            "m2024": "packed\n",
            "model": "model\n",
            "touched.txt": "touched\n",
            "edited.txt": "Edited\n",
            "old/copy.txt": "sent\n",
        }, brought(home)
        home.nothing_left()


def test_what_is_written_outside_the_workdir_is_named_and_brought():
    with Home() as home:
        done = run(home, "echo weights > ~/model.pt; mkdir -p ~/.cache/pip; echo c > ~/.cache/pip/x")
        found = brought(home)
        assert (
            list(found.values()) == ["weights\n"]
            and list(found)[0].startswith("outputs-elsewhere/")
            and list(found)[0].endswith("/model.pt")
        ), (found, done.err)
        assert "model.pt" in done.err and "outputs-elsewhere" in done.err, done.err
        if not shared_tmp(home):
            done = run(home, "echo weights > /tmp/model.bin", "-o", "model.pt")
            assert brought(home) == {"outputs-elsewhere/tmp/model.bin": "weights\n"}, (brought(home), done.err)
        done = run(home, "true")
        assert "✓ fetch" not in done.err and "no outputs" in done.err and brought(home) == {}, done.err
        done = run(home, "dd if=/dev/zero of=$HOME/huge bs=1M count=0 seek=3000 2>/dev/null", code=125)
        assert "huge" in done.err and "is kept" in done.err, done.err
        assert len(home.alive()) == 1
        home.good("down", home.newest()["run"], "--no-fetch")
        home.nothing_left()


def test_outputs_that_went_over_are_not_this_runs():
    with Home() as home:
        home.file("outputs/old-model.pt", "old\n")
        home.file("train.py", "print(1)\n")
        done = home.good("run", "--infra", "rehearsal", "--", "python3", "train.py")
        assert "old-model.pt" in done.err.split("✓ check")[0], done.err
        assert "not of this run" in done.err and "✓ fetch" not in done.err and "model: " not in done.err, done.err
        done = run(home, "echo new > outputs/model.pt")
        assert brought(home) == {"outputs/old-model.pt": "old\n", "outputs/model.pt": "new\n"}
        assert "✓ fetch" in done.err and "/outputs/model.pt" in done.err, done.err
        done = run(home, "echo same > elsewhere.txt")
        assert brought(home) == {"outputs/old-model.pt": "old\n", "elsewhere.txt": "same\n"}, (brought(home), done.err)


def test_a_training_that_writes_a_train_log_of_its_own_keeps_it():
    with Home() as home:
        done = run(home, "echo shown; echo own > train.log")
        top = home.home_of(home.newest())
        assert (top / "train.log").read_text() == "own\n" and (
            top / ".ferry/train.log"
        ).read_text() == "shown\n", done.err
        assert ".ferry/train.log" in done.err, done.err
        run(home, "echo shown; mkdir train.log .ferry; echo a > train.log/a; echo b > .ferry/b")
        top = home.home_of(home.newest())
        assert (top / "train.log/a").read_text() == "a\n" and (top / ".ferry/b").read_text() == "b\n"
        assert (top / ".ferry-/train.log").read_text() == "shown\n"


def test_what_comes_home_obeys_the_persons_umask():
    with Home() as home:
        before = os.umask(0o077)
        try:
            run(
                home,
                "mkdir -p outputs/open; echo 1 > outputs/open/m; chmod 666 outputs/open/m; chmod 777 outputs/open; "
                "chmod 000 outputs/open/m",
            )
        finally:
            os.umask(before)
        top = home.home_of(home.newest())
        for path in [home.work / "runs", top, *top.rglob("*")]:
            assert path.lstat().st_mode & 0o077 == 0, (path, oct(path.lstat().st_mode))
        assert (top / "outputs/open/m").stat().st_mode & 0o400


def test_names_that_are_not_utf8_keep_their_bytes_in_the_ledger():
    with Home() as home:
        run(home, r"mkdir outputs; echo 1 > $'outputs/bad\xff\xfe.pt'; echo 2 > outputs/good.pt")
        with sqlite3.connect(home.root / "data/ferry/ledger.db") as base:
            paths = sorted(path for (path,) in base.execute("SELECT CAST(path AS BLOB) FROM objects"))
        assert paths == [b"outputs/bad\xff\xfe.pt", b"outputs/good.pt"], paths
        record = json.loads((home.home_of(home.newest()) / "run.json").read_text())
        assert (
            sorted(
                bytes.fromhex(one["path_hex"]) if "path_hex" in one else one["path"].encode()
                for one in record["outputs"]["files"]
            )
            == paths
        )


def test_fetch_hears_signals_and_goes_on_later():
    with Home() as home:
        home.good(
            "run",
            "-d",
            "--infra",
            "rehearsal",
            "--",
            "bash",
            "-c",
            "mkdir outputs; for i in 1 2 3 4 5 6 7 8; do head -c 100000000 /dev/urandom > outputs/$i; done; "
            "echo ready; sleep 1000",
        )
        name = home.runs()[0]["run"]
        home.wait_for("ready", lambda: "ready" in home.good("logs", name).out)
        top = home.work / "runs" / name
        for number in (signal.SIGTERM, signal.SIGINT):
            fetch = home.start("fetch", name)
            have = len(list(top.glob("outputs/*")))
            home.wait_for("one more file", lambda: fetch.poll() is not None or len(list(top.glob("outputs/*"))) > have)
            assert fetch.poll() is None, "it was over before it could be stopped"
            began = time.time()
            fetch.send_signal(number)
            _, err = fetch.communicate(timeout=60)
            assert fetch.returncode != 0 and b"goes on" in err, (fetch.returncode, err.decode())
            print(f"      heard after {time.time() - began:.1f} s")
        first = (top / "outputs/1").stat().st_ino
        home.good("fetch", name, timeout=300)
        assert len(list(top.glob("outputs/*"))) == 8 and (top / "outputs/1").stat().st_ino == first
        home.good("down", name, "--no-fetch")
        home.nothing_left()


def test_fetch_without_a_name_takes_the_newest_run_that_started():
    with Home() as home:
        home.good("run", "--infra", "rehearsal", "--", "sh", "-c", "mkdir outputs; echo model > outputs/m")
        (trained,) = home.runs("--all")
        failed = home.ferry(
            "run", "--infra", "rehearsal", "--instance-type", "t3.medium", "--max-hourly-cost", "0.0001", "--", "true"
        )
        assert failed.returncode != 0 and home.newest()["outcome"] == "not_started", home.newest()
        assert trained["run"] in home.good("fetch").out


if __name__ == "__main__":
    main(globals())
