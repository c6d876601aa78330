package testnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// programs counts the Programs that still have to clear up.
var programs atomic.Int32

// Program is the T of a plain program.
type Program struct {
	name string
	log  io.Writer

	mu       sync.Mutex
	cleanups []func()
	err      error
}

// RunProgram runs fn with a T that clears up when fn returns, fails or is
// interrupted: the context ends at the first signal. The messages go to log.
func RunProgram(name string, log io.Writer, fn func(context.Context, *Program)) error {
	p := &Program{name: name, log: log}
	programs.Add(1)
	defer programs.Add(-1)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	done := make(chan struct{})
	go func() {
		// Fatalf leaves through Goexit, so the end is announced by a defer.
		defer close(done)
		fn(ctx, p)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.fail(errors.New("interrupted"))
	}
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Helper does nothing; programs report no lines.
func (p *Program) Helper() {}

// Name is the name of the program.
func (p *Program) Name() string { return p.name }

// Logf writes a line.
func (p *Program) Logf(format string, args ...any) {
	fmt.Fprintf(p.log, format+"\n", args...)
}

// Fatalf ends the function that RunProgram runs.
func (p *Program) Fatalf(format string, args ...any) {
	p.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}

// Cleanup has fn called at the end, last in first out.
func (p *Program) Cleanup(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, fn)
}

func (p *Program) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *Program) clear() {
	p.mu.Lock()
	fns := slices.Clone(p.cleanups)
	p.cleanups = nil
	p.mu.Unlock()
	for _, fn := range slices.Backward(fns) {
		fn()
	}
}
