#!/bin/sh
# plugin-rootfs.sh OUT [BINARY]: makes the root file system of the managed plugin.
#
# It holds the static plugin binary, nft, iptables in both flavours with its
# extensions, and the libraries these link to, copied from the machine that
# builds; nothing else, no shell. BINARY defaults to build/mcpnet-plugin.
# The Dockerfile runs this very script, so both ways give the same tree.
set -eu

die() { echo "plugin-rootfs: $*" >&2; exit 1; }

OUT=${1:-}
BINARY=${2:-$(dirname "$0")/../build/mcpnet-plugin}
[ -n "$OUT" ] || die "usage: plugin-rootfs.sh OUT [BINARY]"
[ -x "$BINARY" ] || die "$BINARY is missing: run make build"
PATH=$PATH:/usr/sbin:/sbin

# libraries FILE...: what the files link to, the loader included.
libraries() {
	ldd "$@" 2>/dev/null | sed -n 's/.*=> *\(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ :]*\) (.*/\1/p' | sort -u
}

# place FILE: copies a file to where it lies on the machine. Libraries are
# asked for as /lib/… and as /usr/lib/…; the tree has one of the two.
place() {
	target=$1
	case $target in /lib/* | /lib64/* | /sbin/*) target=/usr$target ;; esac
	mkdir -p "$TREE$(dirname "$target")"
	cp -L "$1" "$TREE$target"
}

# tool NAME: the program of that name, with links followed to the real file.
tool() {
	found=$(command -v "$1") || die "$1 is missing: run scripts/deps.sh"
	readlink -f "$found"
}

# extensions: the directory of iptables' extensions, under which they are looked for.
extensions() {
	dir=$(find /usr/lib* -maxdepth 2 -type d -name xtables | head -n 1)
	[ -n "$dir" ] || die "the extensions of iptables are missing: run scripts/deps.sh"
	mkdir -p "$TREE$dir"
	cp -a "$dir/." "$TREE$dir/"
}

# iptables: one binary for each flavour under all its names.
iptables() {
	for flavour in nft legacy; do
		multi=$(tool "iptables-$flavour")
		cp -L "$multi" "$TREE/usr/sbin/"
		libraries "$multi" | while read -r file; do place "$file"; done
		for family in iptables ip6tables; do
			for verb in '' -restore -save; do
				ln -s "$(basename "$multi")" "$TREE/usr/sbin/$family-$flavour$verb"
			done
		done
	done
	extensions
	# Some extensions link to libraries that the programs do not.
	libraries "$TREE"/usr/lib*/xtables/*.so "$TREE"/usr/lib/*/xtables/*.so |
		while read -r file; do place "$file"; done
}

TREE=$OUT.tmp
rm -rf "$TREE"
# Every directory that the engine mounts something on.
for dir in usr/bin usr/sbin usr/lib usr/lib64 proc sys dev tmp etc run/docker/plugins var/lib/mcpnet host/run host/proc/sys/net; do
	mkdir -p "$TREE/$dir"
done
: >"$TREE/host/proc/mountinfo"
for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$TREE/$dir"; done
cp "$BINARY" "$TREE/mcpnet-plugin"
nft=$(tool nft)
cp -L "$nft" "$TREE/usr/sbin/nft"
libraries "$nft" | while read -r file; do place "$file"; done
iptables
# What dockerd was given is not writable by others, whatever our umask is.
chmod -R u=rwX,go=rX "$TREE"
rm -rf "$OUT"
mv "$TREE" "$OUT"
echo "plugin-rootfs: $OUT ($(du -sh "$OUT" | cut -f1))"
