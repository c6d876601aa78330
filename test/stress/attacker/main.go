// Command attacker sends forbidden traffic from inside a container, from the moment its link is there until it is
// stopped. The environment variable STRESS_LOAD holds what it sends; see test/stress.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/mcpnet/mcpnet/test/stress/generator"
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
	load, err := generator.Decode(os.Getenv("STRESS_LOAD"))
	if err != nil {
		return err
	}
	g, err := generator.Open(ctx, "eth0")
	if err != nil {
		return err
	}
	defer g.Close()
	g.Run(ctx, load)
	return nil
}
