package attest_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/policy"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mcpnet")
	w := attest.In(dir)
	a, h := attest.Attestation{Network: "n", Endpoint: "e", Container: "c", Caps: policy.DefaultCaps}, attest.Hardened{Container: "c", Caps: 0}
	for range 2 { // absent, and absent again
		_, ok, err := w.Attested("e")
		_, also, failed := w.Hardened("c")
		if ok || also || err != nil || failed != nil {
			t.Fatal(ok, also, err, failed)
		}
		check(t, w.Attest(a))
		check(t, w.Harden(h))
		if got, ok, err := w.Attested("e"); got != a || !ok || err != nil {
			t.Errorf("attested %+v %v %v", got, ok, err)
		}
		if got, ok, err := w.Hardened("c"); got != h || !ok || err != nil {
			t.Errorf("hardened %+v %v %v", got, ok, err)
		}
		check(t, w.Forget("e"))
		check(t, w.Forget("e"))
		check(t, w.ForgetContainer("c"))
		check(t, w.ForgetContainer("c"))
	}
	// What is not whole, or about another, is no evidence.
	for _, text := range []string{"", "{", `{"endpoint":"other","caps":"none"}`, `{"endpoint":"e","caps":"EVERYTHING"}`} {
		check(t, os.WriteFile(filepath.Join(dir, "attested", "e.json"), []byte(text), 0o600))
		if got, ok, err := w.Attested("e"); ok || err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", ".hidden"} {
		if err := w.Attest(attest.Attestation{Endpoint: id}); err == nil {
			t.Errorf("%q is an id", id)
		}
	}
}

func TestWatch(t *testing.T) {
	w := attest.In(t.TempDir())
	seen := make(chan string, 8)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Watch(ctx, func(endpoint string) { seen <- endpoint }) }()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) { // until it watches
		check(t, w.Attest(attest.Attestation{Endpoint: "e"}))
		select {
		case got := <-seen:
			if got != "e" {
				t.Errorf("told of %q", got)
			}
		default:
			if time.Now().After(end) {
				t.Fatal("told of nothing")
			}
			continue
		}
		break
	}
	check(t, w.Knock())
	for got := range seen { // behind what was attested before
		if got == "" {
			break
		}
		if got != "e" {
			t.Errorf("a knock is told as %q", got)
		}
	}
	stop()
	check(t, <-ended)
	if err := attest.In(filepath.Join(t.TempDir(), "nobody")).Knock(); err != nil {
		t.Errorf("where nobody is: %v", err)
	}
}
