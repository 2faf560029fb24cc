# Ends what ferry started on a machine of the person's own, and removes what it left: sh -s -- run|host AGENT RUN…
# run: the agents, trainings and files of the runs. host: also ferry's folder, unless another run needs it.
# AGENT: the agent's program.
# Prints a line that begins with "left:" for everything that could not be ended or removed.
mode=$1 agent=$2
shift 2
cd "$HOME/.ferry" 2>/dev/null || exit 0

# Process ids whose command line ($1: cmdline) or environment (environ) has one of the lines of standard input.
pids_with() {
  grep -laxzF -f - /proc/[0-9]*/"$1" 2>/dev/null |
    while IFS=/ read -r _ _ pid _; do [ "$pid" = "$$" ] || echo "$pid"; done
}

# Agents, and ends of file transfers, of the runs: known by the run's folder on their command line.
agents() {
  for run; do printf '%s\n' "$HOME/.ferry/runs/$run" "$HOME/.ferry/work/$run"; done | pids_with cmdline |
    while read -r pid; do
      ! grep -qaF '/ferry-agent-' "/proc/$pid/cmdline" 2>/dev/null || echo "$pid"
    done
}

# What the trainings started, however they detached it: ferry's variable is in its environment.
trainings() {
  for run; do printf 'FERRY_RUN=%s\n' "$run"; done | pids_with environ
}

# Runs whose agent lives, "NAME" a line.
served() {
  grep -lazF "$HOME/.ferry/bin/ferry-agent-" /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do
    tr '\0' '\n' <"$file" 2>/dev/null | sed -n "s|^$HOME/.ferry/runs/\([^/]*\)\$|\1|p"
  done | sort -u
}

# wait_for LIST SECONDS RUN…: true when LIST has become empty.
wait_for() {
  list=$1 tries=$(($2 * 100))
  shift 2
  while [ -n "$($list "$@")" ]; do
    [ "$tries" -gt 0 ] || return 1
    tries=$((tries - 1))
    sleep 0.01
  done
}

# end LIST SECONDS RUN…: ends the processes of a list; those that do not end within their time are killed.
end() {
  list=$1 seconds=$2
  shift 2
  pids=$($list "$@")
  [ -n "$pids" ] || return 0
  kill $pids 2>/dev/null
  wait_for "$list" "$seconds" "$@" || {
    doubtful=yes
    kill -KILL $($list "$@") 2>/dev/null
  }
}

end_runs() {
  [ $# -gt 0 ] || return 0
  doubtful=
  # An agent that is asked to end stops its training first, which has five seconds to save.
  end agents 10 "$@"
  end trainings 2 "$@"
  for run; do
    [ -d "runs/$run/container" ] && command -v docker >/dev/null || continue
    doubtful=yes
    for docker in docker "sudo -n docker"; do
      ids=$(timeout 20 $docker ps -aq --filter "label=ferry.run=$run" </dev/null 2>/dev/null)
      [ -z "$ids" ] || timeout 60 $docker rm -f $ids </dev/null >/dev/null 2>&1
    done
  done
  [ -n "$doubtful" ] || return 0
  wait_for agents 5 "$@"
  wait_for trainings 5 "$@"
  for pid in $(agents "$@") $(trainings "$@"); do
    echo "left: process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-80))"
  done
}

# Buckets that a run mounted: nothing below them may be removed. Once they are unmounted, what mounted them is ended.
unmount_buckets() { # RUN
  [ -d "runs/$1/buckets" ] || [ -d "runs/$1/mounted" ] || return 0
  for place in "runs/$1/buckets"/*; do
    for try in 1 2 3 4 5; do
      grep -qF " $HOME/.ferry/$place " /proc/self/mountinfo || break
      fusermount3 -u "$place" 2>/dev/null || fusermount -u "$place" 2>/dev/null || sleep 0.2
    done
    grep -qF " $HOME/.ferry/$place " /proc/self/mountinfo || continue
    fusermount3 -uz "$place" 2>/dev/null || fusermount -uz "$place" 2>/dev/null
    ! grep -qF " $HOME/.ferry/$place " /proc/self/mountinfo || return 1
  done
  for state in "runs/$1/mounted"/*; do
    for name in tool keeper; do
      pid=$(cat "$state/$name" 2>/dev/null) && grep -qaF "/.ferry/runs/$1" "/proc/$pid/cmdline" 2>/dev/null &&
        kill "$pid" 2>/dev/null
    done
  done
  return 0
}

remove_files() {
  for run; do
    unmount_buckets "$run" || {
      echo "left: $HOME/.ferry/runs/$run/buckets, where a bucket is mounted: nothing of the run was removed"
      continue
    }
    mkdir -p "trash/$$/kept" "trash/$$/rest"
    [ "$mode" = host ] || keep_contents "$run"
    put_away "work/$run"
    put_away "runs/$run" "runs/$run-sync.state" "runs/$run-sync.state.list" "runs/$run-sync.state.list-name" \
      "runs/$run-outputs.hashes" "runs/$run-outputs.hashes.list" \
      "runs/$run-env.sh" "runs/$run-data.json" "runs/$run-buckets.sh"
  done
  empty_trash "$@"
}

# Out of the way at once; removing many files takes its time.
put_away() { # PATH…, of different names
  for path; do
    shift
    [ ! -e "$path" ] && [ ! -h "$path" ] || set -- "$@" "$path"
  done
  [ $# -gt 0 ] || return
  mv -- "$@" "trash/$$/rest/" 2>/dev/null && return
  for path; do
    [ ! -e "$path" ] && [ ! -h "$path" ] || rm -rf -- "$path" 2>/dev/null ||
      echo "left: $HOME/.ferry/$path, which could not be removed"
  done
}

# What was sent is kept for other runs: when the trash is emptied.
keep_contents() { # RUN
  [ -f "runs/$1-sync.state" ] && [ -d "work/$1" ] && [ ! -h "work/$1" ] || return 0
  [ ! -f "runs/$1-sync.state.list-name" ] || set -- "$1" "runs/$1-sync.state.list-name"
  mv -- "runs/$1-sync.state" "work/$1" ${2+"$2"} "trash/$$/kept/"
} 2>/dev/null

# What is soon done is waited for, and what cannot be removed is told; the rest goes on in the background. What that
# leaves, or one that was killed, the next one removes.
empty_trash() { # RUN…
  [ -d trash ] || return 0
  # Folders without write permission are opened up, as long as they are ours.
  (
    for run; do
      [ ! -d "trash/$$/kept/$run" ] || nice "$agent" keep "trash/$$/kept/$run" \
        --state "trash/$$/kept/$run-sync.state" --contents contents
    done
    rm -rf trash/* 2>/dev/null && exit
    find trash -xdev -type d ! -perm -700 -exec chmod u+rwx {} + 2>/dev/null
    rm -rf trash/* 2>/dev/null
  ) </dev/null >/dev/null 2>&1 &
  tries=60
  while kill -0 $! 2>/dev/null; do
    [ "$mode" = host ] || [ "$tries" -gt 0 ] || return 0
    tries=$((tries - 1))
    sleep 0.005
  done
  [ ! -e "trash/$$" ] || echo "left: $HOME/.ferry/trash/$$, which could not be removed"
}

end_runs "$@"
remove_files "$@"
[ "$mode" = host ] || exit 0

# An agent whose run's folder is gone serves nobody, and would make the folder anew.
orphans=
for run in $(served); do [ -e "runs/$run" ] || orphans="$orphans $run"; done
end_runs $orphans
others=$(served)
if [ -z "$others" ] && [ -z "$(ls -A runs work 2>/dev/null | grep -v ':$' | xargs)" ]; then
  # Disks that are mounted there stay, with what is on them.
  cd && find "$HOME/.ferry" -xdev -depth -delete 2>/dev/null
  [ -z "$(find "$HOME/.ferry" -xdev ! -type d 2>/dev/null | head -n 1)" ] ||
    echo "left: $HOME/.ferry, which could not be removed"
  exit 0
fi
[ -z "$others" ] || echo "others: $(echo $others)"
