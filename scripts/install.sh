#!/bin/sh
# Installs ferry for this user alone, without root: one static file, its manual page and completions.
#   sh install.sh                       from the files of a release beside it, or from where that release is published
#   sh install.sh --from URL|FOLDER     from there
#   sh install.sh --to FOLDER           to another folder than ~/.local/bin
#   sh install.sh --uninstall           takes away what it brought; runs, keys and settings stay
# Piped: curl -fsSL URL/install.sh | sh -s -- --from URL
set -eu

published="" # where this release is published; scripts/release fills it in

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

# fetch NAME FILE: the release's file NAME into FILE.
fetch() {
  case $from in
    https://*) only='=https' ;;
    http://*) only='=http,https' ;;
    *) cp "$from/$1" "$2" 2>/dev/null || die "there is no $1 in $from"; return 0 ;;
  esac
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --proto "$only" --retry 2 -o "$2" "$from/$1" || die "$from/$1 could not be fetched"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -O "$2" "$from/$1" || die "$from/$1 could not be fetched"
  else
    die "neither curl nor wget is here; install one, or fetch the release's files yourself and give --from FOLDER"
  fi
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1" | cut -d' ' -f1
  elif command -v shasum >/dev/null 2>&1; then shasum -a 256 "$1" | cut -d' ' -f1
  elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r "$1" | cut -d' ' -f1
  else die "nothing here computes SHA-256 (sha256sum, shasum, openssl); install coreutils"
  fi
}

pick() {
  case $(uname -s) in
    Linux) ;;
    Darwin) die "ferry runs on Linux; on a Mac, in a Linux virtual machine" ;;
    *) die "ferry runs on Linux; on Windows, in WSL: wsl --install, then this line again in there" ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) say ferry-linux-x86_64 ;;
    aarch64 | arm64) say ferry-linux-aarch64 ;;
    *) die "there is no ferry for $(uname -m), only for x86-64 and arm64" ;;
  esac
}

# Whether this is a ferry, and not something of that name that others made.
is_ferry() { [ -x "$1" ] && "$1" --version 2>/dev/null | grep -q '^ferry [0-9]'; }

uninstall() {
  if is_ferry "$program"; then
    rented=""
    if [ -e "$data/ferry/ledger.db" ]; then rented=$("$program" ps -q 2>/dev/null) || rented=""; fi
    if [ -n "$rented" ]; then
      say "These runs are not over, and ferry is what ends them:"
      say "$rented"
      die "first: $program down --all"
    fi
    rm -f "$program"
  elif [ -e "$program" ]; then
    die "$program is no ferry; it stays"
  fi
  rm -f "$man" "$bash" "$zsh" "$fish"
  # Folders that are empty now, below the home.
  for file in "$program" "$man" "$bash" "$zsh" "$fish"; do
    case $file in
      "$HOME"/*/*) folder=${file#"$HOME"/}; (cd "$HOME" && rmdir -p "${folder%/*}" 2>/dev/null) || true ;;
    esac
  done
  say "ferry is uninstalled."
  if [ -d "$data/ferry" ]; then
    say "Its ledger, keys and logs of runs are still in $data/ferry: rm -r deletes them."
  fi
}

tell_path() {
  case :$PATH: in
    *:"$to":*) return 0 ;;
  esac
  say "$to is not in your PATH. For this and every later shell:"
  case ${SHELL:-} in
    */fish) say "    fish_add_path $to" ;;
    */zsh) say "    echo 'export PATH=\"$to:\$PATH\"' >>~/.zshrc; . ~/.zshrc" ;;
    *) say "    echo 'export PATH=\"$to:\$PATH\"' >>~/.bashrc; . ~/.bashrc" ;;
  esac
}

put() { # put WHAT FILE: what the program generates, where its reader looks for it
  if mkdir -p "$(dirname "$2")" 2>/dev/null && "$program" generate "$1" >"$2.new" 2>/dev/null; then
    mv -f "$2.new" "$2"
  else
    rm -f "$2.new" 2>/dev/null
    say "! $2 could not be written; ferry works without it"
  fi
}

main() {
  from="" uninstalls=""
  to="$HOME/.local/bin"
  while [ $# -gt 0 ]; do
    case $1 in
      --from | --to) [ $# -gt 1 ] || die "$1 what?" ;;
    esac
    case $1 in
      --from) from=${2%/}; shift ;;
      --to) to=$2; shift ;;
      --uninstall) uninstalls=yes ;;
      -h | --help) say "sh install.sh [--from URL|FOLDER] [--to FOLDER] [--uninstall]"; exit 0 ;;
      *) die "unknown: $1 (sh install.sh --help)" ;;
    esac
    shift
  done
  case $to in
    /*) ;;
    *) to=$PWD/$to ;;
  esac
  data=${XDG_DATA_HOME:-$HOME/.local/share}
  program=$to/ferry
  man=$data/man/man1/ferry.1
  bash=$data/bash-completion/completions/ferry
  zsh=$data/zsh/site-functions/_ferry
  fish=$data/fish/vendor_completions.d/ferry.fish
  if [ -n "$uninstalls" ]; then
    uninstall
    exit 0
  fi

  name=$(pick)
  if [ -z "$from" ]; then
    beside=$(dirname "$0")
    if [ -e "$beside/SHA256SUMS" ] && [ -e "$beside/$name" ]; then from=$beside; else from=$published; fi
  fi
  [ -n "$from" ] || die "where from? Give --from URL or --from FOLDER: where a release's files are"
  if [ -e "$program" ] && ! is_ferry "$program"; then
    die "$program is there and is no ferry; move it away, or give --to FOLDER"
  fi
  mkdir -p "$to" || die "$to cannot be made"
  work=$(mktemp -d "$to/.ferry-install.XXXXXX") || die "nothing can be written in $to"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM HUP
  fetch SHA256SUMS "$work/sums"
  fetch "$name" "$work/ferry"
  expected=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$name\$/\1/p" "$work/sums")
  [ -n "$expected" ] || die "$from/SHA256SUMS does not name $name"
  [ "$(sha256 "$work/ferry")" = "$expected" ] ||
    die "the SHA-256 of $from/$name is not the one in SHA256SUMS: nothing was installed"
  chmod 755 "$work/ferry"
  version=$("$work/ferry" --version) || die "$name does not run here: nothing was installed"
  mv -f "$work/ferry" "$program"
  put man "$man"
  put bash "$bash"
  put zsh "$zsh"
  put fish "$fish"
  say "$version is in $program (SHA-256 verified)."
  tell_path
  command -v ssh >/dev/null 2>&1 || say "ferry calls ssh, which is not here: sudo apt-get install openssh-client"
  say "Try it without an account: ferry run --infra rehearsal --yes -- sh -c 'mkdir outputs; date >outputs/model.txt'"
  say "To undo: sh install.sh --uninstall, or rm $program $man $bash $zsh $fish"
}

# At the end: what is piped to sh and was cut does nothing.
main "$@"
