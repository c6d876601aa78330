#!/bin/sh
# leftovers.sh: fails when tests left something on the machine. Everything that
# they make carries the pid of its maker in its name; what belongs to a process
# that still runs is not left over.
set -eu

status=0
# check KIND PREFIX PATH...: complains about paths whose maker has ended.
check() {
	kind=$1 prefix=$2
	shift 2
	for path; do
		[ -e "$path" ] || continue
		pid=${path##*/"$prefix"}
		pid=${pid%%-*}
		[ -d "/proc/$pid" ] && continue
		echo "left behind: $kind $path" >&2
		status=1
	done
}

check "network namespace" mcpt- /run/netns/mcpt-*
check cgroup mcpnet-test- /sys/fs/cgroup/mcpnet-test-* /sys/fs/cgroup/*/mcpnet-test-*
check directory mcpnet-test- "${TMPDIR:-/tmp}"/mcpnet-test-*
exit $status
