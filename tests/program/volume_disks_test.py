#!/usr/bin/env python3
"""Volumes on a machine: src/job/volumes.sh, run by bash as root on real (loop) devices in a mount namespace of its own.
What it must never do: format anything that is not certainly empty."""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from lib import main

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src/job"
VOLUME = "vol-0123456789abcdef0"


@contextlib.contextmanager
def disk(mib=64, volume=VOLUME):
    """A folder, and a loop device that is called there as udev calls a volume on Nitro."""
    with tempfile.TemporaryDirectory(prefix="ft.") as name:
        folder = pathlib.Path(name)
        with open(folder / "image", "wb") as file:
            file.truncate(mib << 20)
        device = subprocess.run(
            ["losetup", "--find", "--show", str(folder / "image")], capture_output=True, text=True, check=True
        ).stdout.strip()
        try:
            (folder / "by-id").mkdir()
            (folder / "sys").mkdir()
            (folder / "by-id" / f"nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}").symlink_to(device)
            yield folder, device
        finally:
            subprocess.run(["losetup", "-d", device], check=True)


def mounted(folder, mode="read_write", before="", after="", calls=1, **more):
    """Exit code, lines on standard output and on standard error, of as many calls as are wanted in one mount
    namespace."""
    whole = (SOURCES / "scratch.sh").read_text() + (SOURCES / "volumes.sh").read_text()
    (folder / "script").write_text(whole)
    call = f"bash -s mount 1 {folder}/list {VOLUME} /dev/sdf {mode} <{folder}/script || exit $?\n"
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", (f"set -u\n{before}\n{call * calls}{after}\n")],
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
            "HOME": str(folder),
            "FERRY_VOLUMES_MOUNT": f"{folder}/mnt",
            "FERRY_VOLUMES_BY_ID": f"{folder}/by-id",
            "FERRY_SCRATCH_SYS": f"{folder}/sys",
            "FERRY_VOLUMES_WAIT": "1",
            **more,
        },
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def holds(device):
    return subprocess.run(["blkid", "-p", "-o", "export", device], capture_output=True, text=True).stdout


def bytes_of(folder):
    return (folder / "image").read_bytes()


def test_an_empty_volume_is_formatted_once_and_what_is_written_on_it_stays():
    with disk() as (folder, device):
        code, out, err = mounted(
            folder,
            calls=2,
            after=(
                f"echo 42 >{folder}/mnt/{VOLUME}/answer\nbash -s end {folder}/list <{folder}/script\n"
                f"! mountpoint -q {folder}/mnt/{VOLUME}"
            ),
        )
        assert code == 0, err
        first, second = (line.split("\t") for line in out)
        assert first[:3] == [f"{folder}/mnt/{VOLUME}", "new", "ext4"] and int(first[3]) > 40e6, first
        assert second[:3] == [f"{folder}/mnt/{VOLUME}", "kept", "ext4"], second
        assert (folder / "list").read_text() == f"{folder}/mnt/{VOLUME}\n"
        code, out, err = mounted(
            folder, after=(f"cat {folder}/mnt/{VOLUME}/answer\necho x >{folder}/mnt/{VOLUME}/x && echo written")
        )
        assert code == 0 and out[0].split("\t")[1] == "kept" and out[1:] == ["42", "written"], (out, err)
        code, out, err = mounted(
            folder, "read_only", after=(f"cat {folder}/mnt/{VOLUME}/answer\necho y >{folder}/mnt/{VOLUME}/x")
        )
        assert code != 0 and out[1:] == ["42"] and "Read-only file system" in err[-1], (out, err)


def test_a_file_system_that_is_there_is_mounted_as_it_is():
    kinds = [("ext4", ["mkfs.ext4", "-q"])] + [("xfs", ["mkfs.xfs", "-q"])] * bool(
        subprocess.run(["sh", "-c", "command -v mkfs.xfs"], capture_output=True).stdout
    )
    for kind, make in kinds:
        with disk(400) as (folder, device):
            subprocess.run([*make, device], check=True)
            code, out, err = mounted(folder)
            if code != 0 and "unknown filesystem type" in "".join(err):
                continue
            assert code == 0 and out[0].split("\t")[1:3] == ["kept", kind], (out, err)


def test_nothing_that_holds_anything_is_formatted_whatever_it_is():
    def parted(file):  # a DOS partition table with one Linux partition
        file.seek(446)
        file.write(
            bytes([0, 0, 0, 0, 0x83, 0, 0, 0])
            + (2048).to_bytes(4, "little")
            + (8192).to_bytes(4, "little")
            + bytes(48)
            + (b"\x55\xaa")
        )

    def raw_at_the_begin(file):
        file.write(b"a database of its own")

    def raw_in_the_middle(file):
        file.seek(32 << 20)
        file.write(b"\0\0x")

    def raw_at_the_end(file):
        file.seek(-1, 2)
        file.write(b"x")

    def swap(_):
        subprocess.run(["mkswap", device], check=True, capture_output=True)

    for fill, says in (
        (parted, "has partitions"),
        (raw_at_the_begin, "is not empty"),
        (raw_in_the_middle, "is not empty"),
        (raw_at_the_end, "is not empty"),
        (swap, "swap that is no file system"),
    ):
        with disk() as (folder, device):
            with open(device, "r+b") as file:
                fill(file)
            subprocess.run(["sync"], check=True)
            before = bytes_of(folder)
            code, out, err = mounted(folder)
            assert code == 3 and out == [] and says in err[-1], (fill.__name__, code, out, err)
            assert bytes_of(folder) == before, fill.__name__


def test_a_program_that_fails_never_leads_to_formatting():
    # blkid says 8 where it finds signs of several things.
    for broken, code_of in (
        ("blkid", 1),
        ("blkid", 8),
        ("wipefs", 1),
        ("lsblk", 1),
        (("blockdev"), 1),
        ("dd", 1),
        ("tr", 1),
    ):
        with disk() as (folder, _):
            programs = folder / "bin"
            programs.mkdir()
            (programs / broken).write_text(f"#!/bin/sh\nexit {code_of}\n")
            (programs / broken).chmod(0o755)
            before = bytes_of(folder)
            code, out, err = mounted(folder, PATH=f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin")
            assert code == 3 and out == [], (broken, code, out, err)
            assert bytes_of(folder) == before, broken


def test_one_that_is_mounted_elsewhere_or_not_seen_or_empty_and_read_only_is_refused_with_why():
    with disk() as (folder, device):
        code, _, err = mounted(folder, "read_only")
        assert code == 3 and "is empty, and is to be mounted read-only" in err[-1], err
        assert holds(device) == ""
        subprocess.run(["mkfs.ext4", "-q", device], check=True)
        code, _, err = mounted(folder, before=f"mkdir {folder}/m && mount {device} {folder}/m")
        assert code == 3 and f"is mounted at {folder}/m already" in err[-1], err
        next((folder / "by-id").iterdir()).unlink()
        (folder / "dev").mkdir()
        (folder / "dev/xvdf").symlink_to(device)  # of something else: on Nitro nothing of ours is called so
        (folder / "sys/nvme1n1/device").mkdir(parents=True)
        (folder / "sys/nvme1n1/device/model").write_text("Amazon Elastic Block Store              \n")
        (folder / "sys/nvme1n1/device/serial").write_text("vol0000\n")
        code, _, err = mounted(folder, FERRY_VOLUMES_DEV=f"{folder}/dev")
        assert code == 3 and "the machine does not see the volume" in err[-1], err


def test_on_xen_the_kernels_name_of_the_device_is_used_also_beside_nvme_disks_of_the_machine():
    with disk() as (folder, device):
        next((folder / "by-id").iterdir()).unlink()
        (folder / "dev").mkdir()
        (folder / "dev/xvdf").symlink_to(device)
        (folder / "sys/nvme0n1/device").mkdir(parents=True)
        (folder / "sys/nvme0n1/device/model").write_text("Amazon EC2 NVMe Instance Storage        \n")
        code, out, err = mounted(folder, FERRY_VOLUMES_DEV=f"{folder}/dev")
        assert code == 0 and out[0].split("\t")[1] == "new", (out, err)


if __name__ == "__main__":
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "losetup", "--find"], capture_output=True).returncode != 0:
        print("SKIP: needs root and loop devices")
        sys.exit(77)
    main(globals())
