#!/bin/sh
# test-vm.sh [SUITE...]: runs packet tests on stock kernels of Debian (bookworm
# unless others are named), each in a virtual machine.
#
# A machine has the files of this one, read-only, and no network device: see
# scripts/vm/init. TESTS picks packages and RUN tests, as in
# TESTS="test/leak internal/ns" RUN="TestLeaks|TestPin".
set -eu
# shellcheck source=scripts/vm/machine.sh
. "$(dirname "$0")/vm/machine.sh"

PACKAGES="test/leak internal/firewall/nft internal/firewall/iptables internal/link internal/ns test/cni"
# What tests build on the way.
PROGRAMS="cni"

# build: the test programs, and what they call `go` for.
build() {
	mkdir -p "$BUILT/bin"
	for dir in ${TESTS:-$PACKAGES}; do go test -c -o "$BUILT/$(name "$dir").test" "./$dir"; done
	# shellcheck disable=SC2086 # a list of words
	programs $PROGRAMS
	cat >"$BUILT/bin/go" <<-END
		#!/bin/sh
		# Stands in for go in a virtual machine: what tests build is built already.
		case "\$1 \$2" in
		"list -m") echo "$REPO" ;;
		"list -deps") ;; # asked for the go command's cache, which is not here
		"build "*)
			while [ \$# -gt 1 ]; do [ "\$1" != -o ] || out=\$2; shift; done
			exec cp "$BUILT/\$(echo "\${1#github.com/mcpnet/mcpnet/}" | tr / -)" "\$out"
			;;
		*) echo "no go in a virtual machine: \$*" >&2; exit 1 ;;
		esac
	END
	chmod 755 "$BUILT/bin/go"
}

# modules KERNEL NAME...: files of modules, in the order of loading. What is built into a kernel has none.
modules() {
	kernel=$1
	shift
	for wanted; do
		modprobe -d "$kernel" -S "$(basename "$kernel"/lib/modules/*)" --show-depends "$wanted" || true
	done 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# first_files DIR KERNEL: what the machine starts with: busybox, init and the modules of 9p.
first_files() {
	mkdir -p "$1/bin" "$1/modules" "$1/proc" "$1/dev" "$1/host" "$1/run"
	cp "$(command -v busybox)" "$1/bin/busybox"
	ln -s busybox "$1/bin/sh"
	cp scripts/vm/init "$1/init"
	load=
	for module in $(modules "$2" virtio_pci 9pnet_virtio 9p); do
		plain=$(basename "$module" | sed 's/\.ko.*/.ko/')
		case $module in
		*.xz) xz -dc "$module" ;;
		*.zst) zstd -qdc "$module" ;;
		*) cat "$module" ;;
		esac >"$1/modules/$plain"
		load="$load $plain"
	done
	printf 'MODULES="%s"\nREPO="%s"\nLOAD="%s"\nexport TESTS="%s" RUN="%s"\n' \
		"$2" "$REPO" "$load" "${TESTS:-}" "${RUN:-}" >"$1/settings"
}

# boot SUITE: one machine, to its end.
boot() {
	first_files "$TMP/$1" "$CACHE/kernel-$1"
	(cd "$TMP/$1" && find . | cpio -o -H newc --quiet) >"$TMP/$1.cpio"
	run_machine "$1" -m 2048 -kernel "$CACHE/kernel-$1/vmlinuz" -initrd "$TMP/$1.cpio" \
		-append "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable" \
		-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
		-device virtio-9p-pci,fsdev=root,mount_tag=root
}

[ $# -gt 0 ] || set -- bookworm
scripts/vm/kernel.sh "$@"
build
status=0
for suite; do
	began=$(date +%s) result=passed
	boot "$suite" || result="FAILED: see build/vm/$suite.log" status=1
	say "$suite: $result, $(($(date +%s) - began)) s"
done
exit $status
