#!/usr/bin/env python3
"""The way of rehearsal machines to the internet: through this computer, to a package index of the test's own on
loopback. Nobody outside is ever asked."""
import contextlib
import http.server
import pathlib
import tempfile
import threading
import zipfile

from lib import Home, main

TRAIN = "import ferrytiny\nprint('trained with', ferrytiny.version)\n"
# Asks the way out as a program does that heeds no no_proxy; prints the answer's status and reason.
ASK = """import http.client, sys, urllib.parse, os
proxy = urllib.parse.urlsplit(os.environ.get("https_proxy") or "http://127.0.0.2:3128")
for place in sys.argv[1:]:
    try:
        line = http.client.HTTPConnection(proxy.hostname, proxy.port, timeout=60)
        line.request("GET", "http://" + place + "/")
        answer = line.getresponse()
        print(place, answer.status, answer.reason)
    except OSError as error:
        print(place, "nothing there")
"""


def wheel(folder, name, version):
    info = f"{name}-{version}.dist-info"
    file = pathlib.Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return file


@contextlib.contextmanager
def index():
    """A package index (PEP 503) on a port of its own, and what was asked of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = wheel(folder, "ferrytiny", "1.0")
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers.get("Authorization", "")))
                if self.path == "/simple/ferrytiny/":
                    kind, body = (
                        "text/html",
                        '<!DOCTYPE html><html><body>'
                        f'<a href="/files/{file.name}">{file.name}</a></body></html>'.encode(),
                    )
                elif self.path == f"/files/{file.name}":
                    kind, body = "application/octet-stream", file.read_bytes()
                elif self.path == "/":
                    kind, body = "text/plain", b"a service of this computer"
                else:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            server.server_close()


class Laptop(Home):
    """One whose person said nothing against the internet."""

    def __init__(self, **env):
        super().__init__()
        del self.env["FERRY_NO_INTERNET"]
        self.env.update(env)

    def train(self, *args, **more):
        return self.ferry("run", "--infra", "rehearsal", *args, "--", "python", "train.py", **more)

    def texts(self):
        """All that ferry wrote down of its own, but for what is private to the cloud and its machines."""
        for path in self.root.rglob("*"):
            if path.is_file() and not {"instances", "ways-out"} & set(path.parts):
                yield path, path.read_bytes()


def install_and_find_again(home, asked):
    home.file("train.py", TRAIN)
    home.file("requirements.txt", "ferrytiny==1.0\n")
    done = home.train()
    assert done.returncode == 0 and "trained with 1.0" in done.out, done.out + done.err
    assert "requirements.txt installed" in done.err, done.err
    assert any(path.endswith(".whl") for path, _ in asked), asked
    assert {who for path, who in asked} == {"Basic bWU6c2VjcmV0d29yZA=="}, asked
    seen = len(asked)
    done = home.train()
    assert done.returncode == 0 and "trained with 1.0" in done.out and "as installed before" in done.err, (
        done.out + done.err
    )
    assert len(asked) == seen, asked[seen:]
    return done


def test_a_package_of_the_persons_own_index_is_installed_and_the_next_rehearsal_finds_it():
    with index() as (port, asked), Laptop(PIP_INDEX_URL=f"http://me:secretword@127.0.0.1:{port}/simple") as home:
        done = install_and_find_again(home, asked)
        if home.sandbox() != "plain":
            assert (
                "reach the internet through this computer: pip, apt, git (not with --no-internet); "
                f"named besides: 127.0.0.1:{port}" in done.err
            ), done.err
        status = home.good("rehearsal", "status").out
        assert "internet   rehearsal machines" in status and "of environments and caches, in" in status, status
        told = [str(path) for path, text in home.texts() if b"secretword" in text]
        assert not told, f"the index's password is in {told}"
        home.good("rehearsal", "stop", "--forget")
        assert not [one for one in (home.root / "data/ferry/rehearsal").iterdir() if one.name in ("kept", "ways-out")]


def test_an_index_of_pip_conf_is_reached_from_the_sandbox_of_an_ordinary_user():
    with index() as (port, asked), Laptop(FERRY_SANDBOX="user") as home:  # where the kernel lets it be had
        config = home.root / ".config/pip/pip.conf"
        config.parent.mkdir(parents=True)
        config.write_text(f"[global]\nindex-url = http://me:secretword@127.0.0.1:{port}/simple\n")
        home.file(
            "train.py",
            "import os, urllib.request\nurl = os.environ['PIP_INDEX_URL'].replace('me:secretword@', '')\n"
            "print(urllib.request.urlopen(url + '/ferrytiny/').read())\n",
        )
        done = home.train()
        assert done.returncode == 0 and "ferrytiny-1.0-py3-none-any.whl" in done.out and asked, done.out + done.err


def test_what_is_not_named_of_this_computer_is_refused_and_what_is_named_is_reached():
    with index() as (port, _), index() as (other, _), Laptop() as home:
        home.file(
            "train.py",
            ASK.replace(
                "sys.argv[1:]",
                repr([f"127.0.0.1:{port}", f"127.0.0.1:{other}", f"localhost:{other}", "169.254.169.254:80"]),
            ),
        )
        done = home.train("--reach", f"127.0.0.1:{port}")
        if home.sandbox() == "plain":
            assert "share this computer's network" in done.err, done.err
            return
        lines = done.out.splitlines()
        assert lines[0] == f"127.0.0.1:{port} 200 OK", done.out + done.err
        for place, why, line in zip(
            (f"127.0.0.1:{other}", f"localhost:{other}", "169.254.169.254:80"),
            ("this computer itself", "this computer itself", "a link-local address"),
            lines[1:],
        ):
            assert line == (
                f"{place} 403 Forbidden (ferry: {place} is {why}, which rehearsal machines do not reach; "
                f"allow it with --reach {place})"
            ), done.out


def test_without_internet_there_is_no_way_and_check_says_what_cannot_be_installed():
    with index() as (port, asked), Laptop(PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple") as home:
        home.file("train.py", TRAIN)
        home.file("requirements.txt", "numpy\nferrytiny==1.0  # ours\n")
        done = home.train("--no-internet", "--budget", "0.000001")  # the plan ends it
        assert (
            "! check" in done.err and "requirements.txt:2: ferrytiny==1.0 is not on this computer" in done.err
        ), done.err
        assert "numpy is not" not in done.err and "--no-internet" in done.err, done.err
        assert done.returncode != 0 and "launch" not in done.err, done.out + done.err
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("rehearsal: {internet: false}\n")
        (home.work / "requirements.txt").unlink()
        home.file("train.py", ASK.replace("sys.argv[1:]", repr([f"127.0.0.1:{port}"])))
        done = home.train()
        if home.sandbox() == "plain":
            assert "config.yaml only keeps proxies and package indexes from them" in done.err, done.err
            return
        assert not asked and "config.yaml" in home.good("rehearsal", "status").out, asked
        assert (
            done.out == f"127.0.0.1:{port} nothing there\n"
            and "have no way to the internet (rehearsal: {internet: false} in config.yaml)" in done.err
        ), (done.out + done.err)


def test_a_training_that_lacked_a_module_ends_with_the_line_to_write():
    with Laptop() as home:
        home.file("train.py", "import sys\nsys.path.clear()\nimport sklearn.svm\nfrom torch.utils import tensorboard\n")
        done = home.train("--no-internet")
        assert (
            done.returncode == 1
            and (
                "train.py:3: nothing in the workdir provides sklearn (no requirements.txt line, no setup; "
                "write  scikit-learn  into one)"
            )
            in done.err
        ), done.err
        assert (
            "train.py:4: nothing in the workdir provides torch.utils.tensorboard (no requirements.txt line, no setup; "
            "write  tensorboard  into one)" in done.err
        ), done.err
        assert done.err.rstrip().endswith(
            "sklearn was not there: write  scikit-learn  into requirements.txt, or  setup: pip install scikit-learn"
        ), done.err


def test_the_words_are_judged_before_anything_starts():
    with Laptop() as home:
        home.file("train.py", "print(1)\n")
        done = home.train("--reach", "localhost")
        assert done.returncode != 0 and "--reach localhost:8080" in done.err, done.err
        done = home.ferry("run", "--infra", "aws", "--no-internet", "--", "true")
        assert done.returncode != 0 and "for rehearsals" in done.err, done.err
        assert not (home.root / "data/ferry/rehearsal/server.log").exists()


if __name__ == "__main__":
    main(globals())
