# Sourced by the training's shell: waits until $ferry_wanted GPUs are free (all of them when it is 0 or too many;
# without GPUs: the machine). One lock file for each, held open by the training's processes: the kernel frees it when
# they are gone.
ferry_queue() {
  local slots=$HOME/.ferry/slots have=0 count slot fd fds free told=
  [ -d "$slots" ] || mkdir -p "$slots"
  ! command -v nvidia-smi >/dev/null || have=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
  count=$((have > 0 ? have : 1))
  if [ "$ferry_wanted" -eq 0 ] || [ "$ferry_wanted" -gt "$count" ]; then ferry_wanted=$count; fi
  while :; do
    free='' fds=()
    for ((slot = 0; slot < count && ${#fds[@]} < ferry_wanted; ++slot)); do
      exec {fd}>"$slots/$slot"
      if flock -n "$fd"; then free=$free,$slot fds+=("$fd"); else exec {fd}>&-; fi
    done
    [ "${#fds[@]}" -lt "$ferry_wanted" ] || break
    for fd in "${fds[@]}"; do exec {fd}>&-; done
    [ -n "$told" ] || echo "ferry: another run uses this machine; waiting for it" >&2
    told=1
    sleep 1
  done
  [ "$have" -eq 0 ] || export CUDA_VISIBLE_DEVICES=${free#,}
}
if command -v flock >/dev/null; then ferry_queue; fi
unset -f ferry_queue
