# Sourced by the tests of this folder: a rehearsal cloud of its own in a temporary folder, ended and checked afterwards.
# Usage: . lib.sh FERRY
set -eu
ferry=$1
[ -x "$ferry" ] || { echo "usage: $0 FERRY" >&2; exit 2; }
scratch=$(mktemp -d)
export XDG_DATA_HOME=$scratch/data FERRY_REHEARSAL_BOOT_MS=${FERRY_REHEARSAL_BOOT_MS:-100}
export AWS_PAGER= AWS_MAX_ATTEMPTS=1 AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
instances=$XDG_DATA_HOME/ferry/rehearsal/instances

# An aws CLI before 2.13 knows no AWS_ENDPOINT_URL.
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }

fail() { echo "FAIL: $*" >&2; exit 1; }
skip() { echo "SKIP: $*"; exit 77; }
need() { for program in "$@"; do command -v "$program" >/dev/null || skip "$program is not installed"; done; }
# No process and no folder of an instance may be left.
nothing_left() {
  if [ -d "$instances" ] && [ -n "$(ls -A "$instances")" ]; then fail "folders left: $(ls "$instances")"; fi
  if pgrep -f "$instances" >/dev/null; then fail "processes left: $(pgrep -af "$instances")"; fi
}
# expect_code CODE COMMAND…: the command must fail with that AWS error code.
expect_code() {
  code=$1; shift
  if "$@" >"$scratch/out" 2>&1; then fail "succeeded, expected $code: $*"; fi
  grep -q "($code)" "$scratch/out" || fail "expected $code: $(cat "$scratch/out")"
}
finish() {
  status=$?
  "$ferry" rehearsal stop >/dev/null 2>&1 || true
  if [ $status -ne 0 ] && [ $status -ne 77 ]; then
    tail -n 30 "$XDG_DATA_HOME/ferry/rehearsal/server.log" 2>/dev/null >&2 || true
  fi
  rm -rf "$scratch"
  exit $status
}
trap finish EXIT
begin() { "$ferry" rehearsal start >/dev/null; eval "$("$ferry" rehearsal env)"; }
