# Volumes of EBS that are attached to this machine (job/volumes.h); with scratch.sh ahead. bash -s VERB …
#   mount RENTED LIST VOLUME DEVICE MODE [VOLUME DEVICE MODE …]   mounts each, formats those that hold nothing at all,
#                 and says of each, a line: PLACE TAB "new" or "kept" TAB its file system TAB bytes TAB bytes free.
#                 LIST: the file for the places
#   end LIST      writes to them what is not written yet, and unmounts those that nobody uses
# RENTED other than 1: a rehearsal, whose volumes are folders (sandbox/volume.h). MODE: read_write or read_only.
# Exit code 3: the volume cannot be used as it is; why is on standard error, a line.
# Tests show other disks, and mount elsewhere.
volumes_mount=${FERRY_VOLUMES_MOUNT:-/mnt/ferry-volumes} volumes_by_id=${FERRY_VOLUMES_BY_ID:-/dev/disk/by-id}
volumes_wait=${FERRY_VOLUMES_WAIT:-60} volumes_dev=${FERRY_VOLUMES_DEV:-/dev}

refuse() {
  echo "$*" >&2
  exit 3
}

# Sets device: what VOLUME is called here. On Nitro its serial number is its id; on Xen, where no disk of EBS is an NVMe
# one, the kernel names it like DEVICE.
find_device() { # VOLUME DEVICE
  local name tries serial=${1//-/}
  for ((tries = 0; tries <= volumes_wait * 2; tries++)); do
    device=$(readlink -e "$volumes_by_id/nvme-Amazon_Elastic_Block_Store_$serial") && [ -b "$device" ] && return
    for name in "$scratch_sys"/nvme*; do
      [ "$(tr -d ' ' 2>/dev/null <"$name/device/serial")" = "$serial" ] || continue
      device=/dev/${name##*/}
      [ ! -b "$device" ] || return 0
    done
    if ! grep -qs "Amazon Elastic Block Store" "$scratch_sys"/nvme*/device/model; then
      for name in "$volumes_dev/xvd${2#/dev/sd}" "$volumes_dev/${2#/dev/}"; do
        device=$(readlink -e "$name") && [ -b "$device" ] && return
      done
    fi
    sleep 0.5
  done
  refuse "the machine does not see the volume $1, which EC2 says is attached to it as $2"
}

# What blkid and wipefs do not know may be somebody's all the same: a new volume reads as zeros, here in 17 places from
# its first mebibyte to its last.
is_blank() { # DEVICE
  local size count place from zeros
  size=$(as_root blockdev --getsize64 "$1") && [ "$size" -gt 0 ] || return 1
  count=$((size < 1048576 ? size : 1048576))
  for place in {0..16}; do
    from=$(((size - count) / 16 * place))
    [ "$place" != 16 ] || from=$((size - count))
    zeros=$(
      set -o pipefail
      as_root dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$from" count="$count" 2>/dev/null |
        tr -dc '\0' | wc -c
    ) && [ "$zeros" = "$count" ] || return 1
  done
}

# Sets how and kind; formats only what certainly holds nothing.
look_at_device() { # VOLUME DEVICE MODE
  local facts code usage
  facts=$(as_root blkid -p -o export "$2" 2>/dev/null)
  code=$?
  usage=$(sed -n 's/^USAGE=//p' <<<"$facts") kind=$(sed -n 's/^TYPE=//p' <<<"$facts")
  how=kept
  case $code in
    0)
      [ "$usage" = filesystem ] && [ -n "$kind" ] && return
      [ -z "$(sed -n 's/^PTTYPE=//p' <<<"$facts")" ] ||
        refuse "the volume $1 has partitions: ferry mounts volumes that are one file system;" \
          "mount one of its partitions in setup: (it is $2)"
      refuse "the volume $1 holds ${kind:-something} that is no file system: nothing is done with it"
      ;;
    2) ;;
    *) refuse "what the volume $1 holds is not certain (blkid: $code), so that it is neither mounted nor formatted" ;;
  esac
  is_unused "$2" && is_blank "$2" ||
    refuse "the volume $1 holds no file system that the machine knows, and it is not empty: it is not formatted." \
      "If nothing on it is needed: wipe it, or make another"
  [ "$3" != read_only ] || refuse "the volume $1 is empty, and is to be mounted read-only: there is nothing to read"
  as_root mkfs.ext4 -q -m 0 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 "$2" >&2 ||
    refuse "the volume $1 cannot be formatted"
  how=new kind=ext4
}

mount_device() { # VOLUME DEVICE MODE; sets place, how, kind
  local device said at options=noatime
  place=$volumes_mount/$1
  [ "$3" != read_only ] || options=ro,noatime
  find_device "$1" "$2"
  at=$(findmnt -rno TARGET -S "$device" | head -n 1)
  if [ -n "$at" ]; then
    [ "$at" = "$place" ] || refuse "the volume $1 is mounted at $at already"
    how=kept kind=$(findmnt -rno FSTYPE -T "$place")
    return
  fi
  look_at_device "$1" "$device" "$3"
  said=$(as_root mkdir -p "$place" 2>&1 && as_root mount -o "$options" "$device" "$place" 2>&1) ||
    refuse "the volume $1 ($kind) cannot be mounted: ${said##*$'\n'}"
  [ "$how" != new ] || as_root chown "$(id -u):$(id -g)" "$place"
}

# An empty folder is a volume that was never used.
mount_folder() { # VOLUME DEVICE MODE; sets place, how, kind
  local folder
  folder=$(cd -P "$HOME/../../srv/rehearsal-volumes/$1" 2>/dev/null && pwd) ||
    refuse "the machine does not see the volume $1, which is attached to it as $2"
  place=$folder/data how=kept kind=folder
  [ ! -d "$place" ] || return 0
  [ "$3" != read_only ] || refuse "the volume $1 is empty, and is to be mounted read-only: there is nothing to read"
  mkdir "$place" 2>/dev/null || { as_root mkdir "$place" && as_root chown "$(id -u):$(id -g)" "$place"; } ||
    refuse "the volume $1 cannot be written"
  how=new
}

mount_all() { # RENTED LIST VOLUME DEVICE MODE …
  local rented=$1 list=$2 place how kind
  shift 2
  : >"$list.new" || exit 1
  while [ $# -ge 3 ]; do
    if [ "$rented" = 1 ]; then mount_device "$1" "$2" "$3"; else mount_folder "$1" "$2" "$3"; fi
    echo "$place" >>"$list.new"
    printf '%s\t%s\t%s\t%s\t%s\n' "$place" "$how" "$kind" "$(df -B1 --output=size "$place" | tail -n 1 | tr -d ' ')" \
      "$(df -B1 --output=avail "$place" | tail -n 1 | tr -d ' ')"
    shift 3
  done
  mv "$list.new" "$list"
}

end_all() { # LIST
  local place
  [ -e "$1" ] || return 0
  while IFS= read -r place; do
    sync -f "$place"
    ! mountpoint -q "$place" || as_root umount "$place" || echo "$place is in use" >&2
  done <"$1"
}

verb=$1
shift
case $verb in
  mount) mount_all "$@" ;;
  end) end_all "$@" ;;
esac
