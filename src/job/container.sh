# Trains in a docker container. Sent ahead of environment.sh, whose variables and functions it uses; defines
#   train_in_container    gets the image, starts the run's container, writes ACTIVATE, tells the facts
# The container lives as long as the file OWN-FOLDER/container/alive: whoever removes the run's folder ends it, too.

get_docker() {
  local said
  docker=(docker)
  if ! command -v docker >/dev/null; then
    [ "$rented" = 1 ] && command -v apt-get >/dev/null && install_packages docker.io ||
      give_up "there is no docker on this machine: install it, take an image that has it (image_id: base)," \
        "or write environment: auto"
  fi
  said=$(docker version 2>&1 >/dev/null) && return
  sudo -n docker version >/dev/null 2>&1 && docker=(sudo -n docker) && return
  give_up "docker cannot be used here as $(id -un): ${said##*$'\n'}
let it in (sudo usermod -aG docker $(id -un)), start docker (sudo systemctl start docker), or write environment: auto"
}

# Sets image and made.
get_image() {
  if [ -n "$name" ]; then
    image=${name#docker:} made="$image as pulled before"
    "${docker[@]}" image inspect "$image" >/dev/null 2>&1 && return
    say "pulling $image"
    "${docker[@]}" pull "$image" >&2 ||
      give_up "the image $image cannot be pulled: look at its name; for a private one, docker login on the machine"
    made="$image pulled"
  else
    file=${file:-Dockerfile}
    [ -e "$file" ] || give_up "the Dockerfile is not there: $file"
    say "building $file"
    (umask 022 && exec "${docker[@]}" build --iidfile "$own_folder/image" -f "$file" . >&2) ||
      give_up "$file cannot be built"
    read -r image <"$own_folder/image" || [ -n "$image" ] || give_up "docker did not say what it built"
    made="$file built"
  fi
}

# What root in the container wrote belongs to the owner of the folder, whatever users are called inside and outside.
own_again='own_again() {
  for folder do
    owner=$(ls -ldn "$folder" | { read -r _ _ user group _; echo "$user:$group"; })
    [ "$owner" = 0:0 ] || chown -hR "$owner" "$folder"
  done
}'

# The first process of the container, which cannot be killed from inside: FOLDER WORKDIR SCRATCH
ferry_keeper="$own_again"'
trap "exit 0" TERM
while [ -e "$1/alive" ]; do sleep 1; done
kill -9 -1
own_again "$2" "$3"'

# Around each script: FIFO WORKDIR SCRATCH LAST, the script on standard input. A line in FIFO is a wish to end; its end
# means that whoever wished is gone, so that nothing may go on. Asked to end, it waits for all of its group, as a saving
# training is. As the agent does outside: readers of pipes are told to end after their writers, and what the last script
# left in the background is waited for while it writes.
ferry_wrapper="$own_again"'
# Sets group: what runs in the group, but the shell itself and what "me" is and does.
members() {
  group=" "
  for stat in /proc/[0-9]*/stat; do
    pid=${stat#/proc/} pid=${pid%/stat}
    [ "$pid" != $$ ] && [ "$pid" != "$me" ] && read -r line 2>/dev/null <"$stat" || continue
    set -- ${line##*) }
    [ "$3" = $$ ] && [ "$1" != Z ] && [ "$2" != "$me" ] && group="$group$pid "
  done
}
# Sets busy: those of group that read what another writes, unless that reads from them, too.
look_at_pipes() {
  reads=" " writes=" " busy=" " table=$(ls -l /proc/[0-9]*/fd 2>/dev/null)
  while read -r mode rest; do
    case "$mode $rest" in
      /proc/*/fd:*) holder=${mode#/proc/} holder=${holder%/fd:} ;;
      l*" -> pipe:["*)
        case $group in *" $holder "*) ;; *) continue ;; esac
        pipe=${rest##*"pipe:["} pipe=${pipe%"]"}
        case $mode in lr*) reads="$reads$pipe:$holder " ;; esac
        case $mode in l?w*) writes="$writes$pipe:$holder " ;; esac ;;
    esac
  done <<TABLE
$table
TABLE
  for end in $reads; do
    pipe=${end%:*} reader=${end#*:} mutual=
    case $writes in *" $pipe:$reader "*) continue ;; *" $pipe:"*) ;; *) continue ;; esac
    writer=${writes#*" $pipe:"} writer=${writer%% *}
    for other in $writes; do
      [ "${other#*:}" != "$reader" ] || case $reads in *" ${other%:*}:$writer "*) mutual=1 ;; esac
    done
    [ -n "$mutual" ] || busy="$busy$reader "
  done
}
tell_in_order() {
  read -r line </proc/self/stat
  me=${line%% *} rounds=0 free=" "
  members
  look_at_pipes
  late=$busy
  for pid in $group; do
    case $late in *" $pid "*) ;; *) kill -s TERM "$pid" ;; esac
  done
  kill -s TERM $$
  while [ "$late" != " " ]; do
    sleep 1
    rounds=$((rounds + 1)) waiting=$late late=" "
    members
    look_at_pipes
    for pid in $waiting; do
      case $group in *" $pid "*) ;; *) continue ;; esac
      [ $rounds -lt 25 ] || busy=" " free="$free$pid "
      case $busy in
        *" $pid "*) late="$late$pid " ;;
        *) case $free in *" $pid "*) kill -s TERM "$pid" ;; *) free="$free$pid " late="$late$pid " ;; esac ;;
      esac
    done
  done
}
# Sets left: what runs in the container and did not when the script began.
look_at_left() {
  left=" "
  for stat in /proc/[0-9]*/stat; do
    pid=${stat#/proc/} pid=${pid%/stat}
    case " $$ $watcher $before" in *" $pid "*) continue ;; esac
    read -r line 2>/dev/null <"$stat" || continue
    set -- ${line##*) }
    # The group of the first process is the keeper.
    [ "$3" != 1 ] && [ "$1" != Z ] && left="$left$pid "
  done
  [ "$left" != " " ]
}
wait_for_the_left() { # WORKDIR
  quiet=0 waited=0 size=0 seen= names= count=0
  while [ -z "$asked" ] && look_at_left && [ $quiet -lt 5 ] && [ $waited -lt 600 ]; do
    now=$(ls -ln "$1"; ls -lnR "$1/outputs" 2>/dev/null)
    [ "$now" = "$seen" ] && quiet=$((quiet + 1)) || quiet=0
    seen=$now
    if [ $waited -ge 60 ] && [ $((waited % 5)) = 0 ]; then
      read -r kib line <<SIZE
$(du -sk "$1/outputs" 2>/dev/null || echo 0)
SIZE
      [ $waited = 60 ] || [ "$kib" -ge $((size + 1024)) ] || break
      size=$kib
    fi
    waited=$((waited + 1))
    sleep 1
  done
  look_at_left || return
  for pid in $left; do
    count=$((count + 1))
    line=$(tr "\000" " " 2>/dev/null <"/proc/$pid/cmdline")
    [ $count -gt 3 ] || names="$names${names:+, }${line% }"
  done
  [ $count -le 3 ] || names="$names and $((count - 3)) more"
  [ -n "$asked" ] || echo "ferry: stopped what still ran in the background: $names" >&2
}
others() {
  for stat in /proc/[0-9]*/stat; do
    pid=${stat#/proc/} pid=${pid%/stat}
    [ "$pid" != $$ ] && [ "$pid" != "$watcher" ] && read -r line 2>/dev/null <"$stat" || continue
    set -- ${line##*) }
    [ "$3" = $$ ] && [ "$1" != Z ] && return
  done
  return 1
}
trap asked=1 TERM
{ trap "" TERM
  while read -r wish; do tell_in_order & done <"$1"
  case $(tr -d "\000" </proc/1/cmdline) in *ferry-keeper*) kill -9 -1 ;; *) kill -s KILL -- "-$$" ;; esac
  own_again "$2" "$3"
} </dev/null >/dev/null 2>&1 &
watcher=$! before=" "
for stat in /proc/[0-9]*/stat; do pid=${stat#/proc/} before="$before${pid%/stat} "; done
shell=sh
command -v bash >/dev/null && shell=bash
text=$(cat)
if [ ${#text} -lt 30000 ]; then
  "$shell" -c "$text" </dev/null
else # more than an argument may hold
  printf %s "$text" | "$shell" -c '"'"'text=$(cat) && exec </dev/null && eval "$text"'"'"'
fi
code=$?
[ -z "$4" ] || wait_for_the_left "$2"
while [ -n "$asked" ] && others; do sleep 0.1 2>/dev/null || sleep 1; done
{ kill -9 $watcher; wait $watcher; } 2>/dev/null
own_again "$2" "$3"
exit $code'

# Sets wanted: the task's own options for docker run, in which ~ and $HOME are this machine's; what would hide ferry's
# own folders is refused.
look_at_options() {
  local option target place
  wanted=()
  for option in "${run_options[@]}"; do
    option=${option//'$HOME'/$HOME} option=${option//'${HOME}'/$HOME}
    case $option in "--volume=~/"*) option="--volume=$HOME/${option#*/}" ;; esac
    target=
    case $option in
      --volume=*:*) target=${option#*:} target=${target%%:*} ;;
      --volume=* | --tmpfs=*) target=${option#*=} target=${target%%:*} ;;
      --mount=*) target=${option#*dst=} target=${target#*destination=} target=${target#*target=} target=${target%%,*} ;;
    esac
    for place in "$PWD" "$own_folder" "$scratch"; do
      [ -n "$target" ] || continue
      case "$place/" in "${target%/}"/*) ;; *) case "${target%/}/" in "$place"/*) ;; *) continue ;; esac ;; esac
      give_up "config.docker.run_options: $option would cover $place, which is ferry's in the container:" \
        "mount it elsewhere"
    done
    wanted+=("$option")
  done
}

start_container() {
  local options wanted device said folder=$own_folder/container all place
  look_at_options
  all=" ${wanted[*]} "
  container=ferry-$(basename "$own_folder")
  mkdir -p "$folder" "$own_folder/notice"
  touch "$folder/alive"
  options=(--rm --name "$container" --label "ferry.run=$(basename "$own_folder")" --user 0:0
    --security-opt label=disable --workdir "$PWD" -v "$PWD:$PWD" -v "$folder:$folder" -v "$scratch:$scratch"
    -v "$own_folder/notice:$own_folder/notice:ro") # where FERRY_NOTICE is
  # What the task says of these itself is not said twice; a size of its shared memory is of its own.
  case $all in *" --network="*) ;; *) options+=(--network host) ;; esac
  case $all in *" --ipc="* | *" --shm-size="*) ;; *) options+=(--ipc host) ;; esac
  case $all in *" --gpus="*) ;; *) nvidia-smi -L >/dev/null 2>&1 && options+=(--gpus all) ;; esac
  for device in /dev/neuron*; do [ ! -e "$device" ] || options+=(--device "$device"); done
  # Buckets that are mounted; where the machine lets mounts be told of, their end is seen inside, too.
  if [ -d "$own_folder/buckets" ]; then
    case $(findmnt -no PROPAGATION -T "$own_folder/buckets" 2>/dev/null) in
      *shared* | *slave*) options+=(-v "$own_folder/buckets:$own_folder/buckets:rslave") ;;
      *) options+=(-v "$own_folder/buckets:$own_folder/buckets") ;;
    esac
  fi
  if [ -e "$own_folder-volumes" ]; then
    while IFS= read -r place; do options+=(-v "$place:$place"); done <"$own_folder-volumes"
  fi
  "${docker[@]}" rm -f "$container" >/dev/null 2>&1
  said=$("${docker[@]}" run -d "${options[@]}" "${wanted[@]}" --entrypoint sh "$image" \
    -c "$ferry_keeper" ferry-keeper "$folder" "$PWD" "$scratch" 2>&1 >/dev/null) && return
  case $said in
    *"device driver"* | *nvidia*) give_up "$said
the container cannot have the GPUs: install the NVIDIA container toolkit (the Deep Learning AMIs have it)" ;;
    *'"sh"'* | *'exec sh'*) give_up "$said
the image has no shell, which setup and run need" ;;
  esac
  give_up "$said
the container cannot be started"
}

# In the training's shell: runs TEXT in the container, as the shell itself would; LAST, the container ends with it.
# Variables are passed by name, for values could be secrets. docker does not hand signals on, so that a FIFO does:
# SIGTERM is a line in it, and when this process is killed, the kernel closes it.
ferry_inside() { # TEXT [LAST]
  local fifo=$ferry_folder/wishes.$$ fd client code told variable list= words=("${ferry_docker[@]}") options=()
  for variable in "${!FERRY_@}" "${!SKYPILOT_@}" PYTHONUNBUFFERED CUDA_VISIBLE_DEVICES $ferry_names; do
    [ -n "${!variable+set}" ] || continue
    export "$variable"
    options+=(-e "$variable")
    list=$list${list:+,}$variable
  done
  [ "${words[0]}" = docker ] || words=(sudo -n "--preserve-env=$list" docker)
  mkfifo -m 600 "$fifo" && exec {fd}<>"$fifo" || return 1
  trap 'told=1; echo TERM >&"$fd"' TERM
  printf '%s' "$1" | setsid "${words[@]}" exec -i "${options[@]}" -w "$PWD" "$ferry_container" \
    sh -c "$ferry_wrapper" ferry-wrapper "$fifo" "$PWD" "$FERRY_SCRATCH" "${2:-}" {fd}>&- &
  client=$!
  while told= && wait "$client"; code=$? && [ -n "$told" ]; do :; done
  exec {fd}>&-
  rm -f "$fifo"
  [ -z "${2:-}" ] || rm -f "$ferry_folder/alive"
  return "$code"
}

train_in_container() {
  local docker image made container
  mkdir -p "$own_folder"
  get_docker
  get_image
  start_container
  local ferry_docker=("${docker[@]}") ferry_container=$container ferry_folder=$own_folder/container ferry_names=$names
  {
    declare -p ferry_docker ferry_container ferry_folder ferry_names ferry_wrapper
    declare -f ferry_inside
  } >>"$activate"
  facts "$made" "${docker[@]}" exec -i "$container"
}
