"""Trains a Keras network to tell drawn shapes apart; writes the model, its weights and its architecture to the outputs
folder."""

import argparse
import importlib.util
import os
import sys

import numpy

BACKENDS = ("tensorflow", "torch", "jax")


def choose_backend():
    """Keras computes with one of these; it takes tensorflow, here or not, unless it is told another before it is
    imported."""
    if os.environ.get("KERAS_BACKEND"):
        return
    here = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if not here:
        sys.exit(
            f"keras computes with {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}; "
            f"this Python ({sys.executable}) has none of them: pip install tensorflow"
        )
    os.environ["KERAS_BACKEND"] = here[0]


choose_backend()
import keras  # noqa: E402 (the backend is chosen before)

NAMES = ("disc", "square", "cross")
SIZE = 20


def draw(count, seed):
    """Shapes of random size and place under noise, and which ones they are."""
    random = numpy.random.default_rng(seed)
    kinds = random.integers(len(NAMES), size=count)
    y, x = numpy.mgrid[:SIZE, :SIZE]
    images = random.normal(0, 0.35, (count, SIZE, SIZE, 1)).astype("float32")
    for image, kind in zip(images, kinds):
        radius = random.integers(4, 8)
        dy, dx = (numpy.abs(axis - random.integers(radius, SIZE - radius)) for axis in (y, x))
        inside = (
            dy**2 + dx**2 <= radius**2,
            numpy.maximum(dy, dx) <= radius - 1,
            (numpy.minimum(dy, dx) <= 1) & (numpy.maximum(dy, dx) <= radius),
        )[kind]
        image[..., 0] += inside
    return images, kinds


def make_model():
    return keras.Sequential(
        [
            keras.layers.Input((SIZE, SIZE, 1)),
            keras.layers.Conv2D(12, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(24, 3, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(len(NAMES), activation="softmax"),
        ]
    )


class Progress(keras.callbacks.Callback):
    """One line an epoch, also where no terminal draws Keras's own bar."""

    def on_epoch_end(self, epoch, logs=None):
        print(f"epoch={epoch + 1} loss={logs['loss']:.4f} accuracy={logs['val_accuracy']:.4f}", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=6)
    options.add_argument("--images", type=int, default=3000)
    args = options.parse_args()

    out = os.environ.get("FERRY_OUTPUTS") or "outputs"
    os.makedirs(out, exist_ok=True)
    print(f"keras {keras.__version__} on {keras.backend.backend()}", flush=True)
    keras.utils.set_random_seed(0)
    model = make_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        *draw(args.images, 1),
        validation_data=draw(600, 2),
        epochs=args.epochs,
        batch_size=64,
        verbose=0,
        callbacks=[Progress()],
    )

    model.save(os.path.join(out, "model.keras"))
    model.save(os.path.join(out, "model.h5"))  # for what reads no .keras
    model.save_weights(os.path.join(out, "model.weights.h5"))
    with open(os.path.join(out, "architecture.json"), "w") as file:
        file.write(model.to_json(indent=1))


if __name__ == "__main__":
    main()
