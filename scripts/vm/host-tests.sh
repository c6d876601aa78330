#!/bin/sh
# host-tests.sh: what is run on a virtual host with systemd, by its last unit. It
# installs the plugin, makes the network of the README, and looks at what servers
# and their gateway reach after everything that host firewalls do. PARTS, on the
# kernel's command line, picks from: plain ufw nftables firewalld reboot.
# Lines that begin with "vm:" are for whoever waits; the rest is the log.
set -u
PARTS=$(sed -n 's/.*mcpnet\.parts=\([^ ]*\).*/\1/p' /proc/cmdline | tr , ' ')
HOME=/root failed=/root/failed
export HOME

say() { echo "vm: $*"; }
part() { case " $PARTS " in *" $1 "*) return 0 ;; esac; return 1; }
fail() { say "  FAIL $*"; touch $failed; }

# world: an internet of one machine behind an uplink, as a namespace.
world() {
	ip netns add internet
	ip link add uplink0 type veth peer name eth0 netns internet
	ip addr add 198.51.100.1/24 dev uplink0
	ip link set uplink0 up
	ip -n internet link set lo up
	ip -n internet link set eth0 up
	ip -n internet addr add 198.51.100.2/24 dev eth0
	ip -n internet addr add 203.0.113.10/32 dev lo
	ip route add default via 198.51.100.2
	ip netns exec internet /repo/build/vm/test-demo-gateway -name internet -listen 203.0.113.10:80 &
	/repo/build/vm/test-demo-gateway -name host -listen :2222 &
}

# image: busybox, the demo's gateway and its probe.
image() {
	mkdir -p /root/image/bin
	cp /bin/busybox /root/image/bin/busybox
	cp /repo/build/vm/test-demo-gateway /root/image/gateway
	cp /repo/build/vm/test-demo-probe /root/image/probe
	tar -C /root/image -c . | docker import - demo >/dev/null
}

# populate: the network of the README.
populate() {
	# A driver answers within ten seconds. The first time, the kernel loads modules meanwhile, and software emulation is slow.
	for _ in 1 2 3 4 5; do
		docker network create -d mcpnet --subnet 172.20.0.0/16 --ip-range 172.20.240.0/20 --gateway 172.20.0.1 \
			-o mcpnet.gateway=172.20.0.100:8080 mcp-secure && break
	done
	container gateway --ip 172.20.0.100
	container server --ip 172.20.240.2
	container peer --ip 172.20.240.3
}

container() {
	name=$1
	shift
	docker run -d --name "$name" --restart always --network mcp-secure "$@" demo /gateway -name "$name" -listen :8080,:3000
}

# ask FROM KIND TARGET answers|closed: one attempt. A probe that says nothing was not run: the engine was too slow.
ask() {
	for _ in 1 2 3; do
		seen=$(timeout 60 docker exec "$1" /probe "$2" "$3" 2>&1)
		[ -z "$seen" ] || break
	done
	case $seen in
	*'"answered":true'*) [ "$4" = answers ] ;;
	*'"answered":false'*) [ "$4" = closed ] ;;
	*) false ;;
	esac || fail "$1 → $2 $3: want $4, seen: $seen"
}

# running waits for containers that the engine starts again.
running() {
	for name in gateway server peer; do
		for _ in $(seq 60); do
			docker exec "$name" /bin/busybox true 2>/dev/null && continue 2
			sleep 2
		done
		fail "$name does not run: $(docker inspect -f '{{.State.Status}} {{.State.Error}}' "$name" 2>&1)"
	done
}

# check WHAT: a server reaches its gateway and nothing else; a gateway reaches its servers and the internet.
check() {
	running
	sleep 5 # a firewall tells of its changes when it has made them
	say "$(cut -d . -f 1 /proc/uptime) s: $1"
	ask server http 172.20.0.100:8080 answers
	ask gateway http 172.20.240.2:3000 answers
	ask gateway http 203.0.113.10:80 answers
	ask server http 172.20.0.100:3000 closed
	ask server http 172.20.240.3:3000 closed
	ask server http 172.20.0.1:2222 closed
	ask server http 198.51.100.1:2222 closed
	ask server http 203.0.113.10:80 closed
	ask server udp 203.0.113.53:53 closed
	ask gateway http 198.51.100.1:2222 closed
	/repo/build/mcpnet status || fail "mcpnet status: $?"
}

# event COMMAND: something that happens to a host, and what is reached after it.
event() {
	echo "\$ $1"
	sh -c "$1" || fail "$1: $?"
	check "$1"
}

first_boot() {
	/repo/scripts/plugin-install.sh /repo/build/plugin || fail "the plugin is not installed"
	image
	populate
	check "plugin installed"
	if part plain; then
		event "iptables -F; iptables -t nat -F"
		event "nft flush ruleset"
		event "systemctl restart docker"
	fi
	if part ufw; then
		event "ufw --force enable"
		event "ufw reload"
		event "systemctl restart ufw"
		event "ufw --force disable"
	fi
	if part nftables; then
		event "systemctl start nftables"
		event "systemctl restart nftables"
		event "systemctl stop nftables"
	fi
	if part firewalld; then
		event "systemctl start firewalld"
		event "firewall-cmd --reload"
		event "firewall-cmd --complete-reload"
		event "systemctl restart firewalld"
		event "systemctl restart docker"
		event "systemctl stop firewalld"
	fi
}

# prepare_reboot: what is enabled when the host starts again.
prepare_reboot() {
	systemctl -q enable nftables
	if part firewalld; then systemctl -q enable firewalld; fi
	touch /root/rebooted
}

world
say "Linux $(uname -r), $(systemctl --version | head -n 1), Docker $(docker version -f '{{.Server.Version}}')"
if [ ! -e /root/rebooted ]; then
	first_boot
	if part reboot; then prepare_reboot; fi
else
	check "rebooted"
fi
[ -e $failed ] || say "passed"
sync
systemctl poweroff
