"""What is sent: trees of files from a seed, the same on every computer. Text has the statistics of words (few that are
frequent, many that are rare), so that compressors find in it what they find in prose and code; the rest is noise."""
import array
import functools
import os
import random
import shutil

KIB, MIB = 1 << 10, 1 << 20


phrase_bits = 20  # of the number of a phrase: a million of them; less for a try


@functools.cache
def phrases():
    """Pairs of words by Zipf's law."""
    rng = random.Random(1)
    parts = "ba ce di fo gu la me ni po ru sa te vi xo ze tra con per str int ret val num get set key".split()
    words = ["".join(rng.choices(parts, k=rng.choice((1, 2, 2, 3, 3, 4)))) for _ in range(6000)]
    weights = [1 / (i + 1) for i in range(len(words))]
    joins = [" ", " ", " ", " = ", "(", "), ", ".", "_", ":\n    ", "\n", ";\n"]
    count = 1 << phrase_bits
    first, second = rng.choices(words, weights, k=count), rng.choices(words, weights, k=count)
    between = rng.choices(joins, k=2 * count)
    return [f"{a}{between[i]}{b}{between[-1 - i]}" for i, (a, b) in enumerate(zip(first, second))]


def text(rng, size):
    """`size` bytes."""
    table, got, out = phrases(), 0, []
    mask = len(table) - 1
    while got < size:
        numbers = array.array("I", rng.randbytes(4 * (size // 12 + 8)))
        part = "".join([table[number & mask] for number in numbers])
        out.append(part)
        got += len(part)
    return "".join(out).encode()[:size]


def sizes(rng, count, median, most):
    return [min(most, max(1, int(rng.lognormvariate(0, 1.2) * median))) for _ in range(count)]


def small_files(folder, count, median=2500):
    """Sources, texts and small binary files, forty to a folder: seven in ten are text, a third of these begin with one
    of five licences."""
    rng = random.Random(2)
    licences = [text(rng, 700) for _ in range(5)]
    for i, size in enumerate(sizes(rng, count, median, 200 * KIB)):
        place = folder / f"part{i // 400:03}/room{i // 40:04}"
        if i % 40 == 0:
            place.mkdir(parents=True)
        if i % 10 < 7:
            head = rng.choice(licences) if i % 3 == 0 else b""
            (place / f"source{i}.{('py', 'cc', 'txt')[i % 3]}").write_bytes(head + text(rng, size))
        else:
            (place / f"picture{i}.png").write_bytes(rng.randbytes(size))


def empty_files(folder, count):
    for i in range(count):
        place = folder / f"shard{i // 1000:04}"
        if i % 1000 == 0:
            place.mkdir(parents=True)
        os.close(os.open(place / f"sample{i:07}", os.O_CREAT | os.O_WRONLY, 0o644))


def noise(file, size, seed=3):
    rng = random.Random(seed)
    with open(file, "wb") as out:
        for at in range(0, size, MIB):
            out.write(rng.randbytes(min(MIB, size - at)))


def half_compressible(file, size):
    """128 KiB of noise, 128 KiB of text, and so on. The text is that of 8 MiB again and again, each time in another
    alphabet: nothing in it is there twice."""
    rng = random.Random(4)
    letters = bytes(range(ord("a"), ord("z") + 1))
    many = text(rng, 8 * MIB)
    with open(file, "wb") as out:
        for at in range(0, size, 256 * KIB):
            alphabet = bytes.maketrans(letters, bytes(rng.sample(letters, len(letters))))
            part = many[at // 2 % len(many) :][: 128 * KIB].translate(alphabet)
            out.write((rng.randbytes(128 * KIB) + part)[: size - at])


def change_three(folder, step):
    """Another text in three files, the same three for a `step`."""
    rng = random.Random(1000 + step)
    files = sorted(folder.rglob("source*"))
    for file in rng.sample(files, 3):
        file.write_bytes(text(rng, 4000))


def append(file, step, size=MIB):
    with open(file, "ab") as out:
        out.write(random.Random(2000 + step).randbytes(size))


def insert(file, step, size=1000):
    """Bytes in the middle, so that all behind them moves."""
    rng = random.Random(3000 + step)
    middle = file.stat().st_size // 2
    with open(file, "rb") as old, open(f"{file}.new", "wb") as new:
        for left in range(middle, 0, -MIB):
            new.write(old.read(min(MIB, left)))
        new.write(rng.randbytes(size))
        shutil.copyfileobj(old, new, MIB)
    os.replace(f"{file}.new", file)


def copy_again(folder, step):
    """What is in `first` once more, under a name that was never there; the copy of the step before goes."""
    shutil.rmtree(folder / f"again{step - 1}", ignore_errors=True)
    shutil.copytree(folder / "first", folder / f"again{step}")
