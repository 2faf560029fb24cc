"""Run by the laptop's python3 before anything is rented: WORKDIR SCRIPT… → one line "lacks FILE:LINE NAME PACKAGE" for
every module that the scripts import (through the workdir's own modules too) and that neither Python, the workdir nor
what the workdir asks for provides; where FERRY_CUT_OFF is set, "unmet TAB FILE:LINE TAB REQUIREMENT" for what the
workdir asks for and the python3 of a rehearsal's machine does not have; one line "framework NAME" for a framework that
they import and that only the machine can provide; one line "installed NAME" for what ferry then installs there; where
FERRY_REHEARSAL is set, one line "absent FILE:LINE NAME" for each of these that the python3 of a rehearsal's machine
does not have; and for every relative path in them that exists, "reads TAB FILE:LINE TAB PATH" where it is certainly
opened to be read, or "names TAB …" where it may be. Paths that the code tests for, makes or writes are not told.
FERRY_OWN is set where nobody knows what the machine has: it may have all."""
import ast
import os
import re
import subprocess
import sys

root, scripts = sys.argv[1], sys.argv[2:]
# Packages whose modules have another name (packages.cc).
names_of = {row.split(" ", 1)[0]: row.split(" ", 1)[1] for row in os.environ.get("FERRY_PACKAGES", "").splitlines()}
# What the Deep Learning AMIs bring, or ferry installs there where the workdir asks for nothing.
installed = {"tensorflow", "keras"}
images = {"torch", "torchvision", "torchaudio"}
# fmt: off
usual = {"numpy", "torch", "torchvision", "torchaudio", "boto3", "botocore", "pip", "setuptools", "packaging",
         "typing_extensions"}
# fmt: on


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


setup = os.environ.get("FERRY_SETUP", "")
# As environment.cc: a setup that installs packages, and a file that asks for some, are left to do so.
wishes, anything = set(), any(
    word in setup for word in ("pip install", "pip3 install", "conda ", "mamba ", "uv ", "poetry ")
)
for name in os.environ.get("FERRY_PROVIDERS", "").splitlines():
    try:
        text = open(os.path.join(root, name), encoding="utf-8", errors="replace").read()
    except OSError:
        continue
    anything = True
    if name.endswith(".py") and os.path.basename(name) != "setup.py":  # PEP 723
        text = "\n".join(re.findall(r"(?m)^# /// script$\s((?:^#(?:| .*)$\s)+)^# ///$", text))
    wishes.update(plain(word) for word in re.findall(r"[A-Za-z][A-Za-z0-9._-]*", text))
wishes.update(plain(word) for word in re.findall(r"[A-Za-z][A-Za-z0-9._-]*", setup))
if not anything or os.environ.get("FERRY_OWN"):
    usual |= installed


def local(module, beside):
    first = module.split(".")[0]
    for folder in (beside, root, os.path.join(root, "src")):
        if os.path.isdir(os.path.join(folder, first)) or os.path.exists(os.path.join(folder, first + ".py")):
            return os.path.join(folder, *module.split("."))
    return None


def provided(module):
    first = module.split(".")[0]
    if first in sys.stdlib_module_names or first in usual:
        return True
    return any(plain(name) in wishes for name in [first, *names_of.get(first, "").split()])


# fmt: off
readers = {"read_csv", "read_parquet", "read_json", "read_excel", "read_table", "read_pickle", "read_hdf",
           "read_feather", "read_text", "read_bytes", "loadtxt", "genfromtxt", "fromfile", "load", "load_from_disk",
           "load_model", "load_weights", "listdir", "scandir", "walk", "iterdir", "imread", "ImageFolder",
           "DatasetFolder", "image_dataset_from_directory", "text_dataset_from_directory", "flow_from_directory",
           "load_svmlight_file", "from_file", "DMatrix", "memmap"}
askers = {"exists", "lexists", "isfile", "isdir", "is_file", "is_dir", "makedirs", "mkdir", "unlink", "remove",
          "rmtree", "urlretrieve", "savetxt", "savez", "savefig", "imwrite", "copy", "copyfile", "copytree", "move",
          "rename", "symlink", "extractall"}
# fmt: on
written = re.compile(
    "out|save|log|dest|ckpt|checkpoint|result|export|write|cache|tmp|temp|tensorboard|report|plot|dump", re.I
)
paths, made = {}, set()  # path → ("reads" or "names", FILE:LINE)


def text_of(node, known):
    """The path that an expression is, if its words alone tell."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Call) and name_of(node) in ("Path", "PurePath", "join", "str", "fspath"):
        parts = [text_of(part, known) for part in node.args]
        return os.path.join(*parts) if parts and None not in parts else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = text_of(node.left, known), text_of(node.right, known)
        return os.path.join(left, right) if left is not None and right is not None else None
    return None


def name_of(call):
    return (
        call.func.id
        if isinstance(call.func, ast.Name)
        else call.func.attr
        if isinstance(call.func, ast.Attribute)
        else ""
    )


def plain_path(text):
    if not text or len(text) > 300 or "\n" in text or "\0" in text or "\t" in text or text.startswith(("/", "~", "..")):
        return None
    path = os.path.normpath(text)
    return path if path != "." and os.path.lexists(os.path.join(root, path)) else None


def look_at_paths(tree, file, guarded):
    assigned = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(node.value)
    known = {
        name: values[0].value
        for name, values in assigned.items()
        if len(values) == 1 and isinstance(values[0], ast.Constant) and isinstance(values[0].value, str)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node)
        arguments = node.args[:1] + [word.value for word in node.keywords]
        if isinstance(node.func, ast.Attribute):
            arguments.append(node.func.value)  # Path("data").iterdir()
        mode = [word.value for word in node.keywords if word.arg == "mode"] + node.args[1:2]
        writes = (
            name == "open" and mode and isinstance(mode[0], ast.Constant) and re.search("[wax+]", str(mode[0].value))
        )
        for argument in node.args + [word.value for word in node.keywords] + arguments[-1:]:
            path = plain_path(text_of(argument, known))
            if not path:
                continue
            if writes or name in askers or name.startswith(("to_", "save", "write", "dump", "download")):
                made.add(path)
            elif id(node) in guarded:
                pass
            elif (name == "open" or name in readers) and argument in arguments:
                paths[path] = ("reads", f"{file}:{node.lineno}")
            elif name == "add_argument":
                flag = node.args[0] if node.args else None
                if not (isinstance(flag, ast.Constant) and written.search(str(flag.value))):
                    paths.setdefault(path, ("names", f"{file}:{node.lineno}"))


def ask_system(look, words):
    """What the system's python3 prints: a rehearsal's machine has no other."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        return subprocess.run(
            ["env", "PATH=" + path, "python3", "-I", "-c", look, *words], capture_output=True, text=True
        ).stdout
    except OSError:
        return ""


def absent(names):
    return ask_system(
        "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if not u.find_spec(name)))", names
    ).split()


def unmet_requirements():
    """FILE:LINE and text of the requirements that the system's python3 does not meet; nothing where packages lie about
    as files."""
    lines = []
    for name in os.environ.get("FERRY_PROVIDERS", "").splitlines():
        if not name.endswith((".txt", ".in")):
            continue
        try:
            text = open(os.path.join(root, name), encoding="utf-8", errors="replace").read()
        except OSError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            line = re.sub(r"(^|\s)#.*", "", line).strip()
            if re.match(r"(-f|--find-links|--no-index)\b", line):
                return []
            if line and not line.startswith("-") and re.match(r"[A-Za-z0-9]", line) and "/" not in line.split(";")[0]:
                lines.append((f"{name}:{number}", line.rstrip("\\").strip()))
    look = """
import importlib.metadata as metadata, re, sys
try:
    from packaging.requirements import Requirement
except ImportError:
    try:
        from pip._vendor.packaging.requirements import Requirement
    except ImportError:
        Requirement = None
for at, line in enumerate(sys.argv[1:]):
    try:
        wish = Requirement(line) if Requirement else None
        if wish and wish.marker and not wish.marker.evaluate():
            continue
        have = metadata.version(wish.name if wish else re.match("[A-Za-z0-9._-]+", line)[0])
        met = not wish or wish.specifier.contains(have, prereleases=True)
    except metadata.PackageNotFoundError:
        met = False
    except Exception:
        met = True
    if not met:
        print(at)
"""
    return [lines[int(at)] for at in ask_system(look, [line for _, line in lines[:500]]).split()]


def needs(module, names):
    """The row of the table that a part of a package has, as torch.utils.tensorboard: "MODULE PACKAGE…", or nothing."""
    for full in [module, *(f"{module}.{name}" for name in names)]:
        while "." in full:
            if full in names_of:
                return full
            full = full.rpartition(".")[0]
    return None


seen, told, frameworks, from_machine, from_wishes = set(), set(), set(), {}, {}
waiting = [os.path.join(root, script) for script in scripts]
while waiting and len(seen) < 500:
    path = waiting.pop()
    if path in seen:
        continue
    seen.add(path)
    try:
        tree = ast.parse(open(path, "rb").read())
    except (OSError, SyntaxError, ValueError):
        continue
    guarded = {id(child) for node in ast.walk(tree) if isinstance(node, ast.Try) for child in ast.walk(node)}
    look_at_paths(tree, os.path.relpath(path, root), guarded)
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules, names = [node.module], [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            here = os.path.dirname(path)
            waiting += [
                os.path.join(here, (node.module or alias.name).replace(".", "/") + ".py") for alias in node.names
            ]
            continue
        else:
            continue
        for module in modules:
            first = module.split(".")[0]
            own = local(module, os.path.dirname(path))
            if not own and id(node) not in guarded:
                frameworks.update({first} & {"torch", "tensorflow", "keras"})
                if first in (installed | images) & usual and not any(
                    plain(name) in wishes for name in [first, *names_of.get(first, "").split()]
                ):
                    from_machine.setdefault(first, f"{os.path.relpath(path, root)}:{node.lineno}")
            if own:
                waiting += [own + ".py", os.path.join(own, "__init__.py")]
            elif id(node) not in guarded:
                place, part = f"{os.path.relpath(path, root)}:{node.lineno}", needs(module, names)
                packages = names_of.get(part or first, first).split()
                met = any(plain(name) in wishes for name in packages) if part else provided(module)
                if not met and (part or first) not in told:
                    told.add(part or first)
                    print(f"lacks {place} {part or first} {packages[0]}")
                elif met and first not in sys.stdlib_module_names and first not in usual:
                    from_wishes.setdefault(first, place)
# keras beside torch, and without tensorflow, computes with torch.
if "torch" in frameworks and "tensorflow" not in frameworks and not wishes & {"torch", "pytorch"}:
    print("framework pytorch")
elif frameworks & {"tensorflow", "keras"} and not wishes & {"tensorflow", "keras"}:
    print("framework tensorflow")
for path, (how, where) in paths.items():
    if not any(
        path == one or path.startswith(one + "/") or (how == "names" and one.startswith(path + "/")) for one in made
    ):
        print(f"{how}\t{where}\t{path}")
for name in from_machine:
    if name in installed:
        print("installed", name)
if from_machine and os.environ.get("FERRY_REHEARSAL"):
    for name in absent(from_machine):
        print("absent", from_machine[name], name)
if os.environ.get("FERRY_CUT_OFF"):
    unmet = unmet_requirements()
    for place, line in unmet:
        print(f"unmet\t{place}\t{line}")
    said = {plain(re.match(r"[A-Za-z0-9._-]+", line)[0]) for _, line in unmet}
    for name in absent(from_wishes) if from_wishes else []:
        if not said & {plain(one) for one in [name, *names_of.get(name, "").split()]}:
            print(f"unmet\t{from_wishes[name]}\t{name}")
