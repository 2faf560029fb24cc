#!/usr/bin/env python3
"""What goes over to the machine, what stays at home, and what is said of it before anything is rented."""
import base64
import http.server
import json
import subprocess
import threading

from lib import Home, main

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    + "b3BlbnNzaC1rZXktdjEtbm90LWEtcmVhbC1rZXk\n" * 4
    + "-----END OPENSSH PRIVATE KEY-----\n"
)


def git(home, *words):
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=home.work,
        env=home.env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


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
        home.file(
            "train.py",
            "import os\nprint(sorted(os.listdir('.')), open('data/rows').read().strip(), "
            "os.environ['FERRY_GIT_DIRTY'])\n",
        )
        done = home.ferry("run", "--infra", "rehearsal", "--", "python", "train.py")
        assert done.returncode == 125 and "train.py:2 reads data/rows, which would not be sent" in done.err, done.err
        assert "outside the workdir" in done.err and "--follow" in done.err, done.err
        assert home.runs("--all") == [], "nothing was begun"

        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "--follow",
            "--",
            "sh",
            "-c",
            "python train.py; echo $FERRY_GIT_BRANCH $FERRY_GIT_COMMIT",
        )
        assert (
            done.out
            == "['.gitignore', 'data', 'kept.csv', 'train.py'] 12 1\n" + f"topic {git(home, 'rev-parse', 'HEAD')}\n"
        ), done.out
        assert "left out by .gitignore: large/ (2 B)" in done.err, done.err
        assert ".aws/ (AWS credentials), my.pem (a private key)" in done.err and "!/.aws/" in done.err, done.err

        home.file(".ferryignore", "!/my.pem\n")
        done = home.good("run", "--infra", "rehearsal", "--", "ls", "-A")
        assert "my.pem\n" in done.out and ".aws" not in done.out, done.out
        home.nothing_left()


def test_a_git_repository_is_the_workdir_at_the_commit_that_was_asked_for():
    with Home() as home:
        home.file("train.py", "import os\nprint('old', os.environ['FERRY_GIT_COMMIT'])\n")
        git(home, "init", "-q", "-b", "main")
        git(home, "add", "train.py")
        git(home, "commit", "-q", "-m", "one")
        first = git(home, "rev-parse", "HEAD")
        git(home, "tag", "v1")
        home.file(
            "train.py",
            "import os\nprint('new', os.environ['FERRY_GIT_COMMIT'])\nos.makedirs('outputs', exist_ok=True)\n"
            "open('outputs/m', 'w').write('x')\n",
        )
        git(home, "commit", "-q", "-a", "-m", "two")
        second = git(home, "rev-parse", "HEAD")
        home.file("train.py", "print('not committed')\n")
        home.file("task.yaml", f"workdir:\n  url: file://{home.work}\n  ref: main\nrun: python train.py\n")
        planned = json.loads(home.good("plan", "task.yaml", "--infra", "rehearsal", "--json").out)
        assert planned["git"] == {"url": f"file://{home.work}", "ref": "main"}, planned
        assert not (home.root / "cache/ferry/git").exists(), "a plan clones nothing"
        done = home.good("run", "task.yaml", "--infra", "rehearsal")
        assert done.out == f"new {second}\n" and second in done.err, (done.out, done.err)
        run = home.newest()["run"]
        assert run.startswith("work-") and (home.work / "runs" / run / "outputs/m").exists(), run
        record = json.loads((home.work / "runs" / run / "run.json").read_text())
        assert (
            record["git"]["commit"] == second
            and record["git"]["url"] == f"file://{home.work}"
            and record["git"]["ref"] == "main"
        ), record["git"]
        assert f"file://{home.work} at main  {second}" in home.good("show", run).out

        home.file("task.yaml", "workdir: {url: ., ref: v1}\nrun: python train.py\n")
        assert home.good("run", "task.yaml", "--infra", "rehearsal").out == f"old {first}\n"
        home.file("task.yaml", "workdir: {url: ., ref: v11}\nrun: python train.py\n")
        done = home.ferry("run", "task.yaml", "--infra", "rehearsal")
        assert done.returncode == 125 and "task.yaml:1:1: " in done.err and "did you mean 'v1'?" in done.err, done.err
        assert len(home.runs("--all")) == 2
        home.nothing_left()


class Askers(http.server.BaseHTTPRequestHandler):
    """A server of private repositories: it wants a password, and remembers which it got."""

    def do_GET(self):
        self.server.got.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_private_repository_is_asked_for_with_its_login_which_nobody_sees():
    with Home() as home:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Askers)
        server.got = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}/lab/code.git"
        home.file(
            "task.yaml",
            f"secrets: {{TOKEN: null}}\nworkdir: {{url: 'http://me:$TOKEN@{address}'}}\nrun: python train.py\n",
        )
        done = home.ferry("run", "task.yaml", "--infra", "rehearsal", env={"TOKEN": "hush-hush"})
        assert done.returncode == 125 and "Authentication failed" in done.err and "GIT_TOKEN" in done.err, done.err
        assert f"Basic {base64.b64encode(b'me:hush-hush').decode()}" in server.got, server.got
        home.file("task.yaml", f"workdir: {{url: 'http://{address}'}}\nrun: python train.py\n")
        done = home.ferry("run", "task.yaml", "--infra", "rehearsal", timeout=60)  # nobody waits for a password
        assert done.returncode == 125 and "could not read Username" in done.err, done.err
        server.shutdown()
        written = b"".join(p.read_bytes() for p in home.root.rglob("*") if p.is_file())
        assert b"hush-hush" not in written and "hush-hush" not in done.err
        assert home.runs("--all") == []


def test_mounts_go_over_beside_the_workdir_and_are_no_outputs():
    with Home() as home:
        (home.root / "sets/deep").mkdir(parents=True)
        (home.root / "sets/deep/rows").write_text("12\n")
        (home.root / "sets/.netrc").write_text("machine x password y\n")
        (home.root / "one.json").write_text("{}\n")
        home.file(
            "task.yaml",
            "envs: {WHERE: ../sets}\nfile_mounts:\n  ~/sets: ${WHERE}\n  conf/one.json: ../one.json\n"
            "  ~/sky_workdir/far: ../sets/deep\n"
            "run: |\n  cat ~/sets/deep/rows conf/one.json ~/sky_workdir/far/rows; ls -A ~/sets; "
            "echo new > ~/sky_workdir/model.pt\n"
            "  echo $SKYPILOT_JOB_RANK $SKYPILOT_SETUP_NODE_RANK $SKYPILOT_CLUSTER_INFO\n",
        )
        done = home.good("run", "task.yaml", "--infra", "rehearsal")
        lines = done.out.splitlines()
        assert (
            lines[:4] == ["12", "{}", "12", "deep"] and lines[4].startswith("0 0 {") and '"cluster_name"' in lines[4]
        ), done.out
        assert "4 files" in done.err and "file_mounts: of " in done.err and ".netrc" in done.err, done.err
        results = home.home_of(home.newest())
        assert (
            (results / "model.pt").read_text() == "new\n"
            and not (results / ".ferry-mounts").exists()
            and not (results / "conf").exists()
        )
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
