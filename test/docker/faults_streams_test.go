package docker_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// streams are connections that a test holds over what it breaks: one that a server opened, and one that the gateway
// opened. Bytes go forth and back in both all the time, and are compared.
type streams struct {
	*faultLab
	server *testnet.NS // of the server that has one end of each, and no part in the attack
	all    []*testhost.Stream
}

// streamLimit is how long a stream may take on a busy machine to bring the next bytes.
const streamLimit = 10 * time.Second

// hold opens the connections.
func (f *faultLab) hold() *streams {
	f.t.Helper()
	s := f.holdServers()
	s.all = append(s.all, testhost.OpenStream(f.t, f.inside("gateway"), s.server, faultOther+":3001"))
	return s
}

// holdServers opens the one of the server alone.
func (f *faultLab) holdServers() *streams {
	f.t.Helper()
	server, gateway := f.inside("other"), f.inside("gateway")
	return &streams{f, server, []*testhost.Stream{testhost.OpenStream(f.t, server, gateway, faultGateway+":8443")}}
}

// move fails unless both carry bytes now.
func (s *streams) move() {
	s.t.Helper()
	for _, one := range s.all {
		one.Moves(streamLimit)
	}
}

// finish ends them, and fails if one was broken or has lost a byte.
func (s *streams) finish() {
	s.t.Helper()
	for _, one := range s.all {
		one.Finish()
	}
}

// lost counts the segments of both connections that did not arrive, as the server's kernel counts them: those that it
// had to repeat, without those that the other end had already, and those that left a gap.
func (s *streams) lost() int {
	s.t.Helper()
	return counter(s.server, "snmp", "Tcp", "RetransSegs") - counter(s.server, "netstat", "TcpExt", "TCPDSACKRecv") +
		counter(s.server, "netstat", "TcpExt", "TCPOFOQueue")
}

// counter reads a counter of a namespace from /proc/net: a line of names, and one of values.
func counter(in *testnet.NS, file, group, name string) (value int) {
	_ = in.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil {
			return err
		}
		var names []string
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if fields[0] != group+":" {
				continue
			}
			for i := range names {
				if names[i] == name {
					value, err = strconv.Atoi(fields[i])
					return err
				}
			}
			names = fields
		}
		return fmt.Errorf("%s has no %s %s", file, group, name)
	})
	return value
}

// quiet fails if a fault cost a segment, or ended a connection.
func (s *streams) quiet(fault string, before int) {
	s.t.Helper()
	s.move()
	if lost := s.lost() - before; lost > 0 {
		s.t.Errorf("%s: %d segments between server and gateway were lost", fault, lost)
	}
}
