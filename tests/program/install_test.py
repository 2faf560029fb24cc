#!/usr/bin/env python3
"""What is installed and packed: cmake --install, cpack, install.sh."""
import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading

import lib
from lib import FERRY, Home, main

BUILD = pathlib.Path(FERRY).parent
ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = ("run", "plan", "ps", "logs", "fetch", "ssh", "cancel", "down", "gpus", "check")


def good(*command, **more):
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Installed:
    """A folder that stands for / of a computer: `usr` is the prefix in it."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ft."))
        good("cmake", "--install", BUILD, "--prefix", "/usr", env={**os.environ, "DESTDIR": str(self.root)})
        self.usr = self.root / "usr"
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def files(self):
        return sorted(str(one.relative_to(self.root)) for one in self.root.rglob("*") if one.is_file())


def test_what_is_installed_trains_and_is_all_there_is():
    with Installed() as at, Home() as home:
        papers = [
            f"usr/share/doc/ferry/{one.relative_to(ROOT / 'docs')}"
            for one in (ROOT / "docs").rglob("*")
            if one.is_file()
        ]
        assert at.files() == sorted(
            [
                "usr/bin/ferry",
                "usr/share/bash-completion/completions/ferry",
                "usr/share/fish/vendor_completions.d/ferry.fish",
                "usr/share/man/man1/ferry.1",
                "usr/share/zsh/site-functions/_ferry",
                *papers,
                *(
                    f"usr/share/doc/ferry/{name}"
                    for name in ("AGENTS.md", "LICENSE", "README.md", "copyright", "llms.txt")
                ),
            ]
        ), at.files()
        built, lib.FERRY = lib.FERRY, str(at.usr / "bin/ferry")
        try:
            home.good(
                "run",
                "--infra",
                "rehearsal",
                "--yes",
                "--",
                "sh",
                "-c",
                "mkdir outputs; echo trained >outputs/model.txt",
            )
            assert (home.home_of(home.newest()) / "outputs/model.txt").read_text() == "trained\n"
            home.nothing_left()
        finally:
            home.ferry("rehearsal", "stop")
            lib.FERRY = built


def test_the_manual_page_has_every_command_and_option_and_man_reads_it():
    with Installed() as at:
        page = at.usr / "share/man/man1/ferry.1"
        text = page.read_text()
        for command in COMMANDS:
            assert f'.SS "ferry {command}"' in text, command
        assert "rehearsal\\-instance" not in text, "what is not for people"
        read = text
        if shutil.which("man"):
            env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANPAGER": "cat"}
            done = subprocess.run(
                ["man", "--warnings", "-l", str(page)], env=env, capture_output=True, text=True, timeout=60, check=False
            )
            # Where documentation is left out of the system, man is a script that says so.
            if "minimized" not in done.stdout + done.stderr:
                assert done.returncode == 0 and not done.stderr, done.stderr
                read = done.stdout
                assert "train any ML model on AWS with one command" in read, read[:500]
        for option in good(at.usr / "bin/ferry", "run", "--help").split():
            option = option.split("=")[0].split(",")[-1]
            if option.startswith("--") and option[2:].replace("-", "").isalpha():
                assert option in read or option.replace("-", "\\-") in read, option


def test_completions_load_and_complete():
    with Installed() as at:
        path = {**os.environ, "PATH": f"{at.usr / 'bin'}:{os.environ['PATH']}"}
        bash = at.usr / "share/bash-completion/completions/ferry"
        asked = f'source "{bash}"; COMP_WORDS=(ferry run --det); COMP_CWORD=2; _ferry; echo "${{COMPREPLY[@]}}"'
        assert good("bash", "--norc", "-c", asked, env=path).split() == ["--detach"]
        zsh = (at.usr / "share/zsh/site-functions/_ferry").read_text()
        assert zsh.startswith("#compdef ferry\n") and "--detach" in zsh
        if shutil.which("zsh"):
            asked = (
                "compadd() { print -r -- ${(P)2}; }; _files() { : }; "
                f"fpath=({at.usr}/share/zsh/site-functions $fpath); words=(ferry run --det) CURRENT=3; "
                "autoload -Uz _ferry; _ferry"
            )
            assert "--detach" in good("zsh", "-f", "-c", asked, env=path).split()
        if shutil.which("fish"):
            good("fish", "--no-execute", at.usr / "share/fish/vendor_completions.d/ferry.fish")


def test_cpack_makes_an_archive_and_a_debian_package():
    if not shutil.which("cpack"):
        print("skip  no cpack here")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ft."))
    try:
        dated = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        for place in (folder, folder / "again"):
            good("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "TGZ", "-B", place, env=dated)
        (archive,), (again,) = folder.glob("ferry-*.tar.gz"), (folder / "again").glob("ferry-*.tar.gz")
        assert archive.read_bytes() == again.read_bytes(), "the same files make the same archive"
        with tarfile.open(archive) as packed:
            names = {name.split("/", 1)[1] for name in packed.getnames() if "/" in name}
        assert {"bin/ferry", "share/man/man1/ferry.1", "share/doc/ferry/LICENSE"} <= names, names
        if not (shutil.which("dpkg-deb") and shutil.which("dpkg-shlibdeps")):
            print("skip  the .deb: no dpkg-deb or dpkg-shlibdeps here")
            return
        good("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "DEB", "-B", folder)
        (package,) = folder.glob("ferry_*.deb")
        assert "./usr/bin/ferry\n" in good("dpkg-deb", "--contents", package)
        depends = good("dpkg-deb", "--field", package, "Depends")
        for needed in ("openssh-client", "libc6", "libcurl", "libsqlite3"):
            assert needed in depends, depends
        good("dpkg-deb", "--extract", package, folder / "unpacked")
        version = good(folder / "unpacked/usr/bin/ferry", "--version")
        assert version == f"ferry {good('dpkg-deb', '--field', package, 'Version')}", version
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Release:
    """What scripts/release makes, of the ferry that is tested, on a web server; and a person's home to install it
    in."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="ft."))
        self.home, self.files = self.root / "home", self.root / "files"
        self.files.mkdir()
        self.home.mkdir()
        self.name = f"ferry-linux-{os.uname().machine}"
        shutil.copy(FERRY, self.files / self.name)
        shutil.copy(ROOT / "scripts/install.sh", self.files)
        self.sums(self.name)
        handler = functools.partial(Quiet, directory=str(self.files))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.program = self.home / ".local/bin/ferry"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.root, ignore_errors=True)

    def sums(self, *names):
        (self.files / "SHA256SUMS").write_text(
            "".join(f"{hashlib.sha256((self.files / one).read_bytes()).hexdigest()}  {one}\n" for one in names)
        )

    def install(self, *flags, **env):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "SHELL": "/bin/bash",
            "USER": "someone",
            **env,
        }
        return subprocess.run(
            ["sh", str(self.files / "install.sh"), *flags],
            env=environment,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def left(self):
        return sorted(str(one.relative_to(self.home)) for one in self.home.rglob("*") if not one.is_dir())


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_the_installer_verifies_installs_tells_the_path_and_undoes():
    with Release() as release:
        done = release.install("--from", release.url)
        assert done.returncode == 0, done.stderr
        assert (
            "verified" in done.stdout and "not in your PATH" in done.stdout and "~/.bashrc" in done.stdout
        ), done.stdout
        assert release.left() == [
            ".local/bin/ferry",
            ".local/share/bash-completion/completions/ferry",
            ".local/share/fish/vendor_completions.d/ferry.fish",
            ".local/share/man/man1/ferry.1",
            ".local/share/zsh/site-functions/_ferry",
        ], release.left()
        assert good(release.program, "--version") == good(FERRY, "--version")
        # Again, from the files beside it, where the folder is in the PATH: nothing is said about that.
        done = release.install(PATH=f"{release.program.parent}:{os.environ['PATH']}")
        assert done.returncode == 0 and "PATH" not in done.stdout, done.stdout + done.stderr
        done = release.install("--uninstall")
        assert done.returncode == 0 and release.left() == [] and not release.program.parent.exists(), (
            done.stdout + done.stderr
        )


def test_the_installer_installs_nothing_that_is_not_what_it_should_be():
    with Release() as release:
        whole = (release.files / release.name).read_bytes()
        (release.files / release.name).write_bytes(whole[:-1])
        done = release.install("--from", release.url)
        assert done.returncode == 1 and "nothing was installed" in done.stderr and release.left() == [], done.stderr
        (release.files / release.name).write_bytes(whole)
        release.sums("install.sh")
        done = release.install("--from", release.url)
        assert done.returncode == 1 and "does not name" in done.stderr and release.left() == [], done.stderr
        done = release.install("--from", release.url + "/elsewhere")
        assert done.returncode == 1 and "could not be fetched" in done.stderr and release.left() == [], done.stderr
        # Somebody's own program of that name stays, when something is installed and when it is uninstalled.
        release.sums(release.name)
        release.program.parent.mkdir(parents=True, exist_ok=True)
        release.program.write_text("#!/bin/sh\necho theirs\n")
        release.program.chmod(0o755)
        for flags in (["--from", release.url], ["--uninstall"]):
            done = release.install(*flags)
            assert done.returncode == 1 and "no ferry" in done.stderr, done.stderr
        assert release.left() == [".local/bin/ferry"] and "theirs" in release.program.read_text()
        # What was cut on its way into sh does nothing.
        script = (release.files / "install.sh").read_text()
        cut = script[: script.rindex("main")]
        done = subprocess.run(
            ["sh"],
            input=cut,
            env={"PATH": os.environ["PATH"], "HOME": str(release.home / "other")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and not (release.home / "other").exists(), done.stderr


def test_a_packagers_flags_are_honoured_and_have_the_last_word():
    if not shutil.which("ninja"):
        print("skip  no ninja here")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ft."))
    try:
        flags = {**os.environ, "CXXFLAGS": "-D_FORTIFY_SOURCE=1 -fno-stack-protector -DPACKAGED"}
        good("cmake", "--preset", "release", "-B", folder, cwd=ROOT, env=flags)
        commands = [
            one["command"]
            for one in json.loads((folder / "compile_commands.json").read_text())
            if one["file"].endswith("apps/ferry.cc")
        ]
        for command in commands:
            words = command.split()
            assert "-DPACKAGED" in words and "-O2" in words and "-fPIE" in words, command
            assert words.index("-fstack-protector-strong") < words.index("-fno-stack-protector"), command
            assert [one for one in words if one.startswith("-D_FORTIFY")] == ["-D_FORTIFY_SOURCE=1"], command
            assert f"-ffile-prefix-map={folder}=." in words, command
        assert commands
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_timer_of_systemd_is_written_and_removed():
    with Home() as home:
        config = home.root / "co%n fig"
        # No systemd of whoever runs the tests is reached.
        env = {
            "XDG_CONFIG_HOME": str(config),
            "XDG_RUNTIME_DIR": str(home.root),
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
            "AWS_PROFILE": 'my "own" $x',
        }
        assert "not installed" in home.good("service", "status", env=env).out
        done = home.ferry("service", "install", env=env)
        assert done.returncode == 1 and "systemctl --user enable --now ferry.timer" in done.out, done.out + done.err
        units = config / "systemd/user"
        text = (units / "ferry.service").read_text()
        assert (
            f'ExecStart="{FERRY}" ps --quiet' in text
            and "KillMode=process" in text
            and 'AWS_PROFILE=my \\"own\\" $$x' in text
            and "co%%n fig" in text
        ), text
        if shutil.which("systemd-analyze"):
            done = subprocess.run(
                ["systemd-analyze", "--user", "verify", units / "ferry.timer", units / "ferry.service"],
                capture_output=True,
                text=True,
                env={**os.environ, **env},
                check=False,
            )
            complaints = [line for line in done.stderr.splitlines() if "ferry." in line]
            assert complaints == [], done.stderr
        assert json.loads(home.ferry("service", "status", "--json", env=env).out)["installed"]
        home.good("service", "uninstall", env=env)
        assert list(units.iterdir()) == []


if __name__ == "__main__":
    if not (BUILD / "CPackConfig.cmake").exists() or not (BUILD / "generated/man").exists():
        print("SKIP: this ferry is not in its build folder, or was built with sanitizers")
        sys.exit(77)
    if not shutil.which("cmake"):
        print("SKIP: no cmake here")
        sys.exit(77)
    main(globals())
