#!/usr/bin/env python3
"""Scratch disks: src/job/scratch.sh, run by bash as root on real (loop) devices in a mount namespace of its own."""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from lib import main

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "src/job/scratch.sh"
MODEL = "Amazon EC2 NVMe Instance Storage"


@contextlib.contextmanager
def disks(*models):
    """A folder, and one loop device for each model as the kernel would show it."""
    with tempfile.TemporaryDirectory(prefix="ft.") as name:
        folder, devices = pathlib.Path(name), []
        try:
            for number, model in enumerate(models):
                image = folder / f"disk{number}"
                with open(image, "wb") as file:
                    file.truncate(64 << 20)
                devices.append(
                    subprocess.run(
                        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=True
                    ).stdout.strip()
                )
                shown = folder / "sys" / os.path.basename(devices[-1]) / "device"
                shown.mkdir(parents=True)
                (shown / "model").write_text(f"{model}        \n")
            yield folder, sorted(devices)
        finally:
            for device in devices:
                subprocess.run(["losetup", "-d", device], check=True)


def offered(folder, rented="1", before="", calls=1, path=None):
    """What offer_scratch says at its last call, and what `before` printed."""
    call = f"""scratch='' scratch_bytes=0 scratch_note=''
offer_scratch {rented} {folder}/plain
printf '%s|%s|%s|%s\\n' "$scratch" "$scratch_bytes" "$scratch_note" "$(stat -f -c %T "$scratch")"
touch "$scratch/mine" && cat "$scratch/kept" 2>/dev/null; echo kept >"$scratch/kept"
"""
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", "set -u\n" + before + "\n" + SCRIPT.read_text() + call * calls],
        capture_output=True,
        text=True,
        env={
            "PATH": path or os.environ["PATH"] + ":/usr/sbin:/sbin",
            "HOME": str(folder),
            "FERRY_SCRATCH_SYS": f"{folder}/sys",
            "FERRY_SCRATCH_MOUNT": f"{folder}/mnt",
            "FERRY_SCRATCH_ARRAY": f"{folder}/array",
            "FERRY_SCRATCH_DLAMI": f"{folder}/dlami",
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def holds(device):
    return subprocess.run(["blkid", "-p", device], capture_output=True, text=True).stdout


def test_an_empty_instance_store_is_formatted_and_mounted_and_a_second_call_changes_nothing():
    with disks(MODEL) as (folder, (device,)):
        first, second, kept = offered(folder, calls=2).splitlines()
        path, size, note, kind = first.split("|")
        assert path == f"{folder}/mnt" and int(size) > 40e6 and note == "" and kind == "ext2/ext3", first
        assert second == first and kept == "kept"
        assert 'TYPE="ext4"' in holds(device)


def test_other_disks_and_disks_that_hold_anything_are_never_formatted():
    with disks(MODEL, MODEL, MODEL, MODEL) as (folder, (other, full, parted, mounted)):
        (folder / "sys" / os.path.basename(other) / "device/model").write_text("Amazon Elastic Block Store\n")
        subprocess.run(["mkfs.ext4", "-q", "-L", "precious", full], check=True)
        with open(parted, "r+b") as disk:  # a DOS partition table with one Linux partition
            disk.seek(446)
            disk.write(
                bytes([0, 0, 0, 0, 0x83, 0, 0, 0])
                + (2048).to_bytes(4, "little")
                + (8192).to_bytes(4, "little")
                + bytes(48)
                + b"\x55\xaa"
            )
        subprocess.run(["mkfs.ext4", "-q", mounted], check=True)
        before = [holds(one) for one in (other, full, parted, mounted)]
        said = offered(folder, before=f"mkdir {folder}/m && mount {mounted} {folder}/m")
        assert said.startswith(f"{folder}/plain|0||"), said
        assert (
            [holds(one) for one in (other, full, parted, mounted)] == before and before[0] == "" and "dos" in before[2]
        ), before


def test_on_a_machine_of_ones_own_nothing_is_formatted():
    with disks(MODEL) as (folder, (device,)):
        assert offered(folder, rented="0").startswith(f"{folder}/plain|0||")
        assert holds(device) == ""


def test_a_deep_learning_amis_own_mount_is_used():
    with disks(MODEL) as (folder, (device,)):
        said = offered(
            folder, before=f"mkdir -p {folder}/dlami/nvme && mount -t tmpfs -o size=32m none {folder}/dlami/nvme"
        )
        assert said.startswith(f"{folder}/dlami/nvme/ferry|{32 << 20}||tmpfs"), said
        assert holds(device) == ""


def test_a_disk_that_cannot_be_used_is_told_and_the_training_has_its_folder():
    with disks(MODEL) as (folder, _):
        programs = folder / "bin"
        programs.mkdir()
        (programs / "mkfs.ext4").write_text("#!/bin/sh\necho 'the disk is on fire' >&2; exit 1\n")
        (programs / "mkfs.ext4").chmod(0o755)
        path, size, note, _ = (
            offered(folder, path=f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin").splitlines()[0].split("|")
        )
        assert path == f"{folder}/plain" and size == "0" and "the disk is on fire" in note, note


def test_several_disks_become_one_where_mdadm_is_and_otherwise_the_first_serves():
    """mdadm is a stand-in, strict about its arguments: this kernel may have no md driver."""
    with disks(MODEL, MODEL) as (folder, devices):
        said = offered(folder, path=f"{no_mdadm(folder)}")
        assert said.startswith(f"{folder}/mnt|"), said
        assert "ext4" in holds(devices[0]) and holds(devices[1]) == ""
    with disks(MODEL, MODEL) as (folder, devices):
        programs = folder / "bin"
        programs.mkdir()
        (programs / "mdadm").write_text(
            "#!/bin/sh\n"
            f'[ "$*" = "--create {folder}/array --run --level=0 --raid-devices=2 {" ".join(devices)}" ] || exit 2\n'
            f"ln -s {devices[1]} {folder}/array\n"
        )
        (programs / "mdadm").chmod(0o755)
        said = offered(folder, path=f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin")
        assert said.startswith(f"{folder}/mnt|"), said
        assert holds(devices[0]) == "" and "ext4" in holds(devices[1])


def no_mdadm(folder):
    """A PATH with every program but mdadm."""
    programs = folder / "all"
    programs.mkdir()
    for place in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in pathlib.Path(place).iterdir():
            if program.name != "mdadm" and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    return programs


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root, for loop devices")
        sys.exit(77)
    try:
        with disks(MODEL):
            pass
    except (OSError, subprocess.CalledProcessError) as why:
        print(f"no loop devices here: {why}")
        sys.exit(77)
    main(globals())
