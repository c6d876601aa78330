// Package generator is a load generator: it sends frames over a link without end, as a hostile process in a container
// would. It imports nothing of the tests' hosts, so that the program in the container stays small.
package generator

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Load is what is sent: the frames of Always at every tick, those of Rest in turns.
type Load struct {
	Always, Rest [][]byte
}

const (
	// tick is the time between two bursts.
	tick = 2 * time.Millisecond
	// share is how many frames of Rest are in each burst.
	share = 8
)

// Encode makes text of a load that fits into an environment variable.
func Encode(l Load) (string, error) {
	var buffer bytes.Buffer
	archive := gzip.NewWriter(&buffer)
	if err := errors.Join(json.NewEncoder(archive).Encode(l), archive.Close()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(buffer.Bytes()), nil
}

// Decode is the reverse of Encode.
func Decode(text string) (l Load, err error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return l, err
	}
	archive, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return l, err
	}
	return l, json.NewDecoder(archive).Decode(&l)
}

// Generator sends through a packet socket of one network namespace.
type Generator struct {
	fd   int
	link int
}

// Open opens the socket in the calling thread's namespace and waits for the link.
func Open(ctx context.Context, link string) (*Generator, error) {
	for ctx.Err() == nil {
		found, err := net.InterfaceByName(link)
		if err != nil {
			time.Sleep(tick)
			continue
		}
		// Protocol 0: such a socket receives nothing.
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return &Generator{fd, found.Index}, err
	}
	return nil, fmt.Errorf("link %s: %w", link, ctx.Err())
}

// Close closes the socket.
func (g *Generator) Close() { unix.Close(g.fd) }

// Run sends until the context ends. What the kernel refuses, since the link is down or a frame malformed, is lost.
func (g *Generator) Run(ctx context.Context, l Load) {
	to := &unix.SockaddrLinklayer{Ifindex: g.link}
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for next := 0; ; {
		for _, f := range l.Always {
			_ = unix.Sendto(g.fd, f, 0, to)
		}
		for range min(share, len(l.Rest)) {
			_ = unix.Sendto(g.fd, l.Rest[next%len(l.Rest)], 0, to)
			next++
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}
