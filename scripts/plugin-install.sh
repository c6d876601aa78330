#!/bin/sh
# plugin-install.sh [DIR]: installs the managed plugin in DIR (default:
# build/plugin) into the engine at DOCKER_HOST, over an older one if need be.
#
# The name is constant. It must not resolve to mcpnet:latest: Docker would take
# that plugin for `-d mcpnet` and then not find a driver of exactly this name.
#
# Replacing: only `docker plugin upgrade` keeps a plugin's directory, and that
# asks a registry. So the old one is disabled, removed and created anew. Networks
# and containers stay and run on meanwhile: the kernel holds their wires and
# rules, and a new endpoint waits for the driver or is refused. The driver finds
# its networks again in Docker's own list.
set -eu

NAME=mcpnet/driver:latest
DIR=${1:-$(dirname "$0")/../build/plugin}

say() { echo "plugin-install: $*" >&2; }
die() { say "$*"; exit 1; }

# settings: what the administrator has set, as NAME=VALUE lines.
settings() {
	docker plugin inspect --format '{{range .Settings.Env}}{{println .}}{{end}}' "$NAME" |
		grep '^MCPNET_' || true
}

# take_out: removes the old plugin. Docker refuses to disable a driver that
# networks hold; these do not need it for what they have.
take_out() {
	say "replacing the plugin that is there"
	if [ "$(docker plugin inspect --format '{{.Enabled}}' "$NAME")" = true ]; then
		docker plugin disable "$NAME" >/dev/null 2>&1 || docker plugin disable --force "$NAME" >/dev/null
	fi
	docker plugin rm "$NAME" >/dev/null
}

[ -x "$DIR/rootfs/mcpnet-plugin" ] || die "$DIR holds no plugin: run make rootfs"
docker version >/dev/null || die "no engine answers"
# Once the old one is gone the new one has to follow.
trap '' INT TERM
keep=
if docker plugin inspect "$NAME" >/dev/null 2>&1; then
	keep=$(settings)
	take_out
fi
docker plugin create "$NAME" "$DIR" >/dev/null
for setting in $keep; do
	docker plugin set "$NAME" "$setting" || say "not kept: $setting"
done
docker plugin enable --timeout 30 "$NAME" >/dev/null
say "$NAME is enabled: docker network create -d mcpnet ..."
