package filter

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// sweepEvery is how often clients and names are forgotten that are not heard of any more.
const sweepEvery = time.Minute

// Serve answers questions until the context ends, which is no error, or a socket does. It closes the sockets.
func Serve(ctx context.Context, cfg Config) error {
	s := newServer(cfg)
	all, inner := errgroup.WithContext(ctx)
	defer context.AfterFunc(inner, func() {
		cfg.Packet.Close()
		cfg.Listener.Close()
	})()
	all.Go(func() error { return s.serveUDP(inner, cfg.Packet) })
	all.Go(func() error { return s.serveTCP(inner, cfg.Listener) })
	all.Go(func() error { s.cache.keep(inner); return nil })
	all.Go(func() error { every(inner, sweepEvery, s.clients.sweep); return nil })
	if err := all.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// every calls a function at intervals until the context ends.
func every(ctx context.Context, interval time.Duration, do func(now time.Time)) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			do(now)
		}
	}
}
