#!/usr/bin/env python3
"""A folder of 5,000 awkward files goes up and comes back byte for byte, with modes and links."""
import os
import pathlib
import random

from lib import Home, main

COUNT = 5000


def fill(root: bytes):
    dice = random.Random(5)
    folders = [root]
    for i in range(300):
        name = dice.choice(
            [
                b"plain",
                b"with space",
                b"new\nline",
                b"caf\xc3\xa9",
                b"bad\xff\xfe",
                b"-dash",
                b"quote'\"",
                b"$HOME",
                b"*",
                b"a" * 200,
            ]
        )
        folder = os.path.join(dice.choice(folders[-40:]), name + b"-%d" % i)
        if len(folder) < 3000:
            os.mkdir(folder)
            folders.append(folder)
    for i in range(COUNT):
        folder = dice.choice(folders)
        name = (
            dice.choice(
                [
                    b"f",
                    b"tab\there",
                    b"\x01\x02",
                    b"emoji\xf0\x9f\x98\x80",
                    b"semi;colon",
                    b"back\\slash",
                    b".hidden",
                    b" lead",
                ]
            )
            + b"%d" % i
        )
        path = os.path.join(folder, name)
        kind = dice.random()
        if kind < 0.05:
            os.symlink(dice.choice([b"nowhere", b"../..", b"/etc/passwd", b"f1"]), path)
        else:
            with open(path, "wb") as file:
                file.write(dice.randbytes(dice.choice([0, 1, 10, 1000, 5000])))
            os.chmod(path, dice.choice([0o644, 0o600, 0o755, 0o444, 0o700]))
    os.mkdir(os.path.join(root, b"empty"))
    locked = os.path.join(root, b"read only")
    os.mkdir(locked)
    with open(os.path.join(locked, b"inside"), "wb") as file:
        file.write(b"x")
    os.chmod(locked, 0o555)


def look(root: bytes):
    seen = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            key = os.path.relpath(path, root)
            if os.path.islink(path):
                seen[key] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                seen[key] = ("folder", info.st_mode & 0o777)
            else:
                with open(path, "rb") as file:
                    seen[key] = ("file", info.st_mode & 0o777, file.read())
    return seen


def test_five_thousand_awkward_files_come_back_as_they_went():
    with Home() as home:
        fill(os.fsencode(home.work))
        before = look(os.fsencode(home.work))
        assert len(before) > COUNT
        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "--workdir",
            ".",
            "--results",
            "../results",
            "-o",
            "**",
            "--",
            "true",
            timeout=300,
        )
        after = look(os.fsencode(next(p for p in (home.root / "results").iterdir() if p.is_dir())))
        after.pop(b"train.log")
        after.pop(b"run.json")
        assert after.keys() == before.keys(), (before.keys() ^ after.keys(), done.err)
        different = [key for key in before if before[key] != after[key]]
        assert not different, different[:5]
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
