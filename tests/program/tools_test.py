#!/usr/bin/env python3
"""The conda and uv branches of src/job/environment.sh against STAND-INS: neither tool is on every computer. They take
exactly the arguments that the tools' manuals list, refuse all others, and make an environment with nothing in it. The
real tools were not run."""
import pathlib
import tempfile
import zipfile

from environment_test import PATH, Machine
from lib import main

# conda env create [-q] [-p PREFIX] [-f FILE] [--format FORMAT]: docs.conda.io, commands/env/create
CONDA = r"""#!/bin/bash
echo "conda $*" >>"$HOME/words"
die() { echo "CondaError: $*" >&2; exit 2; }
[ "$1 $2" = "env create" ] || die "usage"
shift 2
[ "$1" != --help ] || {
  echo "usage: conda env create [-h] [-f FILE] [-n ENVIRONMENT | -p PATH] [--format FORMAT] [-q]"
  exit
}
file=environment.yml prefix= format=
while [ $# -gt 0 ]; do
  case $1 in
    -q) shift ;;
    -p) prefix=$2; shift 2 ;;
    -f) file=$2; shift 2 ;;
    --format) format=$2; shift 2 ;;
    *) die "unrecognized arguments: $1" ;;
  esac
done
[ -f "$file" ] || die "EnvironmentFileNotFound: $file"
case $(basename "$file") in
  environment.yml | environment.yaml) ;;
  *) [ "$format" = environment-yaml ] || die "custom filenames require --format" ;;
esac
[ -n "$prefix" ] && [ ! -e "$prefix" ] || die "prefix already exists: $prefix"
! grep -q no-such-package "$file" || die "PackagesNotFoundError: no-such-package"
mkdir -p "$prefix/bin" "$prefix/conda-meta" &&
  ln -s /usr/bin/python3 "$prefix/bin/python" && ln -s /usr/bin/python3 "$prefix/bin/python3"
"""
# As conda's own, it uses variables that may not be set.
PROFILE = r"""conda() {
  [ "$1" = activate ] && [ -d "$2/conda-meta" ] || return 1
  CONDA_PROMPT=$CONDA_NEVER_SET
  export CONDA_PREFIX=$2 PATH=$2/bin:$PATH
}
"""
# conda-lock install [--conda EXE] [--dev/--no-dev] [-p/--prefix PREFIX] [LOCK_FILE]: conda.github.io/conda-lock/cli/gen
CONDA_LOCK = r"""#!/bin/bash
echo "conda-lock $*" >>"$HOME/words"
[ "$1 $2 $4 $5" = "install --conda --no-dev --prefix" ] && [ -x "$3" ] && [ $# = 7 ] || {
  echo "Usage: conda-lock install [OPTIONS] [LOCK_FILE]" >&2
  exit 2
}
case $7 in *conda-lock.yml) ;; *) echo "is no unified lockfile: $7" >&2; exit 1 ;; esac
[ -f "$7" ] && mkdir -p "$6/bin" "$6/conda-meta" &&
  ln -s /usr/bin/python3 "$6/bin/python" && ln -s /usr/bin/python3 "$6/bin/python3"
"""
# uv sync, uv venv and uv pip install: docs.astral.sh/uv/reference/cli; UV_PROJECT_ENVIRONMENT: reference/environment
UV = r"""#!/bin/bash
echo "uv $*" >>"$HOME/words"
die() { echo "error: $*" >&2; exit 2; }
case "$1 $2" in
  "sync --frozen")
    [ "$3 $4" = "--no-dev --project" ] && [ $# = 5 ] || die "unexpected argument"
    [ -f "$5/uv.lock" ] && [ -f "$5/pyproject.toml" ] || die "No pyproject.toml found"
    case $UV_PROJECT_ENVIRONMENT in /*) ;; *) die "would be relative to the workspace" ;; esac
    [ ! -e "$UV_PROJECT_ENVIRONMENT" ] || die "is not a virtual environment"
    python3 -m venv --without-pip "$UV_PROJECT_ENVIRONMENT"
    for site in "$UV_PROJECT_ENVIRONMENT"/lib/python3*/site-packages; do (cd "$5" && pwd) >"$site/editable.pth"; done ;;
  "venv -q")
    [ "$3 $4" = "--system-site-packages --python" ] && [ $# = 6 ] && [ -x "$5" ] || die "unexpected argument"
    "$5" -m venv --without-pip --system-site-packages "$6" ;;
  "pip install")
    [ "$3" = --python ] && [ -x "$4" ] || die "unexpected argument"
    case "$5" in -r) [ -f "$6" ] ;; *) [ -f "$5/pyproject.toml" ] ;; esac || die "nothing to install" ;;
  *) die "unrecognized subcommand" ;;
esac
"""


class Tools(Machine):
    def program(self, path, text):
        path = self.home / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def with_conda(self):
        self.base = self.home / "miniforge3"
        self.program("miniforge3/bin/conda", CONDA)
        self.program("miniforge3/etc/profile.d/conda.sh", PROFILE)
        (self.base / "bin/python").symlink_to("/usr/bin/python3")
        return self

    def words(self):
        file = self.home / "words"
        return file.read_text() if file.exists() else ""

    def prefix(self):
        return self.in_it("echo $CONDA_PREFIX$VIRTUAL_ENV").stdout.strip()


def machine(test):
    """A machine of its own for each test."""

    def run():
        with tempfile.TemporaryDirectory() as folder:
            test(Tools(folder))

    return run


def program_wheel(folder, name, text):
    """What `pip install NAME` fetches: a program, as uv comes."""
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl", "w") as archive:
        plain = name.replace("-", "_")
        program = zipfile.ZipInfo(f"{plain}-1.0.data/scripts/{name}")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, text)
        archive.writestr(f"{plain}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{plain}-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{plain}-1.0.dist-info/RECORD", "")


@machine
def test_an_environment_yml_is_made_once_and_activated_as_conda_does(here):
    here.with_conda()
    (here.work / "environment.yml").write_text("name: mine\ndependencies: [python]\n")
    done, facts = here.ask()
    assert done.returncode == 0 and facts["made"] == "environment.yml installed", done.stderr
    assert here.prefix().startswith(str(here.home / ".ferry/envs")), here.prefix()
    assert here.ask()[1]["made"] == "environment.yml as installed before"
    (here.work / "environment.yml").write_text("name: mine\ndependencies: [python, no-such-package]\n")
    done, _ = here.ask()
    assert done.returncode == 1 and "PackagesNotFoundError" in done.stderr, done.stderr


@machine
def test_a_file_of_another_name_is_condas_and_says_its_format(here):
    here.with_conda()
    (here.work / "gpu.yaml").write_text("dependencies: [python]\n")
    done, facts = here.ask("conda", "vision", "gpu.yaml")
    assert (
        done.returncode == 0 and facts["made"] == "gpu.yaml installed" and "--format environment-yaml" in here.words()
    ), done.stderr


@machine
def test_a_named_environment_that_is_there_is_meant_unless_a_file_is_named(here):
    here.with_conda()
    for folder in ("bin", "conda-meta"):
        (here.base / "envs/vision" / folder).mkdir(parents=True)
    (here.base / "envs/vision/bin/python").symlink_to("/usr/bin/python3")
    (here.work / "environment.yml").write_text("dependencies: [python]\n")
    assert here.ask("conda", "vision")[0].returncode == 0 and here.prefix() == str(here.base / "envs/vision")
    assert here.ask("conda", "vision", "environment.yml")[1]["made"] == "environment.yml installed"
    assert here.ask("conda", "other")[1]["made"] == "environment.yml as installed before"


@machine
def test_a_conda_lock_is_installed_by_condas_own_and_conda_lock_is_fetched_where_it_is_not(here):
    here.with_conda()
    (here.work / "conda-lock.yml").write_text("version: 1\n")
    program_wheel(here.home, "conda-lock", CONDA_LOCK)
    (here.home / ".config/pip").mkdir(parents=True)
    (here.home / ".config/pip/pip.conf").write_text(f"[global]\nfind-links = {here.home}\n")
    done, facts = here.ask()
    if "cannot make a venv" in done.stderr or "ensurepip" in done.stderr:
        return
    assert done.returncode == 0 and facts["made"] == "conda-lock.yml installed", done.stderr
    assert f"--conda {here.base}/bin/conda" in here.words() and not (here.base / "bin/pip").exists()


@machine
def test_a_uv_lock_is_synced_for_this_run_alone_for_it_holds_the_workdirs_code(here):
    here.program("bin/uv", UV)
    (here.work / "sub").mkdir()
    for name in ("uv.lock", "pyproject.toml"):
        (here.work / "sub" / name).write_text("[project]\nname = 'mine'\n")
    (here.work / "sub/minecode.py").write_text("answer = 42\n")
    done, facts = here.ask(file="sub/uv.lock", path=f"{here.home}/bin:{PATH}")
    assert done.returncode == 0 and facts["made"] == "sub/uv.lock installed", done.stderr
    assert here.in_it("cd / && python -c 'import minecode; print(minecode.answer)'").stdout == "42\n"
    assert not list((here.home / ".ferry/envs").iterdir()), "kept for other runs, whose code is another"


@machine
def test_uv_is_fetched_where_it_is_not(here):
    for name in ("uv.lock", "pyproject.toml"):
        (here.work / name).write_text("[project]\nname = 'mine'\n")
    done, _ = here.ask()
    assert done.returncode == 1 and "uv.lock needs uv" in done.stderr, done.stderr
    program_wheel(here.home, "uv", UV)
    (here.home / ".config/pip").mkdir(parents=True)
    (here.home / ".config/pip/pip.conf").write_text(f"[global]\nfind-links = {here.home}\n")
    done, facts = here.ask()
    if "ensurepip" not in done.stderr:
        assert done.returncode == 0 and facts["made"] == "uv.lock installed", done.stderr


@machine
def test_pip_comes_before_uv_which_does_not_see_what_the_image_has_unless_uv_is_asked_for(here):
    here.program("bin/uv", UV)
    (here.work / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\ndependencies = []\n")
    path = f"{here.home}/bin:{PATH}"
    done, facts = here.ask("uv", path=path)
    assert done.returncode == 0 and facts["made"] == "pyproject.toml installed", done.stderr
    assert "uv venv -q --system-site-packages" in here.words() and "uv pip install" in here.words(), here.words()
    (here.home / "words").write_text("")
    (here.work / "requirements.txt").write_text("ferry-no-such-package\n")
    assert here.ask(path=path)[0].returncode == 1
    assert "uv" not in here.words() or "ensurepip" in here.ask(path=path)[0].stderr


@machine
def test_what_a_requirements_file_names_counts_to_its_content(here):
    here.program("bin/uv", UV)
    path = f"{here.home}/bin:{PATH}"
    (here.work / "requirements.txt").write_text("-r more.txt\n")
    for text, made in (
        ("a-thing\n", "installed"),
        ("a-thing\n", "as installed before"),
        ("b-thing\n", "installed"),
        ("-r requirements.txt\n", "installed"),
    ):
        (here.work / "more.txt").write_text(text)
        done, facts = here.ask("uv", file="requirements.txt", path=path)
        assert facts.get("made") == "requirements.txt " + made, (text, done.stderr)


if __name__ == "__main__":
    main(globals())
