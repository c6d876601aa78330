package store_test

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/store"
)

func TestAttaching(t *testing.T) {
	s := open(t, t.TempDir())
	check(t, s.PutNetwork(network("n")))
	done, ok, err := s.Attaching("n", "a")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	other, ok, err := s.Attaching("n", "b")
	if !ok || err != nil {
		t.Errorf("another endpoint: %v, %v", ok, err)
	}
	if _, ok, err := s.Attaching("n", "a"); ok || err != nil {
		t.Errorf("twice at once: %v, %v", ok, err)
	}
	check(t, s.DeleteEndpoint("n", "a"))
	if _, ok, err := s.Attaching("n", "a"); ok || err != nil {
		t.Errorf("after its document was removed: %v, %v", ok, err)
	}
	done()
	if done, ok, err = s.Attaching("n", "a"); !ok || err != nil {
		t.Errorf("one after the other: %v, %v", ok, err)
	}
	done()
	other()
	if _, _, err := s.Attaching("missing", "a"); err == nil {
		t.Error("of a network that is missing")
	}
}

const attachingDir = "MCPNET_TEST_ATTACHING"

// TestAttachingProcesses has processes and goroutines that attach the same endpoint again and again. A file that one
// creates while it has the attachment shows two at once.
func TestAttachingProcesses(t *testing.T) {
	dir := os.Getenv(attachingDir)
	if dir != "" {
		attachAgainAndAgain(t, dir)
		return
	}
	dir = t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			c := exec.Command(os.Args[0], "-test.run", "^TestAttachingProcesses$")
			c.Env = append(os.Environ(), attachingDir+"="+dir)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
}

// window is how long each process tries at least, and patience how long it waits for its turn.
const (
	window   = 500 * time.Millisecond
	patience = 30 * time.Second
)

func attachAgainAndAgain(t *testing.T, dir string) {
	s, err := store.OpenShared(dir)
	check(t, err)
	var won atomic.Int32
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			// On a busy machine another process may have it all the while: each goes on until it had its turn.
			for began := time.Now(); time.Since(began) < window || won.Load() == 0 && time.Since(began) < patience; {
				done, ok, err := s.Attaching("n", "a")
				if err != nil {
					t.Error(err)
				}
				if !ok {
					continue
				}
				won.Add(1)
				alone, err := os.OpenFile(dir+"/alone", os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					t.Error(fmt.Errorf("two at once: %w", err))
				} else {
					alone.Close()
					os.Remove(alone.Name())
				}
				done()
			}
		})
	}
	group.Wait()
	if won.Load() == 0 {
		t.Error("never got the attachment")
	}
}
