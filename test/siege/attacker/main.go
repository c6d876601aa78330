// Command attacker besieges a network from inside a container, from the moment its link is there until it is stopped.
// The environment variable SIEGE holds what it sends; see test/siege.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/mcpnet/mcpnet/test/siege/gun"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := attack(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "attacker:", err)
		os.Exit(1)
	}
}

func attack(ctx context.Context) error {
	load, err := gun.Decode(os.Getenv("SIEGE"))
	if err != nil {
		return err
	}
	g, err := gun.Open(ctx, "eth0")
	if err != nil {
		return err
	}
	defer g.Close()
	g.Fire(ctx, load)
	return nil
}
