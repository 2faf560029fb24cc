#!/usr/bin/env python3
"""The environment that a training gets: src/run/environment.sh, run by bash as on a machine, and in whole runs."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from lib import Home, main

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "src/run/environment.sh"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """A home and a workdir; `ask` is what ferry asks."""

    def __init__(self, folder):
        self.home, self.work = pathlib.Path(folder) / "home", pathlib.Path(folder) / "work"
        self.home.mkdir()
        self.work.mkdir()

    def ask(self, kind="auto", name="", file="", path=PATH):
        activate = self.home / "run-env.sh"
        with open(SCRIPT) as script:
            done = subprocess.run(["bash", "-s", kind, name, file, str(activate)], stdin=script, cwd=self.work, capture_output=True, text=True,
                                  env={"HOME": str(self.home), "PATH": path, "PIP_NO_INDEX": "1"})
        facts = {}
        if "ferry-env:" in done.stdout:
            facts = json.loads(done.stdout.rsplit("ferry-env:", 1)[1])
        return done, facts

    def in_it(self, command):
        return subprocess.run(["bash", "-c", f". {self.home}/run-env.sh\n{command}"], cwd=self.work, capture_output=True, text=True,
                              env={"HOME": str(self.home), "PATH": PATH})


def wheel(folder, name, version):
    """A package small enough to be written by hand, so that nothing is fetched."""
    info = f"{name}-{version}.dist-info"
    file = pathlib.Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file


def test_without_wishes_it_is_the_systems_python_and_python_is_a_name_for_it():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        done, facts = machine.ask()
        assert done.returncode == 0 and facts["python"].startswith("3."), done.stderr
        assert machine.in_it("python -c 'print(6*7)'").stdout == "42\n"


def test_requirements_that_are_met_install_nothing():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        (machine.work / "requirements.txt").write_text("numpy>=1.0\n# a remark\n")
        done, facts = machine.ask()
        assert facts["made"] == "requirements.txt met", (facts, done.stderr)
        assert not [one for one in (machine.home / ".ferry/envs").iterdir()]


def test_requirements_are_installed_once_and_found_again_by_content():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        (machine.work / "requirements.txt").write_text(f"{wheel(folder, 'ferrytiny', '1.0')}\nnumpy\n")
        done, facts = machine.ask()
        if "install python3-venv" in done.stderr:
            return
        assert done.returncode == 0 and facts["made"] == "requirements.txt installed", done.stderr
        assert machine.in_it("python -c 'import ferrytiny, numpy; print(ferrytiny.version)'").stdout == "1.0\n"
        done, facts = machine.ask()
        assert facts["made"] == "requirements.txt as installed before", facts
        (machine.work / "requirements.txt").write_text(f"{wheel(folder, 'ferrytiny', '2.0')}\n")
        _, facts = machine.ask()
        assert facts["made"] == "requirements.txt installed"
        assert machine.in_it("python -c 'import ferrytiny; print(ferrytiny.version)'").stdout == "2.0\n"


def test_what_cannot_be_installed_fails_with_the_tools_words_and_leaves_nothing_half_made():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        (machine.work / "requirements.txt").write_text("ferry-no-such-package==1\n")
        done, _ = machine.ask()
        assert done.returncode == 1 and "ferry-no-such-package" in done.stderr, done.stderr
        assert not [one for one in (machine.home / ".ferry/envs").iterdir() if one.is_dir()]
        assert machine.ask("none")[0].returncode == 0 and machine.ask("present")[0].returncode == 0


def test_an_environment_that_is_there_is_chosen_by_name_and_by_what_the_code_imports():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        for name, package in (("pytorch_p310", "torch"), ("tensorflow2_p310", "tensorflow")):
            prefix = machine.home / "miniconda3/envs" / name
            (prefix / "bin").mkdir(parents=True)
            (prefix / "bin/python").symlink_to("/usr/bin/python3")
            (prefix / "lib/python3.10/site-packages" / package).mkdir(parents=True)
        (machine.home / "miniconda3/bin").mkdir()
        (machine.home / "miniconda3/bin/conda").write_text("#!/bin/sh\n")
        (machine.home / "miniconda3/bin/conda").chmod(0o755)
        (machine.work / "train.py").write_text("import tensorflow as tf\n")
        assert machine.ask()[0].returncode == 0
        assert "tensorflow2_p310" in (machine.home / "run-env.sh").read_text()
        assert machine.ask(name="pytorch_p310")[0].returncode == 0
        assert "pytorch_p310" in (machine.home / "run-env.sh").read_text()
        done, _ = machine.ask(name="nothing")
        assert done.returncode == 1 and "pytorch_p310" in done.stderr, done.stderr


def test_a_run_tells_what_its_training_sees():
    with Home() as home:
        done = home.good("run", "--infra", "rehearsal", "--", "python", "-c", "print('here')")
        assert done.out == "here\n" and "setup     python 3." in done.err, done.err
        assert "\npython       3." in home.good("env").out and home.good("env").out.startswith("image        ami-"), home.good("env").out
        done = home.good("run", "--infra", "rehearsal", "--", "sh", "-c", "echo much > $FERRY_SCRATCH/data && cat $FERRY_SCRATCH/data")
        assert done.out == "much\n" and "scratch" not in done.err, done.err
        home.file("requirements.txt", "ferry-no-such-package==1\n")
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "environment cannot be had" in done.err, done.err
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
