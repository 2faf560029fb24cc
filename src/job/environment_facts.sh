# What there is where the training will be: Python, packages, CUDA, the driver, GPUs. Runs under bash on the machine, in
# front of environment.sh, which says what is told. Asking Python takes longer than all else on a machine that was used
# before, so the answer is kept in ~/.ferry/facts, with what it depends on.

# Sets REPLY to where PROGRAM is; fails if it is nowhere. Here, and wherever a run passes that installs nothing, nothing
# is started that bash can do itself: a process takes longer than all that is asked of it.
where_is() { # PROGRAM
  hash "$1" 2>/dev/null && REPLY=${BASH_CMDS[$1]-} && [ -n "$REPLY" ]
}

# Sets name and depends: of the file in ~/.ferry/facts, and all that the facts depend on: the interpreter, what is
# installed for it, the driver. Fails where that cannot be told without asking Python (pyenv's names lead anywhere).
facts_place() { # MADE
  local stamps driver='' devices
  where_is python3 || return 1
  case $REPLY in */shims/*) return 1 ;; esac
  stamps=$(stat -Lc '%n %i %s %y' "$REPLY" "${REPLY%/*}"/../lib/python3*/*-packages /usr/lib/python3*/dist-packages \
    /usr/local/lib/python3*/*-packages "$HOME"/.local/lib/python3*/site-packages 2>/dev/null)
  [ ! -r /proc/driver/nvidia/version ] || read -r -d '' driver </proc/driver/nvidia/version
  devices=(/dev/nvidia*)
  name=${REPLY//\//+}+${1//[!a-zA-Z0-9.]/+}
  printf -v depends '%s\n' "$1" "$REPLY" "$PATH" "${PYTHONPATH-}" "${PYTHONHOME-}" "${CONDA_PREFIX-}" "$stamps" \
    "$driver" "${devices[@]}"
}

# As facts(), from what was found the last time: the last line of a file whose others are what they depend on. A full
# disk takes no note of them, and a Python that could not be asked may answer the next time.
known_facts() { # MADE
  local name='' depends='' known=$HOME/.ferry/facts noted='' found
  facts_place "$1" || name=
  [ -z "$name" ] || [ ! -s "$known/$name" ] || IFS= read -r -d '' noted <"$known/$name"
  if [ -n "$noted" ] && [ "${noted%ferry-env:*}" = "$depends" ]; then
    printf '%s' "${noted#"$depends"}"
    return
  fi
  found=$(facts "$1" env)
  printf '%s\n' "$found"
  case $name,$found in ,* | *'"python":""'*) return ;; esac
  {
    mkdir -p "$known" && printf '%s%s\n' "$depends" "$found" >"$known/.new.$$" &&
      mv -f "$known/.new.$$" "$known/$name" || rm -f "$known/.new.$$"
    # Of environments that are not there any more.
    find "$known" -type f -mtime +90 -delete
  } 2>/dev/null
  return 0
}

facts() { # MADE [COMMAND…], by which python3 is reached where the training is
  local gpus
  gpus=$(nvidia-smi --query-gpu=driver_version,name --format=csv,noheader 2>/dev/null | head -64)
  local made=$1
  shift
  "$@" python3 - "$made" "$gpus" <<'PYTHON' || printf 'ferry-env:{"python":"","made":"%s"}\n' "$made"
import glob, importlib.metadata as metadata, json, os, platform, re, sys
found = {"python": platform.python_version(), "program": sys.executable, "made": sys.argv[1], "packages": {}}
frameworks = ("torch", "tensorflow", "jax", "keras", "lightning", "transformers")
for name in frameworks + ("xgboost", "lightgbm", "scikit-learn", "numpy"):
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
