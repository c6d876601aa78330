#!/bin/sh
# tests.sh: what is run within a virtual machine with a stock kernel. Lines that
# begin with "vm:" are for whoever waits; the rest of the console is the log.
# The programs were built before: there is no Go here worth waiting for.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILT=$PWD/build/vm
export PATH="$BUILT/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" TMPDIR=/run/tmp HOME=/run/tmp CI=true

say() { echo "vm: $*"; }
uptime() { cut -d . -f 1 /proc/uptime; }

# run DIR ARGUMENT...: the tests of a package, where they expect to be.
run() {
	dir=$1 began=$(uptime) out=/run/out
	shift
	case " ${TESTS:-$dir} " in *" $dir "*) ;; *) return ;; esac
	{
		(cd "$dir" && "$BUILT/$(echo "$dir" | tr / -).test" -test.v -test.timeout 30m ${RUN:+"-test.run=$RUN"} "$@")
		echo $? >/run/status
	} 2>&1 | tee $out
	status=$(cat /run/status)
	grep -E '^ *--- FAIL|^panic' $out | sed 's/^ *--- /vm:   /'
	grep -oE '[a-z0-9-]+ is missing \([^)]*\)' $out | sort -u | sed 's/^/vm:   /'
	passed=$(grep -cE '^ *--- PASS' $out)
	say "$([ "$status" -eq 0 ] && echo ok || echo FAIL) $dir: $passed passed, $(($(uptime) - began)) s"
	[ "$status" -eq 0 ] || failed=yes
}

# first_rules has the kernel load its modules, as it does for the first rules of a host. In software emulation that takes
# longer than a runtime waits for a plugin.
first_rules() {
	unshare -n sh -ec '
		ip link add mcp-rport type veth peer name mcp-router
		nft -c -f internal/firewall/testdata/network-default.nft
		nft -c -f internal/firewall/testdata/host-default.nft
		iptables -S; iptables -t nat -S; ip6tables -S' >/dev/null || say "no rules can be loaded"
}

failed=no
first_rules
say "Linux $(uname -r), $(nft --version), $(iptables --version), up after $(uptime) s"
run internal/firewall/nft -test.parallel 2
run internal/firewall/iptables -test.parallel 2
run internal/link -test.parallel 2
run internal/ns
run test/leak -test.parallel 1 # a storm beside a question makes the kernel drop it
run test/cni -test.parallel 2
dmesg | grep -E 'WARNING:|BUG:|Oops' && failed=yes
[ $failed = yes ] || say "passed"
