"""Run by the laptop's python3 before anything is rented: WORKDIR SCRIPT… → one line "FILE:LINE NAME" for every module that
the scripts import (through the workdir's own modules too) and that neither Python, the workdir nor what the workdir asks for
provides; and one line "framework NAME" for a framework that they import and that only the machine's image can provide."""
import ast
import os
import re
import sys

root, scripts = sys.argv[1], sys.argv[2:]
names_of = {  # packages whose modules have another name
    "cv2": "opencv-python opencv-python-headless", "sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "bs4": "beautifulsoup4",
    "skimage": "scikit-image", "dotenv": "python-dotenv", "Crypto": "pycryptodome", "google": "google protobuf", "pkg_resources": "setuptools",
    "pytorch_lightning": "pytorch-lightning lightning", "tensorboard": "tensorboard tensorflow", "keras": "keras tensorflow",
    "attr": "attrs", "dateutil": "python-dateutil", "torchvision": "torchvision torch", "torchaudio": "torchaudio torch",
    "mpl_toolkits": "matplotlib", "OpenSSL": "pyopenssl", "serial": "pyserial", "git": "gitpython", "wx": "wxpython", "hydra": "hydra-core",
}
# What the Deep Learning AMIs and what these packages bring.
usual = {"numpy", "tensorflow", "keras", "torch", "torchvision", "torchaudio", "boto3", "botocore", "pip", "setuptools", "packaging", "typing_extensions"}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


wishes, anything = set(), False
for name in ("requirements.txt", "pyproject.toml", "environment.yml", "environment.yaml", "setup.py", "setup.cfg", "uv.lock", "conda-lock.yml", "Pipfile"):
    try:
        text = open(os.path.join(root, name), encoding="utf-8", errors="replace").read()
    except OSError:
        continue
    anything = True
    wishes.update(plain(word) for word in re.findall(r"[A-Za-z][A-Za-z0-9._-]*", text))
wishes.update(plain(word) for word in re.findall(r"[A-Za-z][A-Za-z0-9._-]*", os.environ.get("FERRY_SETUP", "")))


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


seen, told, frameworks = set(), set(), set()
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
            frameworks.update({module.split(".")[0]} & {"torch", "tensorflow", "keras"})
            own = local(module, os.path.dirname(path))
            if own:
                waiting += [own + ".py", os.path.join(own, "__init__.py")]
            elif not provided(module) and id(node) not in guarded and module.split(".")[0] not in told:
                told.add(module.split(".")[0])
                print(f"{os.path.relpath(path, root)}:{node.lineno} {module.split('.')[0]}")
if frameworks & {"tensorflow", "keras"} and not wishes & {"tensorflow", "keras"}:
    print("framework tensorflow")
elif "torch" in frameworks and not wishes & {"torch", "pytorch"}:
    print("framework pytorch")
