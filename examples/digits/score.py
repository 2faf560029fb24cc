"""Loads a model and prints its accuracy on the held-out digits; exit code 1 if it is 0.95 or less."""

import sys

import torch

from data import load
from model import make_model


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "outputs/model.pt"
    model = make_model()
    model.load_state_dict(torch.load(path, map_location="cpu")["state_dict"])
    model.eval()
    _, images, _, labels = load()
    with torch.no_grad():
        accuracy = (model(images).argmax(dim=1) == labels).float().mean().item()
    print(f"accuracy={accuracy:.4f}")
    return 0 if accuracy > 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
