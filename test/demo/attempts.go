package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// attempt is one thing that a container tries.
type attempt struct {
	what string
	from string
	// probe is the kind of the attempt and its target.
	probe [2]string
	// answers tells whether it has to get through.
	answers bool
	// control is the same attempt where nothing stands in its way, from a
	// container on an ordinary bridge: without it a closed door proves nothing.
	control [2]string
}

// outcome is what the probe printed.
type outcome struct {
	Answered bool
	Detail   string
	Took     time.Duration
}

// result is an attempt with what came of it.
type result struct {
	attempt
	seen    outcome
	control *outcome
}

const (
	server = "mcp-demo-server-a"
	plain  = "mcp-demo-plain-a"
)

// attempts is the script of the demo.
func (s *scene) attempts() []attempt {
	gatewayPlain := s.address("mcp-demo-gateway", plainNet)
	list := []attempt{
		{what: "server → gateway, its port", probe: http(gatewayAddr + ":8080"), answers: true},
		{what: "server → gateway, by name", probe: http("gateway:8080"), answers: true},
		{what: "gateway → server", from: "mcp-demo-gateway", answers: true,
			probe: http(s.address("mcp-demo-server-b", secureNet) + serverPort)},
		{what: "server → gateway, another port", probe: http(gatewayAddr + ":9090"),
			control: http(gatewayPlain + ":9090")},
		{what: "server → gateway, UDP", probe: udp(gatewayAddr + ":8080"), control: udp(gatewayPlain + ":8080")},
		{what: "server → the other server", probe: http(s.address("mcp-demo-server-b", secureNet) + serverPort),
			control: http(s.address("mcp-demo-plain-b", plainNet) + serverPort)},
		{what: "server → the other server, UDP", probe: udp(s.address("mcp-demo-server-b", secureNet) + serverPort),
			control: udp(s.address("mcp-demo-plain-b", plainNet) + serverPort)},
		{what: "server → container of another network", probe: http(s.address("mcp-demo-plain-b", plainNet) + serverPort),
			control: http(s.address("mcp-demo-plain-b", plainNet) + serverPort)},
		{what: "server → host, at the bridge", probe: http(bridgeAddr + hostPort), control: http(plainBridge + hostPort)},
		{what: "server → host, at another bridge", probe: http(plainBridge + hostPort), control: http(plainBridge + hostPort)},
	}
	if s.world != nil {
		list = append(list, outside()...)
	}
	return list
}

// outside lists the attempts that leave the host. They are made only where the
// internet is ours.
func outside() []attempt {
	var list []attempt
	for _, target := range []struct{ what, at string }{
		{"host, at its uplink", testnet.HostAddr.String() + hostPort},
		{"internet, IPv4", testnet.InternetHost.String() + ":80"},
		{"internet, IPv6", "[" + testnet.InternetHost6.String() + "]:80"},
		{"cloud metadata", testnet.Metadata.String() + ":80"},
	} {
		list = append(list, attempt{what: "server → " + target.what, probe: http(target.at), control: http(target.at)})
	}
	return append(list,
		attempt{what: "server asks for a name outside", probe: dns("from-server." + hiddenName), control: dns("from-plain." + hiddenName)},
		attempt{what: "gateway → internet", from: "mcp-demo-gateway", answers: true, probe: http(testnet.InternetHost.String() + ":80")})
}

func http(target string) [2]string { return [2]string{"http", target} }
func udp(target string) [2]string  { return [2]string{"udp", target} }
func dns(name string) [2]string    { return [2]string{"dns", name} }

// run makes the attempts one after the other, so that each has the time it
// takes for itself.
func (s *scene) run(ctx context.Context, attempts []attempt) ([]result, error) {
	var results []result
	for _, a := range attempts {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if a.from == "" {
			a.from = server
		}
		seen, err := s.try(a.from, a.probe)
		if err == nil && seen.Took > leak.AnswerLimit { // the machine may have been busy
			seen, err = s.try(a.from, a.probe)
		}
		if err != nil {
			return nil, err
		}
		r := result{attempt: a, seen: seen}
		if a.control[0] != "" {
			control, err := s.try(plain, a.control)
			if err != nil {
				return nil, err
			}
			r.control = &control
		}
		results = append(results, r)
	}
	return results, nil
}

// try runs the probe in a container.
func (s *scene) try(container string, probe [2]string) (outcome, error) {
	out, err := s.engine.Docker("exec", container, "/probe", probe[0], probe[1])
	if err != nil {
		return outcome{}, err
	}
	var o outcome
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		return outcome{}, fmt.Errorf("probe in %s: %w: %q", container, err, out)
	}
	return o, nil
}
