package policy

// foreign holds options of Docker's bridge driver that people bring along,
// with what mcpnet does in that matter. Accepting one in silence would promise
// something that does not happen.
var foreign = map[string]string{
	"com.docker.network.bridge.default_bridge":          "a mcpnet network is never the default bridge",
	"com.docker.network.bridge.enable_icc":              "servers on a mcpnet network never reach each other",
	"com.docker.network.bridge.enable_ip_masquerade":    "what leaves the network is set with " + KeyEgress,
	"com.docker.network.bridge.gateway_mode_ipv4":       "what leaves the network is set with " + KeyEgress,
	"com.docker.network.bridge.gateway_mode_ipv6":       "IPv6 is denied entirely",
	"com.docker.network.bridge.host_binding_ipv4":       "the host's address is named with each port: -p ADDRESS:PORT:PORT",
	"com.docker.network.bridge.host_binding_ipv6":       "IPv6 is denied entirely",
	"com.docker.network.bridge.inhibit_ipv4":            "the bridge's address is set with --gateway",
	"com.docker.network.bridge.trusted_host_interfaces": "only the gateway's tuples are reachable",
	"com.docker.network.bridge.container_iface_prefix":  ifacePrefix,
	"com.docker.network.container_iface_prefix":         ifacePrefix,
}

const ifacePrefix = "mcpnet names the interfaces of containers eth0, eth1 and so on"

// foreignReason says why the key of another driver is refused.
func foreignReason(name string) (string, bool) {
	instead, found := foreign[name]
	return "belongs to Docker's bridge driver; " + instead, found
}
