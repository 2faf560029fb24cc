#!/usr/bin/env python3
"""What is installed and packed: cmake --install, cpack."""
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import lib
from lib import FERRY, Home, main

BUILD = pathlib.Path(FERRY).parent
COMMANDS = ("run", "plan", "ps", "logs", "fetch", "ssh", "cancel", "down", "gpus", "check")


def good(*command, **more):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, **more)
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
        assert at.files() == ["usr/bin/ferry", "usr/share/bash-completion/completions/ferry", "usr/share/doc/ferry/LICENSE",
                              "usr/share/doc/ferry/README.md", "usr/share/fish/vendor_completions.d/ferry.fish",
                              "usr/share/man/man1/ferry.1", "usr/share/zsh/site-functions/_ferry"], at.files()
        built, lib.FERRY = lib.FERRY, str(at.usr / "bin/ferry")
        try:
            home.good("run", "--infra", "rehearsal", "--yes", "--", "sh", "-c", "mkdir outputs; echo trained >outputs/model.txt")
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
            done = subprocess.run(["man", "--warnings", "-l", str(page)], env=env, capture_output=True, text=True, timeout=60, check=False)
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
            asked = f"compadd() {{ print -r -- ${{(P)2}}; }}; _files() {{ : }}; fpath=({at.usr}/share/zsh/site-functions $fpath); words=(ferry run --det) CURRENT=3; autoload -Uz _ferry; _ferry"
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


if __name__ == "__main__":
    if not (BUILD / "CPackConfig.cmake").exists() or not (BUILD / "generated/man").exists():
        print("SKIP: this ferry is not in its build folder, or was built with sanitizers")
        sys.exit(77)
    if not shutil.which("cmake"):
        print("SKIP: no cmake here")
        sys.exit(77)
    main(globals())
