package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// firstNetwork is the namespace of a host's first network, where nobody names one.
const firstNetwork = "mcp-secure"

// pause parts two flushes, so that what a repair does after the chains, iptables, is over.
const pause = 1500 * time.Millisecond

// repairs flushes the rules of one driver's network, and of its host, after the other.
func (b *bench) repairs(ctx context.Context, t *testnet.Program, drivers []*driver) {
	for round := range b.Flushes {
		progress("  flush %d of %d", round+1, b.Flushes)
		for _, d := range drivers {
			if ctx.Err() != nil {
				t.Fatalf("interrupted")
			}
			back, silence, err := d.flushNetwork()
			must(t, err, "flush beside %d", d.size)
			b.results.samples.add(fmt.Sprintf("back %d", d.size), milliseconds(back))
			b.results.samples.add(fmt.Sprintf("silence %d", d.size), milliseconds(silence))
			silence, err = d.flushHost()
			must(t, err, "flush of the host beside %d", d.size)
			b.results.samples.add(fmt.Sprintf("host %d", d.size), milliseconds(silence))
		}
	}
	limit := map[int]*target{b.Middle: atMost(100), b.Large: atMost(500)}
	for _, d := range drivers {
		line := func(what, series string, share float64, t *target) {
			b.results.state(row{ID: fmt.Sprintf("%s-%d", series, d.size), Section: "repair", What: fmt.Sprintf("%s, %s", what, endpoints(d.size)), Unit: "ms", Target: t},
				fmt.Sprintf("%s %d", series, d.size), share)
		}
		line("back", "back", 0.5, limit[d.size])
		line("back, the slowest", "back", 1, nil)
		line("silence", "silence", 0.5, nil)
		line("silence, the host's rules flushed", "host", 0.5, nil)
	}
}

// flushNetwork removes every rule of the network's namespace and waits until all are back.
func (d *driver) flushNetwork() (back, silence time.Duration, err error) {
	h, err := ns.Open(filepath.Join(d.world.Pins, firstNetwork))
	if err != nil {
		return 0, 0, err
	}
	defer h.Close()
	before, err := chains(h)
	if err != nil {
		return 0, 0, err
	}
	b, err := startProbes(d)
	if err != nil {
		return 0, 0, err
	}
	defer b.stop()
	time.Sleep(200 * time.Millisecond)
	back, err = flushAndWait(h, before)
	time.Sleep(pause)
	silence = b.stop()
	if after, again := chains(h); err == nil && len(after) < len(before) {
		err = fmt.Errorf("%d of %d chains are back: %w", len(after), len(before), again)
	}
	return back, silence, err
}

// flushHost removes every rule of the host.
func (d *driver) flushHost() (silence time.Duration, err error) {
	b, err := startProbes(d)
	if err != nil {
		return 0, err
	}
	defer b.stop()
	time.Sleep(200 * time.Millisecond)
	if _, err := d.world.Host.Command("nft", "flush", "ruleset").Output(); err != nil {
		return 0, err
	}
	time.Sleep(pause)
	return b.stop(), nil
}

// chains are the names of all of mcpnet's chains, as mcpnet itself sees them.
func chains(h ns.Handle) (map[string]bool, error) {
	f, err := nft.Open(h)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	state, err := f.Observe(nil, nil)
	names := map[string]bool{}
	for _, family := range state.Chains {
		for name := range family {
			names[name] = true
		}
	}
	return names, err
}

// repairLimit is when a repair counts as failed.
const repairLimit = 20 * time.Second

// nftablesGroup is NFNLGRP_NFTABLES, tableAttribute and nameAttribute NFTA_CHAIN_TABLE and NFTA_CHAIN_NAME.
const (
	nftablesGroup  = 7
	tableAttribute = 1
	nameAttribute  = 3
	nfgenHeader    = 4
)

// flushAndWait follows the kernel's own notices, since to ask it again and again would slow down what is measured.
func flushAndWait(h ns.Handle, missing map[string]bool) (time.Duration, error) {
	fd := h.FD()
	notices, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{Groups: 1 << (nftablesGroup - 1), NetNS: fd})
	if err != nil {
		return 0, err
	}
	defer notices.Close()
	if err := notices.SetReadBuffer(32 << 20); err != nil {
		return 0, err
	}
	if err := notices.SetReadDeadline(time.Now().Add(repairLimit)); err != nil {
		return 0, err
	}
	conn, err := nftables.New(nftables.WithNetNSFd(fd))
	if err != nil {
		return 0, err
	}
	conn.FlushRuleset()
	if err := conn.Flush(); err != nil {
		return 0, err
	}
	flushed := time.Now()
	gone := len(missing)
	for len(missing) > 0 {
		messages, err := notices.Receive()
		if err != nil {
			return 0, fmt.Errorf("%d of %d chains are missing: %w", len(missing), gone, err)
		}
		for _, m := range messages {
			delete(missing, newChain(m))
		}
	}
	return time.Since(flushed), nil
}

// newChain is the name of the chain of mcpnet's that a notice announces, if it does.
func newChain(m netlink.Message) string {
	if uint16(m.Header.Type)&0xff != unix.NFT_MSG_NEWCHAIN || len(m.Data) < nfgenHeader {
		return ""
	}
	attributes, err := netlink.UnmarshalAttributes(m.Data[nfgenHeader:])
	if err != nil {
		return ""
	}
	var table, name string
	for _, a := range attributes {
		switch a.Type {
		case tableAttribute:
			table = unix.ByteSliceToString(a.Data)
		case nameAttribute:
			name = unix.ByteSliceToString(a.Data)
		}
	}
	if table != firewall.TableName {
		return ""
	}
	return name
}

// probes sends a frame from the server to the gateway each millisecond and notes when frames arrive.
type probes struct {
	done  chan struct{}
	once  sync.Once
	group sync.WaitGroup
	files []*os.File
	seen  []time.Time
}

func startProbes(d *driver) (*probes, error) {
	b := &probes{done: make(chan struct{})}
	p := &path{size: d.size, server: d.server, gateway: d.gateway}
	out, err := b.socket(d.server)
	if err != nil {
		return nil, err
	}
	in, err := b.socket(d.gateway)
	if err != nil {
		return nil, err
	}
	frame := p.permitted()
	b.group.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-b.done:
				return
			case <-tick.C:
				_, _ = out.Write(frame)
			}
		}
	})
	b.group.Go(func() {
		for buf := make([]byte, 2048); ; {
			if n, err := in.Read(buf); err != nil {
				return
			} else if n == len(frame) {
				b.seen = append(b.seen, time.Now())
			}
		}
	})
	return b, nil
}

// socket reads and writes the frames of a container's link.
func (b *probes) socket(of *testnet.NS) (*os.File, error) {
	var fd int
	index := of.Link("eth0").Attrs().Index
	err := of.Do(func() (err error) {
		const ipv4 = 0x0008 // ETH_P_IP in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, ipv4); err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ipv4, Ifindex: index})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "packet")
	b.files = append(b.files, f)
	return f, nil
}

// stop ends it and tells the longest time without a frame.
func (b *probes) stop() (longest time.Duration) {
	b.once.Do(func() {
		close(b.done)
		for _, f := range b.files {
			f.Close()
		}
		b.group.Wait()
	})
	for i := 1; i < len(b.seen); i++ {
		longest = max(longest, b.seen[i].Sub(b.seen[i-1]))
	}
	return longest
}
