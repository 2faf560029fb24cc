# Finds the machine's own fast disks and makes them scratch space. Runs under bash on the machine; defines
#   offer_scratch RENTED FOLDER
# which sets scratch (a folder that is there and ours), scratch_bytes (of its disk; 0: it lies on the root disk) and
# scratch_note (what went wrong, one line). RENTED other than 1: disks are left alone, and the scratch is FOLDER. A disk
# is formatted only if it says that it is EC2's instance store, holds nothing at all, and is used by nobody. A second
# call finds what the first one made. Nothing here fails: without disks the scratch is FOLDER.
scratch='' scratch_bytes=0 scratch_note=''
# Tests show other disks, and mount elsewhere.
scratch_sys=${FERRY_SCRATCH_SYS:-/sys/block} scratch_mount=${FERRY_SCRATCH_MOUNT:-/mnt/ferry-scratch}
scratch_array=${FERRY_SCRATCH_ARRAY:-/dev/md/ferry} dlami=${FERRY_SCRATCH_DLAMI:-/opt/dlami}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

is_instance_store() { # NAME
  local model=
  read -r model 2>/dev/null <"$scratch_sys/$1/device/model"
  [ "$model" = "Amazon EC2 NVMe Instance Storage" ] && [ -b "/dev/$1" ]
}

# No partition and nothing built on it, mounted nowhere, no swap, and neither blkid nor wipefs knows anything on it.
is_unused() { # DEVICE
  local below signs
  below=$(lsblk -rno NAME,MOUNTPOINT "$1" 2>/dev/null) &&
    [ "$below" = "${1#/dev/} " -o "$below" = "${1#/dev/}" ] || return 1
  ! grep -q "^$1[[:space:]]" /proc/mounts /proc/swaps || return 1
  as_root blkid -p "$1" >/dev/null 2>&1
  [ $? = 2 ] || return 1
  signs=$(as_root wipefs "$1" 2>/dev/null) && [ -z "$signs" ]
}

# Deep Learning AMIs mount theirs while they boot.
wait_for_dlami() {
  local tries
  [ -d "$dlami" ] && command -v systemctl >/dev/null || return 0
  for tries in {1..40}; do
    mountpoint -q "$dlami/nvme" && return
    [ "$(systemctl is-system-running 2>/dev/null)" = starting ] || return 0
    sleep 0.5
  done
}

# One volume of all of them where mdadm can stripe them; otherwise the first.
format_and_mount() { # DEVICE…
  local device=$1
  if [ $# -gt 1 ] && command -v mdadm >/dev/null; then
    device=$scratch_array
    as_root mdadm --create "$device" --run --level=0 --raid-devices=$# "$@" || return 1
  fi
  as_root mkfs.ext4 -q -m 0 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 "$device" &&
    as_root mkdir -p "$scratch_mount" && as_root mount -o noatime "$device" "$scratch_mount" &&
    as_root chown "$(id -u):$(id -g)" "$scratch_mount"
}

# Sets scratch if there is a disk for it.
use_disks() {
  local name stores=() unused=() said
  if ! mountpoint -q "$scratch_mount"; then
    for name in $(ls "$scratch_sys" 2>/dev/null); do is_instance_store "$name" && stores+=("/dev/$name"); done
    [ "${#stores[@]}" -gt 0 ] || return
    wait_for_dlami
    if mountpoint -q "$dlami/nvme"; then
      said=$(as_root install -d -o "$(id -u)" -g "$(id -g)" "$dlami/nvme/ferry" 2>&1) && scratch=$dlami/nvme/ferry ||
        scratch_note="$dlami/nvme cannot be used: ${said##*$'\n'}"
      return
    fi
    for name in "${stores[@]}"; do is_unused "$name" && unused+=("$name"); done
    [ "${#unused[@]}" -gt 0 ] || return
    said=$(format_and_mount "${unused[@]}" 2>&1) || {
      scratch_note="the machine's own disks (${unused[*]}) cannot be used: ${said##*$'\n'}"
      return
    }
  fi
  scratch=$scratch_mount
}

offer_scratch() { # RENTED FOLDER
  [ "$1" != 1 ] || use_disks
  if [ -n "$scratch" ] && [ -w "$scratch" ]; then
    scratch_bytes=$(df -B1 --output=size "$scratch" | tail -n 1 | tr -d ' ')
  else
    scratch=$2
    mkdir -p "$scratch"
  fi
}
