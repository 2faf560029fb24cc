# Buckets of S3 as folders of the machine, by mount-s3 or rclone (job/buckets.h). bash FILE VERB …
#   look RENTED FOLDER TOOLS      what there is to mount with, a line NAME=VALUE each; with scratch.sh ahead. RENTED: 1,
#                                 scratch disks may be formatted; 0, settings may be changed; "", neither
#   mount STATE PLACE -- WORDS…   mounts at PLACE by the words (VARIABLE=VALUE… PROGRAM ARGUMENT…), unless they did so
#                                 already. Standard input: what the STATE's files are to hold, "NAME VALUE" each ended
#                                 by a NUL
#   keep STATE                    the mount's own process, for as long as it is there
#   watch ALL                     says which of ALL's mounts is gone, as soon as one is, and ends the training
#   end ALL                       waits until the buckets have everything, and unmounts. 1: one of them was gone before
# A STATE is a folder of ALL, a mount's own: its place and words, and
#   uri      for people
#   home     where it comes home, below the workdir: what is there is of an attempt before, and goes into the bucket
#   links    a folder with a link to each file that is not in the bucket yet: they are checkpoints until they are
#   cache    rclone's; none where nothing waits to be put
#   below    as what the cache knows the mount: BUCKET/PREFIX
#   log, tool, keeper, over (it is meant to end), dead (it was not)
verb=$1
shift

of() { cat "$1/$2" 2>/dev/null; }
say() { echo "ferry: $*" >&2; }

is_mounted() { # PLACE, as the kernel lists it: a dead one answers nobody
  grep -qF " ${1// /\\040} " /proc/self/mountinfo
}

look() {
  local tool why='' others=0
  offer_scratch "${1:-0}" "$2"
  for tool in $3; do
    ! command -v "$tool" >/dev/null || echo "tool=$tool"
  done
  if [ ! -c /dev/fuse ]; then
    why='the machine has no FUSE (/dev/fuse)'
  elif ! (: <>/dev/fuse) 2>/dev/null; then
    why="$(id -un) may not use FUSE there (/dev/fuse)"
  elif ! command -v fusermount3 >/dev/null && ! command -v fusermount >/dev/null; then
    why='the machine has no fusermount (the package fuse3)'
  fi
  echo "no_fuse=$why"
  # That others (a container's root, say) see what this user mounted, root must allow.
  if [ "$(id -u)" = 0 ] || grep -qs '^[[:space:]]*user_allow_other' /etc/fuse.conf; then
    others=1
  elif [ -n "$1" ] && [ -z "$why" ]; then
    sudo -n sh -c 'echo user_allow_other >>/etc/fuse.conf' 2>/dev/null && others=1
  fi
  printf 'others=%s\nuid=%s\ngid=%s\nscratch=%s\n' "$others" "$(id -u)" "$(id -g)" "$scratch"
  printf 'free=%s\n' "$(df -B1 --output=avail "$scratch" | tail -n 1 | tr -d ' ')"
}

# Nothing that the machine's files or the login shell name: the machine's role, or nobody.
clean() {
  local name kept=()
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY \
    AWS_EC2_METADATA_SERVICE_ENDPOINT SSL_CERT_FILE FERRY_INSTANCE; do
    [ -z "${!name:-}" ] || kept+=("$name=${!name}")
  done
  exec env -i "PATH=$PATH" "HOME=$HOME" AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
    "${kept[@]}" "$@"
}

unmount() { # PLACE
  local tries
  for tries in {1..20}; do
    is_mounted "$1" || return 0
    fusermount3 -u "$1" 2>/dev/null || fusermount -u "$1" 2>/dev/null || umount "$1" 2>/dev/null || sleep 0.2
  done
  fusermount3 -uz "$1" 2>/dev/null || fusermount -uz "$1" 2>/dev/null || umount -l "$1" 2>/dev/null
  ! is_mounted "$1"
}

take_away() { # STATE
  local pid
  touch "$1/over"
  unmount "$(of "$1" place)"
  for pid in $(of "$1" tool) $(of "$1" keeper); do
    for _ in {1..50}; do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
    kill "$pid" 2>/dev/null
  done
}

# What an attempt before saved because it was not in the bucket yet. What the bucket has by now is newer.
join_saved() { # STATE
  local place folder aside file
  place=$(of "$1" place)
  for folder in "$(of "$1" home)" "$(of "$1" links)"; do
    [ -n "$folder" ] && [ -d "$folder" ] && [ ! -L "$folder" ] || continue
    aside=$1/saved
    rm -rf "$aside" && mv "$folder" "$aside" || return 1
    (cd "$aside" && find . -type f -print0) | while IFS= read -rd '' file; do
      mkdir -p "$place/$(dirname "$file")" && cp -u "$aside/$file" "$place/$file" || exit 1
    done || { rm -rf "$folder"; mv "$aside" "$folder"; return 1; }
    rm -rf "$aside"
  done
}

mount_one() { # STATE PLACE -- WORDS…
  local state=$1 place=$2 name value
  shift 3
  mkdir -p "$state" "$place" || exit 1
  if [ "$(printf '%s\0' "$@" | sha256sum)" = "$(sha256sum 2>/dev/null <"$state/words")" ] &&
    [ ! -e "$state/dead" ] && [ ! -e "$state/over" ] &&
    kill -0 "$(of "$state" keeper)" 2>/dev/null && is_mounted "$place"; then
    exit 0
  fi
  [ ! -e "$state/place" ] || take_away "$state"
  unmount "$place" || { say "something is mounted at $place, and cannot be unmounted"; exit 1; }
  rm -f "$state"/{dead,over,keeper,tool,log,cache,below,links,written}
  while IFS= read -rd '' name && IFS= read -rd '' value; do printf %s "$value" >"$state/$name"; done
  printf %s "$place" >"$state/place"
  printf '%s\0' "$@" >"$state/words"
  setsid nohup bash "$0" keep "$state" </dev/null >/dev/null 2>&1 &
  for _ in {1..300}; do
    is_mounted "$place" && break
    [ ! -e "$state/dead" ] || { tail -n 3 "$state/log" >&2; exit 1; }
    sleep 0.1
  done
  # A role that was made a moment ago may be refused for seconds.
  for _ in 1 2 3 4 5; do
    is_mounted "$place" || break
    timeout 20 ls "$place" >/dev/null 2>"$state/why" || { sleep 2; continue; }
    join_saved "$state" 2>"$state/why" && exit 0
    break
  done
  take_away "$state"
  tail -n 3 "$state/log" "$state/why" >&2
  exit 1
}

# rclone's notes of what is to be put, each ended by a NUL.
dirty() { # CACHE
  [ ! -d "$1/vfsMeta" ] || grep -rlZ '"Dirty": *true' "$1/vfsMeta" 2>/dev/null
}

# Whether the cache has all of a file, as it was closed: of one that was changed in its middle the bucket may have the
# rest.
is_whole() { # NOTE FILE
  local size
  size=$(stat -c %s "$2") &&
    [ "$(tr -dc '0-9":,A-Za-z[]' <"$1" | grep -o '"Pos":[0-9]*,"Size":[0-9]*' | tr '\n' ' ')" = \
      "$([ "$size" = 0 ] || echo "\"Pos\":0,\"Size\":$size ")" ]
}

# rclone notes of each file in its cache whether the bucket lacks it, before the first byte is written.
refresh_links() { # STATE
  local cache links below inside file rest
  local -A wanted=()
  cache=$(of "$1" cache) links=$(of "$1" links) below=$(of "$1" below)
  [ -n "$cache" ] && [ -n "$links" ] || return 0
  while IFS= read -rd '' file; do
    inside=${file#"$cache/vfsMeta/"} # rclone's name of the remote, which it makes up, and the path in that
    rest=${inside#*/} rest=${rest#"$below/"} wanted[/$rest]=1
    [ -L "$links/$rest" ] || ! is_whole "$file" "$cache/vfs/$inside" ||
      { mkdir -p "$(dirname "$links/$rest")" && ln -sfn "$cache/vfs/$inside" "$links/$rest"; }
  done < <(dirty "$cache")
  [ -d "$links" ] || return 0
  while IFS= read -rd '' file; do
    rest=${file#"$links/"}
    [ -n "${wanted[/$rest]:-}" ] || rm -f "$file"
  done < <(find "$links" -type l -print0)
  find "$links" -depth -type d -empty -delete
}

keep() { # STATE
  local word words=() tool began
  while IFS= read -rd '' word; do words+=("$word"); done <"$1/words"
  echo $$ >"$1/keeper"
  (clean "${words[@]}") >>"$1/log" 2>&1 </dev/null &
  tool=$!
  echo "$tool" >"$1/tool"
  while kill -0 "$tool" 2>/dev/null; do
    began=$(date +%s%N)
    refresh_links "$1" 2>/dev/null
    began=$((($(date +%s%N) - began) / 100000000)) # of a large cache, a tenth of the time
    sleep "$began.3"
  done
  [ -e "$1/over" ] || touch "$1/dead"
  refresh_links "$1" 2>/dev/null
}

last_words() { grep -v ' / ' "$1/log" 2>/dev/null | tail -n 1 | cut -c 1-300; }

watch() { # ALL
  local state nothing
  exec {nothing}<> <(:)
  while :; do
    for state in "$1"/*; do
      [ -e "$state/dead" ] || continue
      say "the mount of $(of "$state" uri) is gone, so that the training cannot go on: $(last_words "$state")"
      kill -s TERM 0
      return
    done
    read -rt 2 -u "$nothing"
  done
}

# Waits for rclone's uploads as long as they get on.
flush() { # STATE
  local cache left now last='' quiet=0 told=0 fresh failures
  [ -s "$1/cache" ] || return 0
  cache=$(of "$1" cache) fresh=$(grep -c 'failed to upload' "$1/log")
  while left=$(dirty "$cache" | tr -dc '\0' | wc -c) && [ "$left" -gt 0 ]; do
    [ ! -e "$1/dead" ] || return 1
    failures=$(tac "$1/log" | awk '/upload succeeded/ { exit } /failed to upload/ { n++ } END { print n + 0 }')
    now="$left $(grep -c 'upload succeeded' "$1/log")"
    now+=" $(sed -n 's|.*[^0-9.]\([0-9.]* [KMGTP]*i*B*\) / .*|\1|p' "$1/log" | tail -n 1)"
    [ "$now" = "$last" ] && quiet=$((quiet + 1)) || quiet=0
    last=$now
    [ "$quiet" -lt 240 ] || return 1
    if [ "$failures" -ge 4 ] && [ "$(grep -c 'failed to upload' "$1/log")" -gt "$fresh" ]; then return 1; fi
    [ $((told % 60)) != 10 ] || say "$left files are still on their way to $(of "$1" uri)"
    told=$((told + 1))
    sleep 0.5
  done
}

end_all() { # ALL
  local state code=0
  trap '' TERM # who ends a training lets it save, and this is that
  for state in "$1"/*; do
    [ -e "$state/place" ] && [ ! -e "$state/over" ] || continue
    flush "$state" || refresh_links "$state"
    if [ -e "$state/dead" ]; then
      say "the mount of $(of "$state" uri) had gone before the training's end:" \
        "what was written after that is not there ($(last_words "$state"))"
      code=1
    elif [ -s "$state/cache" ] && [ -n "$(dirty "$(of "$state" cache)" | tr -d '\0')" ]; then
      say "what was written could not be put into $(of "$state" uri); it comes home:" \
        "$(grep 'failed to upload' "$state/log" | tail -n 1 | cut -c 1-400)"
    elif [ -e "$state/written" ]; then
      say "what was written there is in $(of "$state" uri)"
    fi
    take_away "$state"
  done
  return $code
}

case $verb in
  look) look "$@" ;;
  mount) mount_one "$@" ;;
  keep) keep "$@" ;;
  watch) watch "$@" ;;
  end) end_all "$@" ;;
esac
