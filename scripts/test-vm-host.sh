#!/bin/sh
# test-vm-host.sh [SUITE]: boots a Debian host (trixie unless another is named)
# with systemd, Docker, firewalld, ufw and nftables.service in a virtual machine,
# twice, and looks at what servers and gateways reach: scripts/vm/host-tests.sh.
# PARTS picks what happens to the host.
set -eu
# shellcheck source=scripts/vm/machine.sh
. "$(dirname "$0")/vm/machine.sh"

suite=${1:-trixie}

# boot NAME: the disk that this run has, as it is.
boot() {
	run_machine "$1" -m 4096 -kernel "$CACHE/host-$suite/vmlinuz" -initrd "$CACHE/host-$suite/initrd" \
		-append "console=ttyS0 root=/dev/vda rw panic=-1 quiet mitigations=off tsc=reliable mcpnet.parts=$(echo "$PARTS" | tr ' ' ,)" \
		-drive "file=$TMP/disk,if=virtio,format=raw,cache=unsafe" \
		-fsdev "local,id=repo,path=$REPO,security_model=none,readonly=on" -device virtio-9p-pci,fsdev=repo,mount_tag=repo
}

PARTS=${PARTS:-plain ufw nftables firewalld reboot}
scripts/vm/host.sh "$suite"
[ -d build/plugin ] || die "build/plugin is missing: run make rootfs"
programs test/demo/gateway test/demo/probe
cp --sparse=always "$CACHE/host-$suite/disk" "$TMP/disk"
boot "host-$suite" || die "FAILED: see build/vm/host-$suite.log"
case " $PARTS " in
*" reboot "*) boot "host-$suite-again" || die "FAILED: see build/vm/host-$suite-again.log" ;;
esac
say "$suite: passed"
