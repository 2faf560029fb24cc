"""Run by the laptop's python3 before anything is rented: WORKDIR SCRIPT… → one line "FILE:LINE NAME" for every module that
the scripts import (through the workdir's own modules too) and that neither Python, the workdir nor what the workdir asks for
provides; one line "framework NAME" for a framework that they import and that only the machine can provide; one line
"installed NAME" for what ferry then installs there; where FERRY_REHEARSAL is set, one line "absent FILE:LINE NAME" for each of these that
the python3 of a rehearsal's machine does not have; and for every relative path in them that exists, "reads TAB FILE:LINE TAB PATH" where it
is certainly opened to be read, or "names TAB …" where it may be. Paths that the code tests for, makes or writes are not told. FERRY_OWN is
set where nobody knows what the machine has: it may have all."""
import ast
import os
import re
import subprocess
import sys

root, scripts = sys.argv[1], sys.argv[2:]
names_of = {  # packages whose modules have another name
    "cv2": "opencv-python opencv-python-headless", "sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "bs4": "beautifulsoup4",
    "skimage": "scikit-image", "dotenv": "python-dotenv", "Crypto": "pycryptodome", "google": "google protobuf", "pkg_resources": "setuptools",
    "pytorch_lightning": "pytorch-lightning lightning", "tensorboard": "tensorboard tensorflow", "keras": "keras tensorflow",
    "attr": "attrs", "dateutil": "python-dateutil", "torchvision": "torchvision torch", "torchaudio": "torchaudio torch",
    "mpl_toolkits": "matplotlib", "OpenSSL": "pyopenssl", "serial": "pyserial", "git": "gitpython", "wx": "wxpython", "hydra": "hydra-core",
}
# What the Deep Learning AMIs bring, or ferry installs there where the workdir asks for nothing.
installed = {"tensorflow", "keras"}
images = {"torch", "torchvision", "torchaudio"}
usual = {"numpy", "torch", "torchvision", "torchaudio", "boto3", "botocore", "pip", "setuptools", "packaging", "typing_extensions"}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


setup = os.environ.get("FERRY_SETUP", "")
# As environment.cc: a setup that installs packages, and a file that asks for some, are left to do so.
wishes, anything = set(), any(word in setup for word in ("pip install", "pip3 install", "conda ", "mamba ", "uv ", "poetry "))
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


readers = {"read_csv", "read_parquet", "read_json", "read_excel", "read_table", "read_pickle", "read_hdf", "read_feather", "read_text",
           "read_bytes", "loadtxt", "genfromtxt", "fromfile", "load", "load_from_disk", "load_model", "load_weights", "listdir", "scandir",
           "walk", "iterdir", "imread", "ImageFolder", "DatasetFolder", "image_dataset_from_directory", "text_dataset_from_directory",
           "flow_from_directory", "load_svmlight_file", "from_file", "DMatrix", "memmap"}
askers = {"exists", "lexists", "isfile", "isdir", "is_file", "is_dir", "makedirs", "mkdir", "unlink", "remove", "rmtree", "urlretrieve",
          "savetxt", "savez", "savefig", "imwrite", "copy", "copyfile", "copytree", "move", "rename", "symlink", "extractall"}
written = re.compile("out|save|log|dest|ckpt|checkpoint|result|export|write|cache|tmp|temp|tensorboard|report|plot|dump", re.I)
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
    return call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""


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
    known = {name: values[0].value for name, values in assigned.items()
             if len(values) == 1 and isinstance(values[0], ast.Constant) and isinstance(values[0].value, str)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node)
        arguments = node.args[:1] + [word.value for word in node.keywords]
        if isinstance(node.func, ast.Attribute):
            arguments.append(node.func.value)  # Path("data").iterdir()
        mode = [word.value for word in node.keywords if word.arg == "mode"] + node.args[1:2]
        writes = name == "open" and mode and isinstance(mode[0], ast.Constant) and re.search("[wax+]", str(mode[0].value))
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


def absent(names):
    """Those that the system's python3 lacks: a rehearsal's machine has no other."""
    look = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if not u.find_spec(name)))"
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        return subprocess.run(["env", "PATH=" + path, "python3", "-I", "-c", look, *names], capture_output=True, text=True).stdout.split()
    except OSError:
        return []


seen, told, frameworks, from_machine = set(), set(), set(), {}
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
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module]
        elif isinstance(node, ast.ImportFrom) and node.level:
            here = os.path.dirname(path)
            waiting += [os.path.join(here, (node.module or alias.name).replace(".", "/") + ".py") for alias in node.names]
            continue
        else:
            continue
        for module in modules:
            first = module.split(".")[0]
            own = local(module, os.path.dirname(path))
            if not own and id(node) not in guarded:
                frameworks.update({first} & {"torch", "tensorflow", "keras"})
                if first in (installed | images) & usual and not any(plain(name) in wishes for name in [first, *names_of.get(first, "").split()]):
                    from_machine.setdefault(first, f"{os.path.relpath(path, root)}:{node.lineno}")
            if own:
                waiting += [own + ".py", os.path.join(own, "__init__.py")]
            elif not provided(module) and id(node) not in guarded and first not in told:
                told.add(first)
                print(f"{os.path.relpath(path, root)}:{node.lineno} {first}")
# keras beside torch, and without tensorflow, computes with torch.
if "torch" in frameworks and "tensorflow" not in frameworks and not wishes & {"torch", "pytorch"}:
    print("framework pytorch")
elif frameworks & {"tensorflow", "keras"} and not wishes & {"tensorflow", "keras"}:
    print("framework tensorflow")
for path, (how, where) in paths.items():
    if not any(path == one or path.startswith(one + "/") or (how == "names" and one.startswith(path + "/")) for one in made):
        print(f"{how}\t{where}\t{path}")
for name in from_machine:
    if name in installed:
        print("installed", name)
if from_machine and os.environ.get("FERRY_REHEARSAL"):
    for name in absent(from_machine):
        print("absent", from_machine[name], name)
