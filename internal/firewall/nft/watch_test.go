package nft_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

func TestWatch(t *testing.T) {
	forKernels(t, watch)
}

func watch(t *testing.T, b *bench) {
	b.load()
	guards := b.servers(0, 2)
	check(t, b.nft.Guard(guards...))
	seen := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.nft.Watch(ctx, func() { seen <- struct{}{} }) }()
	waitForWatch(t, b, seen)

	quiet := func(what string) {
		t.Helper()
		select {
		case <-seen:
			t.Errorf("%s is reported", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
	check(t, b.nft.Guard(guards...))
	check(t, b.nft.Unguard(guards[1]))
	quiet("our own transaction")
	b.ns.Run("nft", "add", "table", "inet", "others")
	b.ns.Run("nft", "add", "chain", "inet", "others", "c")
	b.ns.Run("nft", "delete", "table", "inet", "others")
	quiet("somebody else's table")

	loud := func(args ...string) {
		t.Helper()
		began := time.Now()
		b.ns.Run("nft", args...)
		select {
		case <-seen:
			t.Logf("nft %v: seen after %v", args, time.Since(began))
		case <-time.After(2 * time.Second):
			t.Errorf("nft %v is not seen", args)
		}
		drain(seen)
	}
	ingress := guards[0].Chain.Name
	if b.features.DevicePrefix {
		ingress = "MCP-INGRESS"
	}
	loud("flush", "chain", "netdev", "mcpnet", ingress)
	loud("delete", "chain", "netdev", "mcpnet", ingress)
	loud("insert", "rule", "netdev", "mcpnet", "DOCKER-MCP", "accept")
	loud("add", "element", "netdev", "mcpnet", "permitted-tcp", "{ 172.20.0.100 . 22 }")
	loud("flush", "map", "netdev", "mcpnet", "server-wire")
	loud("delete", "rule", "netdev", "mcpnet", "DOCKER-MCP", "handle", handleOf(b, "mcp-secure/gateway-tcp"))
	loud("flush", "chain", "inet", "mcpnet", "MCP-FORWARD")
	loud("flush", "ruleset")
	cancel()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		t.Error("Watch goes on after its context ended")
	}
}

// waitForWatch changes something until it is seen: the watch starts in its own time.
func waitForWatch(t *testing.T, b *bench, seen chan struct{}) {
	t.Helper()
	for range 100 {
		b.ns.Run("nft", "add", "rule", "inet", "mcpnet", "MCP-INPUT", "accept")
		select {
		case <-seen:
			time.Sleep(20 * time.Millisecond)
			drain(seen)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatal("the watch sees nothing")
}

func drain(c chan struct{}) {
	time.Sleep(5 * time.Millisecond)
	for len(c) > 0 {
		<-c
	}
}

func handleOf(b *bench, id string) string {
	b.t.Helper()
	for _, line := range strings.Split(b.ns.Run("nft", "-a", "list", "chain", "netdev", "mcpnet", "DOCKER-MCP"), "\n") {
		if _, handle, ok := strings.Cut(line, fmt.Sprintf("comment %q # handle ", id)); ok {
			return handle
		}
	}
	b.t.Fatalf("no rule %s", id)
	return ""
}

// TestWatchOverflow: where the kernel drops notifications, because nobody took them in time, anything may have
// happened, and the watch goes on.
func TestWatchOverflow(t *testing.T) {
	b := newBench(t, firewall.Features{})
	b.load()
	calls, release := make(chan struct{}, 100), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- b.nft.Watch(ctx, func() { calls <- struct{}{}; <-release })
	}()
	called := func() bool {
		select {
		case <-calls:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}
	for range 100 { // until the watch has begun, and hangs in its first call
		b.ns.Run("nft", "add", "rule", "inet", "mcpnet", "MCP-INPUT", "accept")
		if called() {
			break
		}
	}
	var text strings.Builder
	text.WriteString("add table inet others\nadd chain inet others c\n")
	for range 20000 {
		text.WriteString("add rule inet others c counter accept\n")
	}
	b.ns.RunInput(text.String(), "nft", "-f", "-")
	close(release)
	select {
	case <-calls:
	case <-time.After(time.Second):
		t.Error("dropped notifications call nobody")
	}
	time.Sleep(100 * time.Millisecond)
	for len(calls) > 0 {
		<-calls
	}
	b.ns.Run("nft", "flush", "chain", "inet", "mcpnet", "MCP-FORWARD")
	select {
	case <-calls:
	case err := <-ended:
		t.Errorf("the watch ended: %v", err)
	case <-time.After(time.Second):
		t.Error("nothing is seen any more")
	}
}
