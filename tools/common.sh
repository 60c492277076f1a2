# Sourced by every command of ./run: folders, messages, steps that say what they do and how long they took.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cache=${BERTLENS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bertlens}
export BERTLENS_CACHE=$cache
jobs=${BERTLENS_JOBS:-$(nproc 2>/dev/null || sysctl -n hw.ncpu)}
# the Node.js that set-up put into the cache goes before the system's
[ ! -x "$cache/node/bin/node" ] || export PATH=$cache/node/bin:$PATH

say() { printf '%s\n' "$*"; }
die() { printf 'bertlens: %s\n' "$*" >&2; exit 1; }

# step "what it does" command...: the output is kept in a log and shown only if the command fails (or with VERBOSE=1).
# Sets step_status and returns 0; `must` stops at a failure. (bash ignores `set -e` inside anything followed by ||, so
# neither is ever called that way.)
step() {
  local title=$1 log start; shift
  start=$(date +%s.%N)
  mkdir -p build/logs
  log=build/logs/$(printf '%s' "$title" | tr -cs 'a-zA-Z0-9' '-').log
  printf '%-62s' "$title ..."
  set +e
  if [ -n "${VERBOSE:-}" ]; then
    echo
    (set -e; "$@") < /dev/null 2>&1 | tee "$log"; step_status=${PIPESTATUS[0]}
  else
    (set -e; "$@") > "$log" 2>&1 < /dev/null; step_status=$?
  fi
  set -e
  if [ $step_status -ne 0 ]; then
    say "FAILED"
    tail -n 60 "$log" >&2
    printf '\n"%s" failed; the whole output is in %s\n' "$title" "$log" >&2
  else
    awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%7.1f s\n", b - a }'
  fi
}
must() { step "$@"; [ "$step_status" -eq 0 ] || exit 1; }
