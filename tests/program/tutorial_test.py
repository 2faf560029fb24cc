#!/usr/bin/env python3
"""What an article of years ago says, typed as it stands there: retired machines, images and environments."""
import pathlib
import shutil
import subprocess

from lib import Home, main

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def has(module):
    """Whether a rehearsal's machine has it: it has the system's own Python."""
    return subprocess.run(["/usr/bin/python3", "-I", "-c", f"import {module}"], capture_output=True).returncode == 0


def test_the_articles_own_words_run_on_the_rehearsal_cloud():
    with Home() as home:
        home.file("train.py", "import os\nos.makedirs('outputs')\nopen('outputs/model.h5', 'w').write('trained')\n")
        done = home.good(
            "run",
            "--infra",
            "rehearsal",
            "-t",
            "p3.2xlarge",
            "--image",
            "Deep Learning AMI (Amazon Linux) Version 26.0",
            "--",
            "set -e; source activate tensorflow_p36 && python train.py",
        )
        assert "'Deep Learning AMI (Amazon Linux) Version 26.0' was AWS's image of some years ago" in done.err, done.err
        assert "source activate tensorflow_p36: left out" in done.err and "tf.compat.v1" in done.err, done.err
        assert (
            "only rehearsed: AWS has no p3.2xlarge any more (retired: May 2026); nearest: A10G:1" in done.err
        ), done.err
        run = home.newest()
        assert (home.home_of(run) / "outputs/model.h5").read_text() == "trained"
        home.nothing_left()


def test_an_old_task_file_is_told_about_before_anything_is_rented():
    with Home() as home:
        home.file("train.sh", "#!/bin/bash\nsource activate pytorch_p310\necho trained\n", 0o755)
        home.file(
            "task.yaml",
            "resources:\n  image_id: Deep Learning Base AMI (Ubuntu 18.04)\n  accelerators: K80\n"
            "environment: {kind: conda, name: mxnet_p36}\nrun: bash train.sh\n",
        )
        done = home.ferry("plan", "task.yaml")
        assert (
            done.returncode == 2 and "task.yaml:3:17: AWS has no K80 any more" in done.err and "T4:1" in done.err
        ), done.err
        told = home.good("plan", "task.yaml", "--nearest", "--region", "us-east-1")
        assert "g4dn.xlarge" in told.out and "K80:1 → T4:1 (16 GB" in told.err, told
        assert (
            "task.yaml:2: image_id: 'Deep Learning Base AMI (Ubuntu 18.04)'" in told.err
            and "today's base image" in told.err
        ), told.err
        assert "environment: mxnet_p36: left out" in told.err and "requirements.txt" in told.err, told.err
        done = home.good("run", "task.yaml", "--nearest", "--infra", "rehearsal")
        assert (
            "train.sh:2: 'source activate pytorch_p310': AWS's images have no conda environments any more" in done.err
        ), done.err


def test_the_keras_example_trains_or_says_what_it_needs():
    with Home() as home:
        shutil.copytree(EXAMPLES / "keras", home.work / "keras")
        if has("keras"):
            done = home.good("run", "keras", "--infra", "rehearsal", timeout=600)
            outputs = home.home_of(home.newest()) / "outputs"
            assert {one.name for one in outputs.iterdir()} == {
                "model.keras",
                "model.h5",
                "model.weights.h5",
                "architecture.json",
            }
            assert "epoch=6 " in done.out, done.out
        else:
            done = home.ferry("run", "keras", "--infra", "rehearsal")
            assert (
                "keras is not on this computer, where a rehearsal runs; on AWS it is installed before the training"
                in done.err
            ), done.err
            assert done.returncode == 1, done
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
