"""Trains on handwritten digits; writes model.pt, metrics.jsonl and confusion.png to the outputs folder."""

import argparse
import json
import os
import signal
import time

import torch
from torch import nn

from data import load
from model import make_model

stop_asked = False


def ask_to_stop(_signal, _frame):
    global stop_asked
    stop_asked = True


def save_model(model, path, meta):
    """Complete or invisible: a reader never sees half a file."""
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path + ".part")
    os.replace(path + ".part", path)


def save_confusion(labels, guesses, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from sklearn.metrics import ConfusionMatrixDisplay

    ConfusionMatrixDisplay.from_predictions(labels, guesses, cmap="Blues", colorbar=False)
    plt.title("held-out digits")
    plt.savefig(path, dpi=100, bbox_inches="tight")
    plt.close()


def train_epoch(model, optimizer, images, labels, batch):
    model.train()
    total = 0.0
    for indices in torch.randperm(len(images)).split(batch):
        if stop_asked:
            break
        loss = nn.functional.cross_entropy(model(images[indices]), labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(indices)
    return total / len(images)


def guess(model, images):
    model.eval()
    with torch.no_grad():
        return model(images).argmax(dim=1)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=15)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--lr", type=float, default=2e-3)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()

    signal.signal(signal.SIGTERM, ask_to_stop)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)  # a model this small loses more to waiting threads than it gains
    device = "cuda" if torch.cuda.is_available() else "cpu"
    out = os.environ.get("FERRY_OUTPUTS") or "outputs"
    os.makedirs(out, exist_ok=True)

    train_images, test_images, train_labels, test_labels = (part.to(device) for part in load())
    model = make_model().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    print(f"training on {len(train_images)} digits, scoring on {len(test_images)}, device {device}", flush=True)

    meta = {"epoch": 0, "accuracy": 0.0}
    start = time.monotonic()
    with open(os.path.join(out, "metrics.jsonl"), "w") as metrics:
        for epoch in range(1, args.epochs + 1):
            loss = train_epoch(model, optimizer, train_images, train_labels, args.batch)
            guesses = guess(model, test_images)
            accuracy = (guesses == test_labels).float().mean().item()
            meta = {"epoch": epoch, "accuracy": accuracy, "seed": args.seed}
            print(f"epoch={epoch} loss={loss:.4f} accuracy={accuracy:.4f}", flush=True)
            line = {"epoch": epoch, "loss": loss, "accuracy": accuracy, "seconds": time.monotonic() - start}
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
            save_model(model, os.path.join(out, "model.pt"), meta)
            if stop_asked:
                print(f"asked to stop: saved what epoch {epoch} reached", flush=True)
                break

    save_confusion(test_labels.cpu(), guesses.cpu(), os.path.join(out, "confusion.png"))
    if stop_asked:
        raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
