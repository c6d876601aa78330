# machine.sh: what scripts with virtual machines share; read by them. A machine's
# console is build/vm/NAME.log. It ends by itself, and when the script ends.
# Software emulation is slow but works everywhere; VM_ACCEL=kvm is for machines
# where that works.
# shellcheck shell=sh disable=SC2034

cd "$(dirname "$0")/.." || exit 1
CACHE=${MCPNET_CACHE:-/var/cache/mcpnet}
REPO=$PWD BUILT=$PWD/build/vm machine=''
export CGO_ENABLED=0

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }
name() { echo "$1" | tr / -; }

# programs DIR...: static programs, for machines without Go.
programs() {
	for dir; do go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$BUILT/$(name "$dir")" "./$dir"; done
}

# run_machine NAME ARGUMENT...: runs qemu to its end, and fails unless the last line for us is "passed".
run_machine() {
	log=$BUILT/$1.log name=$1
	shift
	timeout -k 5 "${VM_LIMIT:-60m}" qemu-system-x86_64 -accel "${VM_ACCEL:-tcg}" -cpu max -smp 2 \
		-nodefaults -no-reboot -display none -serial stdio "$@" </dev/null >"$log" 2>&1 &
	machine=$!
	tail -n +1 -f --pid=$machine "$log" | sed -un "s/^vm: /$name: /p" &
	# A shell hears of an interrupt in wait, and not before a command has ended.
	wait $machine || say "$name: the machine did not end by itself"
	machine=
	wait
	grep -q '^vm: passed' "$log"
}

# tidy ends a machine that still runs, and removes what it started with.
# shellcheck disable=SC2317 # a trap calls it
tidy() {
	if [ -n "$machine" ]; then kill "$machine"; fi
	rm -rf "$TMP"
}

[ "$(id -u)" -eq 0 ] || die "needs root: a machine reads what root reads"
mkdir -p "$BUILT"
TMP=$(mktemp -d)
trap tidy EXIT
trap 'exit 130' INT TERM
