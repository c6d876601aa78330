#!/bin/sh
# deps.sh [plugin|vm]: installs what is missing on a Debian or Ubuntu machine.
#
# With "plugin" only what the root file system of the plugin is copied from,
# otherwise everything that building and testing need besides Go and make; with
# "vm" also what virtual machines need.
# Runs as root or through sudo, starts no service, and says what it does.
set -eu

say() { echo "deps: $*" >&2; }
die() { say "$*"; exit 1; }

SUDO=
[ "$(id -u)" -eq 0 ] || SUDO=sudo
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=

# need PACKAGE FILE-OR-COMMAND: notes the package when that is not there.
need() {
	case $2 in
	/*) [ -e "$2" ] && return ;;
	*) command -v "$2" >/dev/null && return ;;
	esac
	missing="$missing $1"
}

# install PACKAGE...: without starting the services that some of them hold. A
# policy-rc.d that answers 101 forbids that; one that is there already stays.
install() {
	command -v apt-get >/dev/null || die "apt-get is not here: install by hand:$missing"
	[ -z "$SUDO" ] || command -v sudo >/dev/null || die "run as root, or install sudo"
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap '$SUDO rm -f /usr/sbin/policy-rc.d' EXIT
		trap 'exit 130' INT TERM
		printf '#!/bin/sh\nexit 101\n' | $SUDO tee /usr/sbin/policy-rc.d >/dev/null
		$SUDO chmod +x /usr/sbin/policy-rc.d
	fi
	$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -q update
	$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
}

need nftables nft
need iptables iptables
if [ "${1:-}" != plugin ]; then
	need iproute2 ip
	need util-linux nsenter
	need busybox-static busybox
	need debootstrap debootstrap
	need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
	need ca-certificates /etc/ssl/certs/ca-certificates.crt
	need shellcheck shellcheck
	# The race detector links with a C compiler; nothing that is shipped does.
	need gcc gcc
	need libc6-dev /usr/include/stdlib.h
fi
if [ "${1:-}" = vm ]; then
	need qemu-system-x86 qemu-system-x86_64
	need kmod modprobe
	need cpio cpio
	need xz-utils xz
	need zstd zstd
	need e2fsprogs mkfs.ext4
fi
if [ -z "$missing" ]; then
	say "everything is here"
	exit 0
fi
say "installing$missing"
# shellcheck disable=SC2086 # a list of words
install $missing
say "done"
