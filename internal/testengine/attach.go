package testengine

import (
	"os/exec"

	"github.com/moby/moby/client"
)

// Attach is the engine that DOCKER_HOST names, driven with the machine's docker
// command. It is not ours: it cannot be stopped or looked into, and whoever
// makes something in it removes that again.
func Attach(t T) *Engine {
	t.Helper()
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatalf("DOCKER_HOST: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	e := &Engine{t: t, client: c}
	e.opts.Version = e.version()
	return e
}

// command prepares a program to run where the engine's administrator would run
// it.
func (e *Engine) command(name string, args ...string) *exec.Cmd {
	if e.sandbox == nil {
		return exec.Command(name, args...)
	}
	return e.sandbox.command(name, args...)
}
