#!/usr/bin/env python3
"""What goes over to the machine, what stays at home, and what is said of it before anything is rented."""
import subprocess

from lib import Home, main

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEtbm90LWEtcmVhbC1rZXk\n" * 4 + "-----END OPENSSH PRIVATE KEY-----\n"


def git(home, *words):
    return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=home.work, env=home.env, check=True,
                          capture_output=True, text=True).stdout.strip()


def test_keys_stay_links_can_be_followed_and_the_training_knows_its_commit():
    with Home() as home:
        (home.root / "disk").mkdir()
        (home.root / "disk/rows").write_text("12\n")
        (home.work / "data").symlink_to(home.root / "disk")
        home.file("train.py", "import os\nprint(sorted(os.listdir('.')), open('data/rows').read().strip())\n")
        home.file("my.pem", KEY)
        home.file(".aws/credentials", "x")
        home.file(".gitignore", "large/\n*.csv\n")
        home.file("large/file", "22")
        home.file("kept.csv", "tracked whatever the rules say")
        git(home, "init", "-q", "-b", "topic")
        git(home, "add", "-f", "train.py", "kept.csv", ".gitignore")
        git(home, "commit", "-q", "-m", "one")
        home.file("train.py", "import os\nprint(sorted(os.listdir('.')), open('data/rows').read().strip(), os.environ['FERRY_GIT_DIRTY'])\n")
        done = home.ferry("run", "--infra", "rehearsal", "--", "python", "train.py")
        assert done.returncode == 125 and "train.py:2 reads data/rows, which would not be sent" in done.err, done.err
        assert "outside the workdir" in done.err and "--follow" in done.err, done.err
        assert home.runs("--all") == [], "nothing was begun"

        done = home.good("run", "--infra", "rehearsal", "--follow", "--", "sh", "-c", "python train.py; echo $FERRY_GIT_BRANCH $FERRY_GIT_COMMIT")
        assert done.out == "['.gitignore', 'data', 'kept.csv', 'train.py'] 12 1\n" + f"topic {git(home, 'rev-parse', 'HEAD')}\n", done.out
        assert "left out by .gitignore: large/ (2 B)" in done.err, done.err
        assert ".aws/ (AWS credentials), my.pem (a private key)" in done.err and "!/.aws/" in done.err, done.err

        home.file(".ferryignore", "!/my.pem\n")
        done = home.good("run", "--infra", "rehearsal", "--", "ls", "-A")
        assert "my.pem\n" in done.out and ".aws" not in done.out, done.out
        home.nothing_left()


def test_mounts_go_over_beside_the_workdir_and_are_no_outputs():
    with Home() as home:
        (home.root / "sets/deep").mkdir(parents=True)
        (home.root / "sets/deep/rows").write_text("12\n")
        (home.root / "sets/.netrc").write_text("machine x password y\n")
        (home.root / "one.json").write_text("{}\n")
        home.file("task.yaml", "envs: {WHERE: ../sets}\nfile_mounts:\n  ~/sets: ${WHERE}\n  conf/one.json: ../one.json\n  ~/sky_workdir/far: ../sets/deep\n"
                  "run: |\n  cat ~/sets/deep/rows conf/one.json ~/sky_workdir/far/rows; ls -A ~/sets; echo new > ~/sky_workdir/model.pt\n"
                  "  echo $SKYPILOT_JOB_RANK $SKYPILOT_SETUP_NODE_RANK $SKYPILOT_CLUSTER_INFO\n")
        done = home.good("run", "task.yaml", "--infra", "rehearsal")
        lines = done.out.splitlines()
        assert lines[:4] == ["12", "{}", "12", "deep"] and lines[4].startswith("0 0 {") and '"cluster_name"' in lines[4], done.out
        assert "4 files" in done.err and "file_mounts: of " in done.err and ".netrc" in done.err, done.err
        results = home.home_of(home.newest())
        assert (results / "model.pt").read_text() == "new\n" and not (results / ".ferry-mounts").exists() and not (results / "conf").exists()
        home.nothing_left()


def test_a_mount_that_is_not_there_is_refused_before_anything_is_rented():
    with Home() as home:
        home.file("task.yaml", "file_mounts:\n  a: ./nowhere\n  ~/b: ~/.ssh\nrun: ls\n")
        (home.root / ".ssh").mkdir(exist_ok=True)
        done = home.ferry("run", "task.yaml", "--infra", "rehearsal", env={"HOME": str(home.root)})
        assert done.returncode == 125 and "task.yaml:2:6: file_mounts: there is no " in done.err, done.err
        assert "task.yaml:3:8: file_mounts: " in done.err and "which is never sent" in done.err, done.err
        assert home.runs("--all") == []


def test_a_home_folder_is_no_workdir():
    with Home() as home:
        for folder in (home.root, home.root.parent, "/"):
            done = home.ferry("run", "--infra", "rehearsal", "--no-check", "--workdir", str(folder), "--", "true")
            assert done.returncode == 125 and "the workdir is " in done.err and "--workdir FOLDER" in done.err, done.err


if __name__ == "__main__":
    main(globals())
