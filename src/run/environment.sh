# Finds or makes the environment a training gets. Runs under bash on the machine, in the workdir:
#   bash -s KIND NAME FILE ACTIVATE
# KIND      auto, conda, venv, uv, none; or present: as auto, but nothing is installed
# NAME      of an environment that is there already (conda name, or a folder), or empty
# FILE      what is asked for (requirements.txt, environment.yml, …), or empty: what the workdir has
# ACTIVATE  is written: a file that puts the environment in place when sourced
# Progress is told on standard error, one line each; the last line of standard output is "ferry-env:" and JSON.
# What is made lies in ~/.ferry/envs/HASH, by content: a second run with the same wishes installs nothing.
set -u
kind=$1 name=$2 file=$3 activate=$4
envs=$HOME/.ferry/envs
say() { printf '%s\n' "$*" >&2; }
give_up() {
  say "$*"
  exit 1
}

conda_base() {
  local conda
  for conda in "${CONDA_EXE:-}" "$(command -v conda)" "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge}/bin/conda \
    /opt/{conda,miniconda3,anaconda3,miniforge3}/bin/conda; do
    [ -n "$conda" ] && [ -x "$conda" ] && dirname "$(dirname "$conda")" && return 0
  done
  return 1
}

# Folders of environments that are there: venvs under /opt, then conda's by name.
present_environments() {
  local base folder
  for folder in /opt/*/; do [ -x "$folder/bin/python" ] && [ -e "$folder/pyvenv.cfg" ] && echo "${folder%/}"; done
  base=$(conda_base) || return 0
  for folder in "$base"/envs/*/ "$HOME"/.conda/envs/*/; do [ -x "$folder/bin/python" ] && echo "${folder%/}"; done
  return 0
}

has_package() { # PREFIX PACKAGE
  local found
  for found in "$1"/lib/python3*/site-packages/"$2" "$1"/lib/python3*/dist-packages/"$2"; do [ -e "$found" ] && return 0; done
  return 1
}

wanted_framework() {
  local framework
  for framework in torch tensorflow jax mxnet; do
    grep -rqsE --include='*.py' "^[[:space:]]*(import|from)[[:space:]]+$framework([[:space:].]|\$)" . && echo "$framework" && return
  done
}

# The folder whose bin/python is built upon; empty: the system's python3.
choose_base() {
  local folder framework
  if [ -n "$name" ]; then
    [ -x "$name/bin/python" ] && echo "$name" && return
    for folder in $(present_environments); do [ "$(basename "$folder")" = "$name" ] && echo "$folder" && return; done
    folder=$(conda_base) && [ "$name" = base ] && echo "$folder" && return
    give_up "there is no environment '$name' here; there are: $(present_environments | xargs -r -n1 basename | xargs)"
  fi
  framework=$(wanted_framework)
  [ -n "$framework" ] || return 0
  for folder in $(present_environments); do has_package "$folder" "$framework" && echo "$folder" && return; done
  return 0
}

# What the workdir asks for: "conda FILE", "uv FILE", "pip FILE", "project FILE" or nothing.
wish_of() {
  case $1 in
    *conda-lock.yml | *environment.yml | *environment.yaml) echo "conda $1" ;;
    *uv.lock) echo "uv $1" ;;
    *pyproject.toml) echo "project $1" ;;
    ?*) echo "pip $1" ;;
  esac
}
find_wish() {
  local candidate
  case $kind in none | present) return 0 ;; esac
  if [ -n "$file" ]; then
    [ -e "$file" ] || give_up "the environment's file does not exist: $file"
    wish_of "$file"
    return
  fi
  for candidate in uv.lock conda-lock.yml environment.yml environment.yaml requirements.txt pyproject.toml; do
    [ -e "$candidate" ] || continue
    case "$kind/$candidate" in
      conda/uv.lock | conda/requirements.txt | conda/pyproject.toml | venv/uv.lock | venv/*conda* | venv/environment.* | \
        uv/*conda* | uv/environment.* | uv/requirements.txt) continue ;;
    esac
    if [ "$candidate" = pyproject.toml ] && ! grep -q '^dependencies' pyproject.toml; then continue; fi
    wish_of "$candidate"
    return
  done
  return 0
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

make_venv() { # PYTHON BASE FOLDER
  if command -v uv >/dev/null; then
    uv venv -q --system-site-packages --python "$1" "$3" >&2 || return 1
  else
    "$1" -m venv --system-site-packages "$3" >&2 || "$1" -m virtualenv -q --system-site-packages "$3" >&2 ||
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
  if command -v uv >/dev/null; then
    uv pip install --python "$folder/bin/python" "$@" >&2
  else
    "$folder/bin/python" -m pip install --disable-pip-version-check --no-input "$@" >&2
  fi
}

make_environment() { # TOOL FILE BASE PYTHON FOLDER
  case $1 in
    pip) make_venv "$4" "$3" "$5" && install_into "$5" -r "$2" ;;
    project) make_venv "$4" "$3" "$5" && install_into "$5" "$(dirname "$2")" ;;
    uv)
      command -v uv >/dev/null || { say "uv.lock needs uv, which is not on this machine: install it in setup, or write a requirements.txt"; return 1; }
      UV_PROJECT_ENVIRONMENT=$5 uv sync --frozen --no-dev --project "$(dirname "$2")" >&2
      ;;
    conda)
      local base
      base=$(conda_base) || { say "$2 needs conda, which is not on this machine"; return 1; }
      if [ "$(basename "$2")" = conda-lock.yml ]; then
        command -v conda-lock >/dev/null || "$base/bin/python" -m pip install -q conda-lock >&2 || return 1
        PATH=$base/bin:$PATH conda-lock install -p "$5" "$2" >&2
      else
        "$base/bin/conda" env create -q -p "$5" -f "$2" >&2
      fi
      ;;
  esac
}

write_activation() { # FOLDER (empty: the system's)
  {
    if [ -n "$1" ] && [ -d "$1/conda-meta" ] && [ -e "$(conda_base)/etc/profile.d/conda.sh" ]; then
      printf '. %q\nconda activate %q\n' "$(conda_base)/etc/profile.d/conda.sh" "$1"
    elif [ -n "$1" ]; then
      printf 'export VIRTUAL_ENV=%q PATH=%q:"$PATH"\nunset PYTHONHOME\n' "$1" "$1/bin"
    elif ! command -v python >/dev/null && command -v python3 >/dev/null; then
      # People write `python train.py`; not every system has that name.
      mkdir -p "$HOME/.ferry/names" && ln -sfn "$(command -v python3)" "$HOME/.ferry/names/python"
      printf 'export PATH="$PATH":%q\n' "$HOME/.ferry/names"
    fi
  } >"$activate"
}

facts() { # MADE
  local gpus
  gpus=$(nvidia-smi --query-gpu=driver_version,name --format=csv,noheader 2>/dev/null | head -64)
  python3 - "$1" "$gpus" <<'PYTHON' || printf 'ferry-env:{"python":"","made":"%s"}\n' "$1"
import glob, importlib.metadata as metadata, json, os, platform, re, sys
found = {"python": platform.python_version(), "program": sys.executable, "made": sys.argv[1], "packages": {}}
for name in ("torch", "tensorflow", "jax", "keras", "lightning", "transformers", "xgboost", "lightgbm", "scikit-learn", "numpy"):
    try:
        found["packages"][name] = metadata.version(name)
    except Exception:
        pass
for folder in sys.path:
    try:
        text = open(os.path.join(folder, "torch", "version.py")).read()
    except OSError:
        continue
    cuda = re.search(r"^cuda\b[^=]*=\s*'([^']+)'", text, re.M)
    if cuda:
        found["cuda"] = cuda.group(1)
    break
gpus = [line.split(", ", 1) for line in sys.argv[2].splitlines() if ", " in line]
if gpus:
    found["driver"] = gpus[0][0]
    found["gpus"] = [gpu[1] for gpu in gpus]
print("ferry-env:" + json.dumps(found))
PYTHON
}

main() {
  umask 077
  mkdir -p "$envs" "$(dirname "$activate")"
  local wish tool asked base python
  wish=$(find_wish) || exit 1
  tool=${wish%% *} asked=${wish#* }
  base=$(choose_base) || exit 1
  python=${base:+$base/bin/python}
  [ -n "$python" ] || python=$(command -v python3 || true)
  local folder=$base made= missing= key
  if [ "$tool" = pip ] && [ -n "$python" ] && missing=$(unmet "$python" "$asked"); then
    made="$asked met"
  elif [ -n "$wish" ]; then
    [ -n "$python" ] || [ "$tool" = conda ] || give_up "$asked asks for packages, but there is no python3 on this machine"
    key=$({ cat "$asked"; [ "$tool" != uv ] || cat pyproject.toml; echo "$tool $base"; [ -z "$python" ] || "$python" -V; } 2>&1 | sha256sum | cut -c1-16)
    folder=$envs/$key made="$asked installed"
    exec 8>"$envs/$key.lock"
    command -v flock >/dev/null && ! flock -n 8 && say "another run is making this environment; waiting for it" && flock 8
    if [ -e "$folder/.complete" ]; then
      made="$asked as installed before"
    else
      say "installing $asked${missing:+ ($missing)}"
      rm -rf "$folder"
      make_environment "$tool" "$asked" "$base" "$python" "$folder" || {
        rm -rf "$folder"
        give_up "the environment of $asked could not be made"
      }
      touch "$folder/.complete"
    fi
  fi
  write_activation "$folder"
  . "$activate"
  facts "$made"
}
# The script itself comes on standard input; what it starts must not read it.
main </dev/null
