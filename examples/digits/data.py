"""The data of this example and its fixed split: the same held-out quarter for training and for scoring."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load():
    """Returns train images, held-out images, train labels, held-out labels; images are N x 1 x 8 x 8 in 0..1."""
    digits = load_digits()
    images = (digits.images / 16.0).astype("float32")[:, None]
    parts = train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    return [torch.from_numpy(part) for part in parts]
