"""The small training of a trial: it writes in several ways, and each of its files can be told from its name alone."""


class Training:
    """`lines` steps; each writes a checkpoint and a small file, then one line on each stream."""

    def __init__(self, dice):
        self.mark = f"{dice.randrange(1 << 32):08x}"
        self.lines, self.pace = dice.choice(
            ((5, 0.1), (5, 0.2), (12, 0.05), (12, 0.2), (25, 0.05), (25, 0.1), (150, 0))
        )
        self.code = dice.choice((0, 0, 0, 0, 7))
        self.trap = dice.choice((None, None, 0, 9))  # the exit code after a SIGTERM, once something was saved
        self.model = dice.choice((1_000, 300_000, 4_000_000))
        self.many = dice.choice((1, 1, 40)) if self.pace else 1  # small files a step
        self.named = dice.random() < 0.3  # outputs are named, not found

    def told(self):
        return f"{self.lines} steps of {self.pace} s, a model of {self.model} bytes, exit {self.code}" + (
            f", exit {self.trap} when asked to end" if self.trap is not None else ""
        )

    def flags(self):
        return ["-o", "outputs/"] if self.named else []

    def script(self):
        m = self.mark
        trap = (
            f"trap 'echo saved {m} > outputs/.saved; mv outputs/.saved outputs/saved; exit {self.trap}' TERM\n"
            if self.trap is not None
            else ""
        )
        rest = f"sleep {self.pace}" if self.pace else ":"
        # Counted by bash itself: a child (seq) that the end's signal reaches first would leave a step without its
        # files. What is killed in the middle of a file leaves it under its passing name.
        return (
            f"mkdir -p outputs/many ~/side.$FERRY_RUN\n{trap}"
            f"for i in $(seq {self.lines}); do\n"
            f"  echo checkpoint $i {m} > outputs/.part && mv outputs/.part outputs/ck-$i\n"
            f"  for ((j = 1; j <= {self.many}; j++)); do echo small $i $j {m} > outputs/many/f-$i-$j; done\n"
            f"  echo out $i; echo err $i >&2\n"
            f"  {rest}\n"
            f"done\n"
            f"yes {m} | head -c {self.model} > outputs/.part && mv outputs/.part outputs/model\n"
            f"echo aside {m} > ~/side.$FERRY_RUN/w; ln -s ~/side.$FERRY_RUN outputs/side; "
            "ln -s many/f-1-1 outputs/link\n"
            f"exit {self.code}\n"
        )

    def files(self, steps):
        """path below outputs/ → bytes, of the first `steps` steps."""
        m = self.mark
        made = {}
        for i in range(1, steps + 1):
            made[f"ck-{i}"] = f"checkpoint {i} {m}\n".encode()
            for j in range(1, self.many + 1):
                made[f"many/f-{i}-{j}"] = f"small {i} {j} {m}\n".encode()
        return made

    def at_the_end(self):
        """What there is once all steps are done."""
        made = self.files(self.lines)
        made["model"] = ((self.mark + "\n") * (self.model // 9 + 1)).encode()[: self.model]
        made["side/w"] = f"aside {self.mark}\n".encode()
        made["link"] = made["many/f-1-1"]
        return made

    def ever(self):
        """Every file that may come home, at whatever moment."""
        return {**self.at_the_end(), "saved": f"saved {self.mark}\n".encode()}

    def steps_in(self, text, stream):
        """How many lines of the stream a log has; None if one is there twice, out of order, or foreign."""
        lines = [line for line in text.splitlines() if line.startswith(stream + " ")]
        return (
            len(lines)
            if lines == [f"{stream} {i}" for i in range(1, len(lines) + 1)] and len(lines) <= self.lines
            else None
        )
