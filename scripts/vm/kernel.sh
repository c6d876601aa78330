#!/bin/sh
# kernel.sh SUITE...: the stock kernels of Debian suites, for virtual machines.
#
# A kernel with its modules lies at ${MCPNET_CACHE:-/var/cache/mcpnet}/kernel-SUITE
# and is fetched once: remove the directory to have a newer one. It comes through
# an apt state of its own; nothing is installed on the machine.
# MCPNET_MIRROR names a Debian mirror; without it the machine's own is used.
set -eu

CACHE=${MCPNET_CACHE:-/var/cache/mcpnet}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "kernel: $*" >&2; }
die() { say "$*"; exit 1; }

# mirror: where the machine has its own packages from.
mirror() {
	# shellcheck disable=SC2016 # apt's own variable
	apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/$' || die "no Debian mirror in apt's sources: set MCPNET_MIRROR"
}

# own_apt DIR COMMAND...: apt-get or apt-cache with everything that it keeps in DIR.
own_apt() {
	dir=$1 command=$2
	shift 2
	"$command" -qq -o Dir::State="$dir" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir" \
		-o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o APT::Architecture=amd64 -o APT::Sandbox::User=root "$@"
}

# parts DIR: the packages of the newest kernel. Newer ones have their modules in packages of their own.
parts() {
	own_apt "$1" apt-cache depends --recurse --no-pre-depends --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances linux-image-amd64 | grep -E '^linux-(image|modules|binary)-[0-9]' | sort -u
}

# fetch SUITE DIR: unpacks it into DIR.
fetch() {
	apt=$2.apt
	rm -rf "$apt" "$2"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$2"
	: >"$apt/status"
	echo "deb [signed-by=$KEYRING] ${MCPNET_MIRROR:-$(mirror)} $1 main" >"$apt/sources.list"
	own_apt "$apt" apt-get update
	packages=$(parts "$apt")
	say "$1: $(echo "$packages" | tr '\n' ' ')"
	# shellcheck disable=SC2086 # a list of words
	(cd "$apt" && own_apt . apt-get download $packages)
	for package in "$apt"/*.deb; do dpkg-deb -x "$package" "$2"; done
	# The places of modules and of the kernel, on older and on newer systems.
	[ -d "$2/lib/modules" ] || { mkdir -p "$2/lib" && mv "$2/usr/lib/modules" "$2/lib/"; }
	find "$2" -type f -name 'vmlinuz*' -exec cp {} "$2/vmlinuz" \;
	rm -rf "${2:?}/boot" "${2:?}/usr"
	for version in "$2"/lib/modules/*; do depmod -b "$2" "${version##*/}" 2>/dev/null; done
	rm -rf "$apt"
}

[ $# -gt 0 ] || die "usage: kernel.sh SUITE..."
[ -r "$KEYRING" ] || die "$KEYRING is missing: run scripts/deps.sh"
mkdir -p "$CACHE"
for suite; do
	# Two of the same wait for each other; the second one then finds it there.
	(
		flock 9
		if [ ! -d "$CACHE/kernel-$suite" ]; then
			fetch "$suite" "$CACHE/.kernel-$suite.tmp"
			mv "$CACHE/.kernel-$suite.tmp" "$CACHE/kernel-$suite"
		fi
	) 9>"$CACHE/.kernel-$suite.lock"
done
