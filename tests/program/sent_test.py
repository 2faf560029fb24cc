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


def test_a_home_folder_is_no_workdir():
    with Home() as home:
        for folder in (home.root, home.root.parent, "/"):
            done = home.ferry("run", "--infra", "rehearsal", "--no-check", "--workdir", str(folder), "--", "true")
            assert done.returncode == 125 and "the workdir is " in done.err and "--workdir FOLDER" in done.err, done.err


if __name__ == "__main__":
    main(globals())
