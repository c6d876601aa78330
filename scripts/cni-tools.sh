#!/bin/sh
# cni-tools.sh: builds what tests of containerd and Podman need beside the
# engines, into ${MCPNET_CACHE:-/var/cache/mcpnet}/cni-1.9.1, once.
#
#   bridge, host-local, ...   the reference CNI plugins; static, for every tree
#   cnitool                   calls plugins as an engine does
#   grpcurl, cri.proto        call containerd's CRI (crictl is not to be had:
#                             Debian has no package and the Go checksum database
#                             does not know its module)
#
# They are built beside their place and moved there when complete, so that
# whatever is there is whole. Nothing is installed on the machine.
set -eu

CACHE=${MCPNET_CACHE:-/var/cache/mcpnet}
PLUGINS=v1.9.1
CNI=v1.3.0
GRPCURL=v1.9.3
CRI=v0.34.0
NAMES="main/bridge main/loopback ipam/host-local ipam/static meta/firewall meta/portmap meta/bandwidth meta/tuning"

say() { echo "cni-tools: $*" >&2; }
die() { say "$*"; exit 1; }

# whole DIR: everything that this script makes is there.
whole() {
	for name in $NAMES; do
		[ -x "$1/${name#*/}" ] || return 1
	done
	[ -x "$1/cnitool" ] && [ -x "$1/grpcurl" ] && [ -r "$1/cri.proto" ]
}

# install DIR PACKAGE@VERSION...: static programs of one module.
install() {
	bin=$1
	shift
	GOFLAGS='' CGO_ENABLED=0 GOBIN="$bin" go install -trimpath -ldflags "-s -w \
		-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$PLUGINS" "$@"
}

# build DIR: everything, into a directory that is there.
build() {
	packages=
	for name in $NAMES; do
		packages="$packages github.com/containernetworking/plugins/plugins/$name@$PLUGINS"
	done
	# shellcheck disable=SC2086 # a list of words
	install "$1" $packages
	install "$1" "github.com/containernetworking/cni/cnitool@$CNI"
	install "$1" "github.com/fullstorydev/grpcurl/cmd/grpcurl@$GRPCURL"
	# Outside of any module: the version is ours to name.
	module=$(cd / && GOFLAGS='' go mod download -json "k8s.io/cri-api@$CRI" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
	[ -n "$module" ] || die "k8s.io/cri-api@$CRI: no directory: run go mod download by hand and see what it says"
	cp "$module/pkg/apis/runtime/v1/api.proto" "$1/cri.proto"
	chmod 644 "$1/cri.proto"
}

command -v go >/dev/null || die "go is missing"
mkdir -p "$CACHE"
[ -w "$CACHE" ] || die "$CACHE is not writable: run as root, or set MCPNET_CACHE"
tools=$CACHE/cni-${PLUGINS#v} tmp=$CACHE/.cni.tmp
# Two builds wait for each other; the second then finds everything there.
exec 9>"$CACHE/.cni.lock"
flock 9
if whole "$tools"; then
	say "present"
	exit
fi
say "building (about three minutes)"
rm -rf "$tmp" "$tools"
mkdir "$tmp"
build "$tmp"
whole "$tmp" || die "built, but not everything: see $tmp"
mv "$tmp" "$tools"
say "ready in $tools ($(du -sh "$tools" | cut -f1))"
