package testnet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// SwallowedErrors is how many ICMP errors the namespace's kernel kept to itself because there were too many at once
// (OutRateLimitGlobal in /proc/net/snmp, 0 on kernels that do not count them). TCP hears of an address that nobody
// answers for by such an error. Since Linux 6.11 the limit is a namespace's own and its bucket starts empty: of a new
// namespace's first two errors one is lost, when two processors fill the bucket at the same instant
// (icmp_global_allow in net/ipv4/icmp.c). TCP then hears only after the next round of ARP.
func (n *NS) SwallowedErrors() (count int, err error) {
	err = n.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		count, err = snmpCounter(string(text), "Icmp:", "OutRateLimitGlobal")
		return err
	})
	return count, err
}

// snmpCounter reads one column of a protocol's two lines, names above values. One that the kernel does not have is 0.
func snmpCounter(text, protocol, name string) (int, error) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i := range min(len(names), len(fields)) {
			if names[i] == name {
				return strconv.Atoi(fields[i])
			}
		}
		return 0, nil
	}
	return 0, fmt.Errorf("no values of %s", protocol)
}
