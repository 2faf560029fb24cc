#!/usr/bin/env python3
"""The environment that a training gets: src/job/environment.sh, run by bash as on a machine, and in whole runs."""
import json
import os
import pathlib
import re
import subprocess
import tarfile
import sys
import tempfile
import zipfile

from lib import Home, main

SCRIPTS = "".join(
    (pathlib.Path(__file__).resolve().parents[2] / "src/job" / name).read_text()
    for name in ("environment_key.sh", "environment_facts.sh", "environment.sh")
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


ORDER = (
    "uv.lock",
    "conda-lock.yml",
    "environment.yml",
    "environment.yaml",
    "requirements.txt",
    "pyproject.toml",
    "setup.py",
)  # as job/requirements.cc has it
OF = {"conda": ORDER[1:4], "venv": ORDER[4:], "uv": ("uv.lock", "pyproject.toml", "setup.py")}


class Machine:
    """A home and a workdir; `ask` is what ferry asks."""

    def __init__(self, folder):
        self.home, self.work = pathlib.Path(folder) / "home", pathlib.Path(folder) / "work"
        self.home.mkdir()
        self.work.mkdir()

    def ask(self, kind="auto", name="", file="", path=PATH, rented=False, calls="", found=None):
        activate = self.home / "run-env.sh"
        found = found or next(
            (
                one
                for one in ORDER
                if (self.work / one).exists() and (kind in ("auto", "present", "none") or one in OF[kind])
            ),
            "",
        )
        done = subprocess.run(
            ["bash", "-s", kind, name, file, str(activate), str(int(rented)), "", found, calls],
            input=SCRIPTS,
            cwd=self.work,
            capture_output=True,
            text=True,
            env={"HOME": str(self.home), "PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"},
        )
        facts = {}
        if "ferry-env:" in done.stdout:
            facts = json.loads(done.stdout.rsplit("ferry-env:", 1)[1])
        return done, facts

    def in_it(self, command):
        return subprocess.run(
            ["bash", "-c", f". {self.home}/run-env.sh\n{command}"],
            cwd=self.work,
            capture_output=True,
            text=True,
            env={"HOME": str(self.home), "PATH": PATH},
        )

    def project(self, files):
        """Another workdir, as another run has it."""
        self.work = pathlib.Path(tempfile.mkdtemp(dir=self.home.parent))
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        return self

    def content(self, file="requirements.txt", tool="pip"):
        """What the environment's key knows of a file: the script's own function."""
        function = re.search(r"^content_of\(\) \{.*?^\}$", SCRIPTS, re.M | re.S).group(0)
        done = subprocess.run(
            ["bash", "-c", f'{function}\ncontent_of python3 "$1" "$2"', "-", tool, file],
            cwd=self.work,
            capture_output=True,
            text=True,
            env={"HOME": str(self.home), "PATH": PATH},
        )
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.strip()


def wheel(folder, name, version, text=None):
    """A package small enough to be written by hand, so that nothing is fetched."""
    info = f"{name}-{version}.dist-info"
    file = pathlib.Path(folder) / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", text or f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
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


SETUP = "from setuptools import setup\nsetup(name='ferrypk', version='1.0', py_modules=['ferrypk'])\n"
IMPORT = "cd / && python -c 'import ferrypk; print(ferrypk.answer)'"


def code(answer, folder="pk"):
    return {f"{folder}/setup.py": SETUP, f"{folder}/ferrypk.py": f"answer = {answer}\n"}


def test_code_of_the_workdir_is_installed_as_it_is_now_wherever_a_line_names_it():
    nested = {"requirements.txt": "-r reqs/base.txt\n", "reqs/base.txt": "./pk\n"}
    editable = {"requirements.txt": "-r reqs/base.txt\n", "reqs/base.txt": "# ours\n-e ./pk\n"}
    plain = {"requirements.txt": "libs/pk\n"}
    for lines, folder in ((nested, "pk"), (editable, "pk"), (plain, "libs/pk")):
        with tempfile.TemporaryDirectory() as root:
            machine = Machine(root)
            for answer in (1, 2) if lines != plain else (1,):  # another project, or the same after an edit
                former = machine.work
                machine.project({**lines, **code(answer, folder)})
                done, facts = machine.ask()
                if "install python3-venv" in done.stderr:
                    return
                assert done.returncode == 0 and facts["made"] == "requirements.txt installed", done.stderr
                assert machine.in_it(IMPORT).stdout == f"{answer}\n", (lines, answer)
                subprocess.run(["rm", "-rf", former], check=True)  # as when that run has gone
            if lines == plain:
                (machine.work / folder / "ferrypk.py").write_text("answer = 33\n")
                assert machine.ask()[0].returncode == 0 and machine.in_it(IMPORT).stdout == "33\n"
            assert not list((machine.home / ".ferry/envs").iterdir()), "kept for others, whose code is another"


def test_packages_in_files_and_folders_count_by_their_content_and_are_kept():
    def sdist(folder, answer):
        file = folder / "ferrypk-1.0.tar.gz"
        for name, text in code(answer, "ferrypk-1.0").items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        with tarfile.open(file, "w:gz") as archive:
            archive.add(folder / "ferrypk-1.0", "ferrypk-1.0")
        return file

    def same_name_in_a_folder(work, answer):
        (work / "wheels").mkdir()
        wheel(work / "wheels", "ferrypk", "1.0", f"answer = {answer}\n")
        return "--find-links wheels\nferrypk\n"

    def source_at_one_place(work, answer):
        return str(sdist(work.parent, answer)) + "\n"

    for lines in (same_name_in_a_folder, source_at_one_place):
        with tempfile.TemporaryDirectory() as root:
            machine = Machine(root)
            for answer in (1, 2):
                machine.project({})
                (machine.work / "requirements.txt").write_text(lines(machine.work, answer))
                done, facts = machine.ask()
                if "install python3-venv" in done.stderr:
                    return
                assert done.returncode == 0 and facts["made"] == "requirements.txt installed", done.stderr
                assert machine.in_it(IMPORT).stdout == f"{answer}\n", (lines, answer)
                assert machine.ask()[1]["made"] == "requirements.txt as installed before"


def test_the_key_holds_every_file_that_a_line_leads_to():
    with tempfile.TemporaryDirectory() as root:
        machine = Machine(root)
        outside = pathlib.Path(root) / "outside 1.txt"
        outside.write_text("a\n")
        for lines, changed in (
            (
                {
                    "requirements.txt": "-r a.txt",
                    "a.txt": "-rb/b.txt",
                    "b/b.txt": "-r c.txt",
                    "b/c.txt": "-r d.txt",
                    "b/d.txt": "numpy",
                },
                "b/d.txt",
            ),
            ({"requirements.txt": "numpy\n-c c.txt # tight", "c.txt": "numpy==1"}, "c.txt"),
            ({"requirements.txt": "numpy \\\n  -c c.txt", "c.txt": "numpy==1"}, "c.txt"),
            (
                {"requirements.txt": "numpy\n--constraint=sub/c.txt", "sub/c.txt": "-r more.txt", "sub/more.txt": "a"},
                "sub/more.txt",
            ),
            (
                {"requirements.txt": "-f wheels\npk8", "wheels/pk8-1.0-py3-none-any.whl": "a"},
                "wheels/pk8-1.0-py3-none-any.whl",
            ),
            ({"requirements.txt": "--find-links=wheels", "wheels/deep/x.whl": "a"}, "wheels/deep/x.whl"),
            ({"requirements.txt": "-i file:index\npk8", "index/pk8/index.html": "a"}, "index/pk8/index.html"),
            (
                {"requirements.txt": "pk8-1.0-py3-none-any.whl", "pk8-1.0-py3-none-any.whl": "a"},
                "pk8-1.0-py3-none-any.whl",
            ),
            (
                {"requirements.txt": "pk8 @ file:libs/pk8.whl#sha256=00 ; python_version > '3'", "libs/pk8.whl": "a"},
                "libs/pk8.whl",
            ),
            ({"requirements.txt": "pk8[more]@file:./libs/pk8.whl", "libs/pk8.whl": "a"}, "libs/pk8.whl"),
            ({"requirements.txt": f"-r 'file://{str(outside).replace(' ', '%20')}'"}, outside),
            (
                {"requirements.txt": "-r ${FOLDER_NOT_SET}/a.txt\n./libs/pk8.whl[x]", "libs/pk8.whl": "a"},
                "libs/pk8.whl",
            ),
            (
                {"environment.yml": "dependencies:\n  - python\n  - pip:\n    - -r more.txt", "more.txt": "a"},
                "more.txt",
            ),
            (
                {"environment.yml": 'dependencies: [python, {pip: ["-r more.txt", "numpy"]}]', "more.txt": "a"},
                "more.txt",
            ),
        ):
            machine.project(lines)
            file = next(iter(lines))
            tool = "pip" if file.endswith(".txt") else "conda"
            before = machine.content(file, tool)
            assert len(before) >= 64 and machine.content(file, tool) == before, (lines, before)
            (machine.work / changed).write_text("changed")
            assert machine.content(file, tool) != before, lines
        for lines in (
            {"requirements.txt": "pk", "pk/x": "a"},
            {"requirements.txt": "numpy[extra]==1.0 ; python_version > '3'\ngit+https://x/y@z\nhttps://x/pk8.whl"},
        ):
            assert len(machine.project(lines).content()) == 64, lines  # names of packages, not of folders


def test_what_is_built_from_the_workdirs_code_is_the_runs_own():
    with tempfile.TemporaryDirectory() as root:
        machine = Machine(root)
        for line in (
            ".",
            "-e .",
            "-e.",
            ".[dev]",
            "./pk[dev]",
            "pk/",
            "libs/../pk",
            "--editable=./pk",
            "file:pk",
            "file:./pk#egg=pk",
            "pk @ file:pk",
            "git+file:///somewhere/pk",
            "-e git+https://x/y#egg=y",
            "-f ..",
            "-f page.html",
            str(pathlib.Path(root).resolve()),
        ):
            machine.project({"requirements.txt": line, "pk/setup.py": "", "page.html": ""})
            (machine.work / "libs").mkdir()
            assert machine.content() == "own", line
        machine.project({"requirements.txt": "-r a.txt", "a.txt": "-r requirements.txt\n-r b.txt", "b.txt": "../pk"})
        (machine.home.parent / "pk").mkdir()
        assert machine.content() == "own"
        machine.project({"environment.yml": "dependencies:\n  - pip:\n    - -e .\nprefix: /tmp\n"})
        assert machine.content("environment.yml", "conda") == "own"
        machine.project({"environment.yml": "dependencies: [python]\nprefix: /tmp\n"})
        assert machine.content("environment.yml", "conda") != "own"
        assert machine.content("pyproject.toml", "project") == "own" and machine.content("uv.lock", "uv") == "own"


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


def test_keras_is_installed_on_a_rented_machine_where_the_code_imports_it_and_nothing_provides_it():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        pip = machine.home / ".config/pip"
        pip.mkdir(parents=True)
        (pip / "pip.conf").write_text(f"[global]\nfind-links = {machine.home}/wheels\n")
        (machine.work / "train.py").write_text("import os\nimport keras\n")
        if subprocess.run(["/usr/bin/python3", "-c", "import keras"], capture_output=True, cwd=folder).returncode == 0:
            return
        done, facts = machine.ask(rented=True)
        assert done.returncode == 0 and facts["made"] == "tensorflow could not be installed", (facts, done.stderr)
        (machine.home / "wheels").mkdir()
        wheel(machine.home / "wheels", "tensorflow", "2.99")
        assert machine.ask()[1]["made"] == "", "a machine of one's own is left as it is"
        assert machine.ask("none", rented=True)[1]["made"] == machine.ask("present", rented=True)[1]["made"] == ""
        assert machine.ask(rented=True)[1]["made"] == "tensorflow installed"
        assert machine.in_it("python -c 'import tensorflow'").returncode == 0
        assert machine.ask(rented=True)[1]["made"] == "tensorflow as installed before"


def test_what_is_installed_unasked_goes_by_what_the_code_imports():
    functions = "\n".join(
        re.search(rf"^{name}\(\) \{{.*?^\}}$", SCRIPTS, re.M | re.S).group(0)
        for name in ("wanted_framework", "implied_packages")
    )
    for code, expected in (
        ("import keras\n", "tensorflow"),
        ("from tensorflow.keras import layers\n", "tensorflow"),
        ("import keras\nimport tensorflow\n", "tensorflow"),
        ("import torch\nimport keras\n", "keras"),
        ("import torch\nimport tensorflow\n", ""),
        ("import torch\n", ""),
        ("import keras_tuner\n", ""),
        ("try:\n    import keras\nexcept ImportError:\n    pass\n", ""),
    ):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "train.py").write_text(code)
            for rented, kind, wanted in ((1, "auto", expected), (0, "auto", ""), (1, "none", ""), (1, "present", "")):
                done = subprocess.run(
                    ["bash", "-uc", f"rented={rented} kind={kind}\n{functions}\nimplied_packages false"],
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    env={"PATH": PATH},
                )
                assert done.returncode == 0 and done.stdout.strip() == wanted, (code, rented, kind, done)


def test_what_setup_installs_with_pip_goes_into_a_venv_of_the_runs_own():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        made = wheel(folder, "made_here", "1.0")
        done, facts = machine.ask("present", calls="pip")
        assert done.returncode == 0 and facts["made"] == "a venv of the run's own", done.stderr
        got = machine.in_it(
            f"pip install -q {made} && python -c 'import made_here, sys; print(made_here.version, sys.prefix)'"
        )
        assert got.stdout.split() == ["1.0", str(machine.home / "run/env")], got
        # On top of what the machine has.
        assert (machine.home / "run/env/pyvenv.cfg").read_text().count("include-system-site-packages = true") == 1
        for kind, calls in (("none", "pip"), ("present", ""), ("present", "pip conda")):
            assert "venv" not in machine.ask(kind, calls=calls)[1]["made"], (kind, calls)


# Stand-ins for GitHub and for what comes from it.
FETCHER = """#!/bin/sh
for word do last=$word; done
echo "$last" >>"$HOME/fetched"
[ ! -e "$HOME/offline" ] || exit 6
while [ "$1" != -o ]; do shift; done
cat >"$2" <<'END'
mkdir -p "$3/bin" "$3/etc/profile.d" "$3/conda-meta"
printf '#!/bin/sh\necho made by conda\n' >"$3/bin/conda"
chmod +x "$3/bin/conda"
echo 'conda() { echo "conda function $*"; }' >"$3/etc/profile.d/conda.sh"
END
"""


def test_conda_is_there_for_scripts_that_call_it_or_the_run_ends_before_them():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        (machine.home / "bin").mkdir()
        (machine.home / "bin/curl").write_text(FETCHER)
        (machine.home / "bin/wget").write_text("#!/bin/sh\nexit 4\n")
        for name in ("curl", "wget"):
            (machine.home / "bin" / name).chmod(0o755)
        path = f"{machine.home / 'bin'}:{PATH}"
        # On a computer that is not rented nothing is installed unasked.
        assert (
            machine.ask("present", path=path, calls="conda")[0].returncode == 0
            and not (machine.home / "fetched").exists()
        )
        (machine.home / "offline").touch()
        done, _ = machine.ask("present", path=path, calls="conda", rented=True)
        assert done.returncode == 1 and "calls conda, which is not on this machine" in done.stderr, done.stderr
        assert not (machine.home / ".ferry/tools/conda").exists(), "nothing half made"
        (machine.home / "offline").unlink()
        for _ in range(2):
            assert machine.ask("present", path=path, calls="pip conda", rented=True)[0].returncode == 0
        assert len((machine.home / "fetched").read_text().split()) == 2, "installed once"
        assert "Miniforge3-Linux-" in (machine.home / "fetched").read_text()
        assert machine.in_it("conda activate x").stdout == "conda function activate x\n"
        assert "/.ferry/tools/conda/bin/conda" in machine.in_it("type -P conda").stdout


def test_a_scripts_own_list_of_packages_is_installed_and_kept():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(folder)
        made = wheel(folder, "made_here", "1.0")
        block = f'# /// script\n# requires-python = ">=3.9"\n# dependencies = [\n#   "{made}",  # a wheel\n# ]\n# ///\n'
        (machine.work / "train.py").write_text(block + "import made_here\n")
        done, facts = machine.ask(found="train.py")
        assert done.returncode == 0 and facts["made"] == "what the script asks for installed", done.stderr
        assert machine.in_it("python train.py").returncode == 0
        assert machine.ask(found="train.py")[1]["made"] == "what the script asks for as installed before"
        (machine.work / "later.py").write_text(block.replace(">=3.9", ">=4.1") + "import made_here\n")
        done, _ = machine.ask(found="later.py")
        assert (
            done.returncode != 0
            and "the script is for Python >=4.1 (requires-python), and this machine's is Python 3." in done.stderr
        ), done.stderr


def test_a_run_tells_what_its_training_sees():
    with Home() as home:
        done = home.good("run", "--infra", "rehearsal", "--", "python", "-c", "print('here')")
        assert done.out == "here\n" and "setup     python 3." in done.err, done.err
        assert "\npython       3." in home.good("env").out and home.good("env").out.startswith(
            "image        ami-"
        ), home.good("env").out
        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo much > $FERRY_SCRATCH/data && tee outputs/data < $FERRY_SCRATCH/data",
        )
        assert done.out == "much\n" and "scratch" not in done.err, done.err
        home.file("requirements.txt", "ferry-no-such-package==1\n")
        done = home.ferry("run", "--infra", "rehearsal", "--", "true")
        assert done.returncode == 125 and "environment cannot be had" in done.err, done.err
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
