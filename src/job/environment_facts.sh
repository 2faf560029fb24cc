# What there is where the training will be: Python, packages, CUDA, the driver, GPUs. Runs under bash on the machine, in
# front of environment.sh, which says what is told. Asking Python takes longer than all else on a machine that was used
# before, so the answer is kept in ~/.ferry/facts, by what it depends on.

# What the facts depend on: the interpreter, what is installed for it, the driver. Fails where that cannot be told
# without asking Python (pyenv's names lead anywhere).
facts_key() { # MADE
  local program
  program=$(command -v python3) || return 1
  case $program in */shims/*) return 1 ;; esac
  {
    printf '%s\n' 1 "$1" "$program" "$PATH" "${PYTHONPATH-}" "${PYTHONHOME-}" "${CONDA_PREFIX-}"
    stat -Lc '%n %i %s %y' "$program" "${program%/*}"/../lib/python3*/*-packages /usr/lib/python3*/dist-packages \
      /usr/local/lib/python3*/*-packages "$HOME"/.local/lib/python3*/site-packages
    cat /proc/driver/nvidia/version
    ls /dev/nvidia*
  } 2>/dev/null | sha256sum | cut -c1-16
}

# As facts(), from what was found the last time. A full disk takes no note of them, and a Python that could not be asked
# may answer the next time.
known_facts() { # MADE
  local key known=$HOME/.ferry/facts found
  key=$(facts_key "$1") || key=
  if [ -n "$key" ] && [ -s "$known/$key" ]; then
    cat "$known/$key"
    return
  fi
  found=$(facts "$1" env)
  printf '%s\n' "$found"
  case $key,$found in ,* | *'"python":""'*) return ;; esac
  {
    mkdir -p "$known" && printf '%s\n' "$found" >"$known/.$key.$$" && mv -f "$known/.$key.$$" "$known/$key"
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
