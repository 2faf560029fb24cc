"""The tables of docs/benchmarks.md: each between two comments that name it."""
import pathlib
import subprocess

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/benchmarks.md"


def markdown(head, rows):
    """Columns as wide as they must be; the first to the left, the others to the right."""
    table = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]

    def line(cells):
        first, *others = cells
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:]))]
        return "| " + " | ".join(padded) + " |"

    rule = "| " + "-" * widths[0] + " | " + " | ".join("-" * (width - 1) + ":" for width in widths[1:]) + " |"
    return "\n".join([line(table[0]), rule, *map(line, table[1:])])


def write(name, text):
    """Puts `text` in the place of what stands between the comments of that name."""
    begin, end = f"<!-- {name}: scripts/bench writes this -->", f"<!-- {name}: end -->"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        raise SystemExit(f"bench: {PAGE} has no place for the table {name}")
    before, rest = page.split(begin)
    PAGE.write_text(before + begin + "\n\n" + text + "\n\n" + end + rest.split(end, 1)[1])


def version(ferry):
    return subprocess.run([ferry, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
