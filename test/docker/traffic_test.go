package docker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// idleTime is longer than the timeouts of a minute that the rules have.
const idleTime = 65 * time.Second

// startIdle opens connections in both directions that carry nothing for idleTime, and gives the part of the test that
// waits for them.
func (l *lab) startIdle() func(*lab) {
	s := l.segment("idle", "172.16")
	gateway, server := s.gateway("8080"), s.start("server", "3000")
	s.connects(server, s.at("0.100:8080"))
	s.connects(gateway, server+":3000")
	type outcome struct {
		what string
		attempt
		err error
	}
	results := make(chan outcome)
	routes := [][2]string{{server, s.at("0.100:8080")}, {gateway, server + ":3000"}}
	for _, kind := range []string{"stream", "again"} {
		for _, r := range routes {
			go func() {
				a, err := l.try(r[0], "/bin/peer", kind, "http://"+r[1], idleTime.String())
				results <- outcome{r[0] + " " + kind + " " + r[1], a, err}
			}()
		}
	}
	l.longTimeouts(s.bridge(), 2)
	return func(l *lab) {
		for range 2 * len(routes) {
			if o := <-results; o.err != nil || !o.Answered || o.Took < idleTime {
				l.t.Errorf("%s: %+v %v", o.what, o.attempt, o.err)
			}
		}
	}
}

// longTimeouts waits until the rules remember a number of connections that a gateway opened, each for longer than an
// hour.
func (l *lab) longTimeouts(bridge string, want int) {
	l.t.Helper()
	open := 0
	for deadline := time.Now().Add(10 * time.Second); open != want && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		open = 0
		for _, expires := range l.flows(bridge) {
			if expires > time.Hour {
				open++
			}
		}
	}
	if open != want {
		l.t.Errorf("%d connections of the gateway are remembered for an hour, want %d: %v", open, want, l.flows(bridge))
	}
}

// flows tells how long each connection that a gateway opened may still idle.
func (l *lab) flows(bridge string) (expires []time.Duration) {
	l.t.Helper()
	var listed struct {
		Nftables []struct {
			Set struct {
				Elem []struct {
					Elem struct{ Expires int }
				}
			}
		}
	}
	space := l.space(bridge)
	defer space.Idle()
	out := space.Run("nft", "-j", "list", "set", "netdev", "mcpnet", "flows")
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	for _, object := range listed.Nftables {
		for _, e := range object.Set.Elem {
			expires = append(expires, time.Duration(e.Elem.Expires)*time.Second)
		}
	}
	return expires
}

// transfer sends files between gateways and servers, in both directions and opened by both, with ordinary and with
// large frames.
func (l *lab) transfer() {
	const small, large = "1000000", "1000000000"
	for mtu, prefix := range map[int]string{1500: "172.14", 9000: "172.15"} {
		s := l.segment(fmt.Sprintf("mtu-%d", mtu), prefix, "-o", fmt.Sprintf("com.docker.network.driver.mtu=%d", mtu))
		gateway, server := s.gateway("8080"), s.start("server", "3000")
		toGateway, toServer := "http://"+s.at("0.100:8080"), "http://"+server+":3000"
		s.connects(server, s.at("0.100:8080"))
		s.connects(gateway, server+":3000")
		for _, container := range []string{gateway, server} {
			if link := s.inside(container).Run("ip", "link", "show", "eth0"); !strings.Contains(link, fmt.Sprintf("mtu %d ", mtu)) {
				s.t.Errorf("mtu of %s: %s", container, link)
			}
		}
		began := time.Now()
		s.moves(server, "send", toGateway, large)
		s.moves(gateway, "fetch", toServer, small)
		s.moves(gateway, "send", toServer, large)
		s.moves(server, "fetch", toGateway, small)
		s.t.Logf("mtu %d: %s bytes in each direction: %v", mtu, large, time.Since(began).Round(time.Millisecond))
	}
}

func (s segment) moves(from, kind, url, size string) {
	s.t.Helper()
	if a := s.peer(from, kind, url, size); !a.Answered {
		s.t.Errorf("%s: %s %s bytes at %s: %s", from, kind, size, url, a.Detail)
	}
}
