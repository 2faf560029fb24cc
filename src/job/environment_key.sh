# By what an environment is kept. Sent ahead of environment.sh, which calls it.

# What FILE leads to, as one word: a hash of all of it, or "own" when it is built from code of the workdir (which may
# read what no line names) or points into it. "-fresh" is added when a package's source is among it: pip keeps what it
# built from one by its path alone.
content_of() { # PYTHON TOOL FILE
  case $2 in uv | project) echo own && return ;; esac
  "$1" - "$3" <<'PYTHON' || echo own
import hashlib, os, re, shlex, sys
from urllib.parse import unquote, urlparse

digest, seen, taken, fresh = hashlib.sha256(), set(), 0, False
archives = (".whl", ".zip", ".tar", ".tgz", ".tbz", ".txz", ".tlz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.lzma")
files = ("-r", "--requirement", "-c", "--constraint")
places = ("-f", "--find-links", "-i", "--index-url", "--extra-index-url", "--pypi-url")
most_bytes, most_files = 4 << 30, 100000


def own():
    print("own")
    sys.exit()


def path_of(word, beside):
    """The file or folder here that a word of a line in the folder `beside` means, or None."""
    word = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda name: os.environ.get(name[1], name[0]), word)
    if re.match(r"[a-z]+\+file:", word):
        own()
    if word.lower().startswith("file:"):
        word = unquote(urlparse(word).path)
    elif "://" in word:
        return None
    word = re.sub(r"\[[^\]/]*\]$", "", word.split("#")[0])
    for folder in (beside, "."):
        path = os.path.join(folder, os.path.expanduser(word))
        if word and os.path.exists(path):
            return path
    return None


def take_file(path):
    global taken, fresh
    taken += os.path.getsize(path)
    if taken > most_bytes:
        own()
    if path.endswith(archives) and not path.endswith(".whl"):
        fresh = True
    content = hashlib.sha256()
    with open(path, "rb") as stream:
        for part in iter(lambda: stream.read(1 << 20), b""):
            content.update(part)
    digest.update(("file %s %s\n" % (os.path.basename(path), content.hexdigest())).encode(errors="replace"))


def take_folder(top):
    """All that lies in it. The workdir itself, or what holds it, changes all the time."""
    if (os.getcwd() + "/").startswith(os.path.realpath(top).rstrip("/") + "/"):
        own()
    walked, count = set(), 0
    for folder, folders, names in os.walk(top, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in walked else sorted(folders)
        walked.add(real)
        digest.update(("folder %s\n" % os.path.relpath(folder, top)).encode(errors="replace"))
        for name in sorted(names):
            count += 1
            if count > most_files:
                own()
            if os.path.isfile(os.path.join(folder, name)):
                take_file(os.path.join(folder, name))


def take_place(path):
    """Where packages are looked for: a folder, or a page that links to them."""
    if os.path.isdir(path):
        take_folder(path)
    else:
        own()


def take_package(word, beside):
    for part in {word, word.split("@", 1)[-1]}:
        is_file = part.lower().startswith("file:") or part.endswith(archives)
        looks_like_path = "/" in part or part.startswith((".", "~")) or is_file
        path = path_of(part, beside) if looks_like_path else None
        if path and os.path.isdir(path):
            own()
        if path:
            take_file(path)


def take_line(line, beside):
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    words = words[1:] if words[:1] == ["-"] else words  # a list in YAML
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            name, value = (word[:2], word[2:].lstrip("=")) if re.match("-[a-z]", word) else (word, "")
        if name in ("-e", "--editable"):
            own()
        if name in files + places:
            value = value or (words.pop(0) if words else "")
            path = path_of(value, beside)
            if path and name in files:
                take_wishes(path)
            elif path:
                take_place(path)
        elif not word.startswith("-"):
            take_package(word.split(";")[0], beside)


def take_wishes(path):
    if os.path.realpath(path) in seen:
        return
    seen.add(os.path.realpath(path))
    take_file(path)
    text = open(path, encoding="utf-8", errors="replace").read()
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if path.endswith((".yml", ".yaml")):
            line = re.sub(r"[]\[{},\"']", " ", line).strip()
        if line and not line.startswith("prefix:"):
            take_line(line, os.path.dirname(path) or ".")


take_wishes(sys.argv[1])
print(digest.hexdigest() + ("-fresh" if fresh else ""))
PYTHON
}
