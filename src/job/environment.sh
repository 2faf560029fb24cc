# Finds or makes the environment a training gets. Runs under bash on the machine, in the workdir, behind scratch.sh,
# container.sh, environment_key.sh and environment_facts.sh:
#   bash -s KIND NAME FILE ACTIVATE RENTED NAMES FOUND CALLS [OPTION…]
# KIND      auto, conda, venv, uv, docker, none; or present: as auto, but nothing is installed
# NAME      of an environment that is there already (conda name, or a folder), of a docker image, or empty
# FILE      what the task asks for (requirements.txt, environment.yml, Dockerfile, …), or empty: what the workdir has
# ACTIVATE  is written: a file that puts the environment in place when sourced; its name ends in -env.sh, and the folder
#           beside it of the same name without that end is the run's own
# RENTED    1: the machine is ours alone, so that disks may be formatted and system packages installed; otherwise 0
# NAMES     of the task's variables, in one word
# FOUND     what the workdir has (run/wishes.h), or empty: nothing
# CALLS     what setup and run install with: pip, conda, both in one word, or empty
# OPTION…   for docker run, one word each: --NAME or --NAME=VALUE
# Progress is told on standard error, one line each. Standard output has one line "ferry-scratch:FOLDER TAB BYTES TAB
# NOTE", and its last line is "ferry-env:" and JSON. What is made lies in ~/.ferry/envs/HASH, by content: a second run
# with the same wishes installs nothing. HASH is of all that the wishes lead to on this machine: nested files,
# constraints, wheels, folders of wheels. What is built from code of the workdir, or points into it, is made for this
# run alone.
set -u
kind=$1 name=$2 file=$3 activate=$4 rented=${5:-0} names=${6:-} found=${7:-} calls=" ${8:-} " run_options=("${@:9}")
envs=$HOME/.ferry/envs own_folder=${activate%-env.sh}
scratch=${scratch:-}
say() { printf '%s\n' "$*" >&2; }
give_up() {
  say "$*"
  exit 1
}

# Sets conda_root, where conda is; fails if it is nowhere.
conda_root=''
find_conda() {
  local conda
  [ -z "$conda_root" ] || return 0
  where_is conda || REPLY=
  for conda in "${CONDA_EXE:-}" "$REPLY" "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge}/bin/conda \
    /opt/{conda,miniconda3,anaconda3,miniforge3}/bin/conda "$HOME/.ferry/tools/conda/bin/conda"; do
    [ -n "$conda" ] && [ -x "$conda" ] && conda_root=$(dirname "$(dirname "$(readlink -f "$conda")")") && return 0
  done
  return 1
}
conda_base() { find_conda && echo "$conda_root"; }

calls() { # PROGRAM
  [ "$kind" != none ] && [ "${calls/ $1 /}" != "$calls" ]
}

# For scripts that call conda, on a machine of ours that has none. check has told of it before anything was rented.
provide_conda() {
  local folder=$HOME/.ferry/tools/conda installer
  [ "$rented" = 1 ] && ! find_conda || return 0
  say "installing conda (Miniforge)"
  installer=https://github.com/conda-forge/miniforge/releases/latest/download/Miniforge3-Linux-$(uname -m).sh
  mkdir -p "$HOME/.ferry/tools"
  rm -rf "$folder"
  { curl -fsSL --retry 3 -o "$folder.sh" "$installer" || wget -q -O "$folder.sh" "$installer"; } >&2 &&
    bash "$folder.sh" -b -p "$folder" >&2 || {
    rm -rf "$folder"
    give_up "setup or run calls conda, which is not on this machine, and Miniforge could not be installed from" \
      "github.com: use pip in setup, or an image that has conda (--image docker:IMAGE)"
  }
  rm -f "$folder.sh"
}

# Sets present: the folders of environments that are there, venvs under /opt, then conda's by name.
find_environments() {
  local folder
  present=()
  for folder in /opt/*/; do
    [ ! -x "$folder/bin/python" ] || [ ! -e "$folder/pyvenv.cfg" ] || present+=("${folder%/}")
  done
  find_conda || return 0
  for folder in "$conda_root"/envs/*/ "$HOME"/.conda/envs/*/; do
    [ ! -x "$folder/bin/python" ] || present+=("${folder%/}")
  done
}

has_package() { # PREFIX PACKAGE
  local found
  for found in "$1"/lib/python3*/site-packages/"$2" "$1"/lib/python3*/dist-packages/"$2"; do
    [ -e "$found" ] && return 0
  done
  return 1
}

wanted_framework() {
  local framework
  for framework in torch tensorflow jax mxnet; do
    grep -rqsE --include='*.py' "^[[:space:]]*(import|from)[[:space:]]+$framework([[:space:].]|\$)" . &&
      echo "$framework" && return
  done
}

# Sets base: the folder whose bin/python is built upon; empty: the system's python3.
choose_base() {
  local folder framework present names
  base=''
  find_environments
  if [ -n "$name" ]; then
    [ ! -x "$name/bin/python" ] || base=$name
    for folder in ${present[@]+"${present[@]}"}; do
      [ -n "$base" ] || [ "${folder##*/}" != "$name" ] || base=$folder
    done
    [ -n "$base" ] || [ "$name" != base ] || ! find_conda || base=$conda_root
    names=(${present[@]+"${present[@]##*/}"})
    [ -n "$base" ] || give_up "there is no environment '$name' here; there ${present[0]+are: }${names[*]-is none}"
    return
  fi
  [ "${#present[@]}" -gt 0 ] && framework=$(wanted_framework) && [ -n "$framework" ] || return 0
  for folder in "${present[@]}"; do [ -n "$base" ] || ! has_package "$folder" "$framework" || base=$folder; done
}

# What the workdir asks for: "conda FILE", "uv FILE", "pip FILE", "project FILE" or nothing.
wish_of() {
  case $1 in
    *.yml | *.yaml) echo "conda $1" ;;
    *uv.lock) echo "uv $1" ;;
    *pyproject.toml | *setup.py) echo "project $1" ;;
    *.py)
      mkdir -p "$own_folder" && script_wishes "$1" >"$own_folder/script-requirements.txt" &&
        echo "pip $own_folder/script-requirements.txt"
      ;;
    ?*) echo "pip $1" ;;
  esac
}

# The dependencies that a script names in its comment block (PEP 723), one a line; the Pythons it is for go to
# own_folder.
script_wishes() { # SCRIPT
  python3 - "$1" "$own_folder/script-python" <<'PYTHON'
import re, sys
text = open(sys.argv[1], encoding="utf-8", errors="replace").read()
block = re.search(r"(?m)^# /// script$\s((?:^#(?:| .*)$\s)+)^# ///$", text)
lines = block.group(1).splitlines(True) if block else []
lines = "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
try:
    import tomllib
    table = tomllib.loads(lines)
    wishes, pythons = table.get("dependencies", []), table.get("requires-python", "")
except ImportError:
    pythons = "".join(re.findall(r"(?m)^requires-python\s*=\s*[\"']([^\"']*)[\"']", lines)[:1])
    found = re.search(r"(?ms)^dependencies\s*=\s*\[(.*?)^?\]\s*$", lines)
    wishes = [one[0] or one[1] for one in re.findall(r"\"([^\"]*)\"|'([^']*)'", found.group(1))] if found else []
open(sys.argv[2], "w").write(pythons)
print("\n".join(wishes))
PYTHON
}

# Fails if PYTHON is none of those that the script is for.
is_meant() { # PYTHON
  [ -s "$own_folder/script-python" ] || return 0
  "$1" - "$own_folder/script-python" <<'PYTHON'
import platform, sys
try:
    from packaging.specifiers import SpecifierSet
except ImportError:
    try:
        from pip._vendor.packaging.specifiers import SpecifierSet
    except ImportError:
        sys.exit(0)
try:
    wanted = SpecifierSet(open(sys.argv[1]).read(), prereleases=True)
except ValueError:  # nothing that could be kept
    sys.exit(0)
sys.exit(platform.python_version() not in wanted)
PYTHON
}

find_wish() {
  case $kind in none | present) return 0 ;; esac
  [ -z "$file" ] || [ -e "$file" ] || give_up "the environment's file does not exist: $file"
  wish_of "${file:-$found}"
}

# Tells the requirements of FILE that PYTHON's packages do not meet; fails if there are any.
unmet() { # PYTHON FILE
  "$1" - "$2" <<'PYTHON'
import sys
import importlib.metadata as metadata
try:
    from packaging.requirements import Requirement
except ImportError:
    try:
        from pip._vendor.packaging.requirements import Requirement
    except ImportError:
        sys.exit(1)
missing = []
for line in open(sys.argv[1], encoding="utf-8"):
    line = line.split(" #")[0].strip()
    if not line or line.startswith("#"):
        continue
    try:
        wish = Requirement(line)
        if wish.marker and not wish.marker.evaluate():
            continue
        met = not wish.url and wish.specifier.contains(metadata.version(wish.name), prereleases=True)
    except Exception:
        met = False
    if not met:
        missing.append(line)
print(", ".join(missing[:8]))
sys.exit(1 if missing else 0)
PYTHON
}

new_venv() { # PYTHON FOLDER OPTION…
  local python=$1 folder=$2
  shift 2
  "$python" -m venv "$@" "$folder" >&2 && return
  rm -rf "$folder"
  "$python" -m virtualenv -q "$@" "$folder" >&2 2>/dev/null && return
  # Ubuntu's server images have python3 without it.
  [ "$rented" = 1 ] && command -v apt-get >/dev/null && install_packages python3-venv &&
    "$python" -m venv "$@" "$folder" >&2 && return
  rm -rf "$folder"
  return 1
}

install_packages() { # DEBIAN-PACKAGE…
  say "installing $*"
  sudo -n apt-get update -q >&2 &&
    sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o DPkg::Lock::Timeout=300 "$@" >&2
}

make_venv() { # PYTHON BASE FOLDER
  # uv does not see what the base has, and would fetch it again: it is for those who ask for it, or have nothing else.
  if [ "$kind" = uv ] && command -v uv >/dev/null; then
    uv venv -q --system-site-packages --python "$1" "$3" >&2 || return 1
  elif ! new_venv "$1" "$3" --system-site-packages; then
    command -v uv >/dev/null && uv venv -q --system-site-packages --python "$1" "$3" >&2 ||
      { say "python3 cannot make a venv here: install python3-venv, or set environment: none"; return 1; }
  fi
  # A venv made from a venv does not see its packages by itself.
  if [ -n "$2" ] && [ -e "$2/pyvenv.cfg" ]; then
    local site
    for site in "$3"/lib/python3*/site-packages; do echo "$2"/lib/python3*/site-packages >"$site/_ferry_base.pth"; done
  fi
}

install_into() { # FOLDER WHAT…
  local folder=$1
  shift
  if [ "$kind" != uv ] && "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    "$folder/bin/python" -m pip install --disable-pip-version-check --no-input "$@" >&2
  else
    uv pip install --python "$folder/bin/python" "$@" >&2
  fi
}

# Where PROGRAM is; it comes into a folder of its own if it is nowhere.
tool() { # PROGRAM PYTHON
  local folder=$HOME/.ferry/tools/$1
  command -v "$1" && return
  if [ ! -x "$folder/bin/$1" ]; then
    say "installing $1"
    new_venv "$2" "$folder" &&
      "$folder/bin/python" -m pip install -q --disable-pip-version-check --no-input "$1" >&2 || {
      rm -rf "$folder"
      say "$1 is not on this machine, and could not be installed"
      return 1
    }
  fi
  echo "$folder/bin/$1"
}

make_by_conda() { # FILE FOLDER
  local base program format=()
  base=$(conda_base) || { say "$1 needs conda, which is not on this machine"; return 1; }
  case $(basename "$1") in
    *conda-lock.yml)
      program=$(PATH=$PATH:$base/bin tool conda-lock "$base/bin/python") || return 1
      "$program" install --conda "$base/bin/conda" --no-dev --prefix "$2" "$1" >&2
      return
      ;;
    environment.yml | environment.yaml) ;;
    # Newer ones know what a file is by these two names only.
    *) "$base/bin/conda" env create --help 2>/dev/null | grep -q -- '--format' && format=(--format environment-yaml) ;;
  esac
  "$base/bin/conda" env create -q ${format[@]+"${format[@]}"} -p "$2" -f "$1" >&2
}

make_environment() { # TOOL FILE BASE PYTHON FOLDER
  local program
  case $1 in
    pip) make_venv "$4" "$3" "$5" && install_into "$5" -r "$2" ;;
    project) make_venv "$4" "$3" "$5" && install_into "$5" "$(dirname "$2")" ;;
    uv)
      program=$(tool uv "$4") || {
        say "$2 needs uv: install it on the machine, or write a requirements.txt"
        return 1
      }
      UV_PROJECT_ENVIRONMENT=$5 "$program" sync --frozen --no-dev --project "$(dirname "$2")" >&2
      ;;
    conda) make_by_conda "$2" "$5" ;;
  esac
}

# What the code imports and no image of AWS's has, where the workdir asks for nothing: keras and TensorFlow. A training
# that imports torch computes with that; its keras is told so.
implied_packages() { # PYTHON
  local framework
  [ "$rented" = 1 ] && [ "$kind" != present ] && [ "$kind" != none ] || return 0
  framework=$(grep -rhsoE --include='*.py' '^(import|from)[[:space:]]+(tensorflow|keras)([[:space:].,]|$)' . |
    grep -oE 'tensorflow|keras' | sort -u | tail -n 1)
  [ -n "$framework" ] || return 0
  ! "$1" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec(sys.argv[1]))' "$framework" \
    2>/dev/null || return 0
  if [ "$(wanted_framework)" = torch ]; then
    [ "$framework" = tensorflow ] || echo keras
  elif command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
    echo 'tensorflow[and-cuda]'
  else
    echo tensorflow
  fi
}

# Sets folder, where the environment of that key is or will be; one run at a time makes it.
take_turn() { # KEY
  folder=$envs/$1
  exec 8>"$folder.lock"
  command -v flock >/dev/null && ! flock -n 8 && say "another run is making this environment; waiting for it" && flock 8
  return 0
}

# Sets folder and made. That it cannot be had does not end the run: the training may do without.
install_implied() { # PACKAGES PYTHON
  local key
  key=$({ echo "implied $1 $base"; "$2" -V; } 2>&1 | sha256sum | cut -c1-16)
  take_turn "$key"
  made="$1 as installed before"
  [ ! -e "$folder/.complete" ] || return 0
  say "installing $1"
  rm -rf "$folder"
  if make_venv "$2" "$base" "$folder" && install_into "$folder" "$1"; then
    touch "$folder/.complete"
    made="$1 installed"
    return 0
  fi
  rm -rf "$folder"
  folder=$base made="$1 could not be installed"
  say "$made"
}

# Sets folder and made: what setup and run install with pip goes into a venv of the run's own, on top of what is there;
# the system's Python lets nothing in (PEP 668), and nobody else's environment is changed.
own_venv() {
  folder=$own_folder/env
  rm -rf "$folder"
  mkdir -p "$own_folder"
  if make_venv "$python" "$base" "$folder"; then
    made="a venv of the run's own"
  else
    folder=$base
  fi
}

write_activation() { # FOLDER (empty: the system's)
  {
    if calls conda && find_conda; then
      # `conda activate` is a function of the shell; `source activate` is found by PATH.
      printf '. %q\nexport PATH="$PATH":%q\n' "$conda_root/etc/profile.d/conda.sh" "$conda_root/bin"
    fi
    if [ -n "$1" ] && [ -d "$1/conda-meta" ] && [ -e "$(conda_base)/etc/profile.d/conda.sh" ]; then
      printf '. %q\nconda activate %q\n' "$(conda_base)/etc/profile.d/conda.sh" "$1"
    elif [ -n "$1" ]; then
      printf 'export VIRTUAL_ENV=%q PATH=%q:"$PATH"\nunset PYTHONHOME\n' "$1" "$1/bin"
    elif ! command -v python >/dev/null && where_is python3; then
      # People write `python train.py`; not every system has that name.
      [ "$HOME/.ferry/names/python" -ef "$REPLY" ] || {
        mkdir -p "$HOME/.ferry/names" && ln -sfn "$REPLY" "$HOME/.ferry/names/python"
      }
      printf 'export PATH="$PATH":%q\n' "$HOME/.ferry/names"
    fi
  } >>"$activate"
}

prepare_scratch() {
  ! declare -F offer_scratch >/dev/null || offer_scratch "$rented" "$own_folder/scratch"
  [ -n "$scratch" ] || return 0
  printf 'ferry-scratch:%s\t%s\t%s\n' "$scratch" "$scratch_bytes" "${scratch_note//[$'\t\n']/ }"
  printf 'export FERRY_SCRATCH=%q\n' "$scratch" >>"$activate"
}

# Sets base and python: what is built upon.
choose_python() { # WISH
  base='' python=''
  # conda makes its own from a file.
  case $1 in conda*) return ;; esac
  choose_base
  python=${base:+$base/bin/python}
  [ -n "$python" ] || ! where_is python3 || python=$REPLY
}

main() {
  umask 077
  [ -d "$envs" ] && [ -d "${activate%/*}" ] || mkdir -p "$envs" "${activate%/*}"
  local here=$PWD
  cd -P "$envs" && envs=$PWD  # they hold their own paths, and a plain rehearsal's are behind a link
  cd "$here" || exit 1
  : >"$activate"
  prepare_scratch
  if [ "$kind" = docker ]; then
    train_in_container
    return
  fi
  local wish='' tool asked shown base python content implied=
  ! calls conda || provide_conda
  [ -z "$file$found" ] || wish=$(find_wish) || exit 1
  # An environment that is named and there is meant, unless a file is named, too.
  [ -z "$name" ] || [ -n "$file" ] || [ "${wish%% *}" != conda ] || ! (choose_base) >/dev/null 2>&1 || wish=
  tool=${wish%% *} asked=${wish#* } shown=${wish#* }
  case $asked in */script-requirements.txt) shown="what the script asks for" ;; esac
  choose_python "$wish"
  [ -z "$python" ] || is_meant "$python" ||
    give_up "the script is for Python $(cat "$own_folder/script-python") (requires-python), and this machine's is" \
      "$("$python" -V 2>&1): --image docker:python:VERSION has any, or widen what the script says"
  local folder=$base made= missing= key
  if [ "$tool" = pip ] && [ -n "$python" ] && missing=$(unmet "$python" "$asked"); then
    made="$shown met"
  elif [ -n "$wish" ]; then
    [ -n "$python" ] || [ "$tool" = conda ] ||
      give_up "$shown asks for packages, but there is no python3 on this machine"
    made="$shown installed"
    content=$(content_of "${python:-$(conda_base)/bin/python}" "$tool" "$asked" 2>/dev/null)
    # What a former way of hashing made is not found again: it did not know what it held.
    case $content in *-fresh) export PIP_NO_CACHE_DIR=1 ;; esac
    if [ "$content" = own ]; then
      folder=$own_folder/env
      rm -rf "$folder"
    else
      key=$({ echo "2 $content $tool $base"; [ -z "$python" ] || "$python" -V; } 2>&1 | sha256sum | cut -c1-16)
      take_turn "$key"
    fi
    if [ -e "$folder/.complete" ]; then
      made="$shown as installed before"
    else
      say "installing $shown${missing:+ ($missing)}"
      rm -rf "$folder"
      mkdir -p "$(dirname "$folder")"
      make_environment "$tool" "$asked" "$base" "$python" "$folder" || {
        rm -rf "$folder"
        give_up "the environment of $shown could not be made"
      }
      touch "$folder/.complete"
    fi
  elif [ "$rented" = 1 ] && [ -n "$python" ] && implied=$(implied_packages "$python") && [ -n "$implied" ]; then
    install_implied "$implied" "$python"
  fi
  if calls pip && ! calls conda && [ -n "$python" ] && [ -z "$wish" ] && [ "$folder" = "$base" ]; then own_venv; fi
  write_activation "$folder"
  [ "$implied" != keras ] || printf 'export KERAS_BACKEND="${KERAS_BACKEND:-torch}"\n' >>"$activate"
  # conda's scripts use variables that are not set.
  set +u
  . "$activate"
  known_facts "$made"
}
# The script itself comes on standard input; what it starts must not read it.
main </dev/null
