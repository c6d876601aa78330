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

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mcpnet")
	d := attest.In(dir)
	a := attest.Attestation{Network: "n", Endpoint: "e", Container: "c", Caps: policy.DefaultCaps}
	h := attest.Hardened{Container: "c", Caps: 0}
	for range 2 { // absent, and absent again
		_, ok, err := d.Attested("e")
		_, also, failed := d.Hardened("c")
		if ok || also || err != nil || failed != nil {
			t.Fatal(ok, also, err, failed)
		}
		check(t, d.Attest(a))
		check(t, d.Harden(h))
		if got, ok, err := d.Attested("e"); got != a || !ok || err != nil {
			t.Errorf("attested %+v %v %v", got, ok, err)
		}
		if got, ok, err := d.Hardened("c"); got != h || !ok || err != nil {
			t.Errorf("hardened %+v %v %v", got, ok, err)
		}
		check(t, d.Forget("e"))
		check(t, d.Forget("e"))
		check(t, d.ForgetContainer("c"))
		check(t, d.ForgetContainer("c"))
	}
	// What is not whole, or about another, is no evidence.
	for _, text := range []string{"", "{", `{"endpoint":"other","caps":"none"}`, `{"endpoint":"e","caps":"EVERYTHING"}`,
		`{"endpoint":"e","caps":"none","capſ":"none"}`, `{"endpoint":"e","caps":"none","caps":"none"}`} {
		check(t, os.WriteFile(filepath.Join(dir, "attested", "e.json"), []byte(text), 0o600))
		if got, ok, err := d.Attested("e"); ok || err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"", "{", `{"container":"other","caps":"none"}`, `{"container":"c","caps":"EVERYTHING"}`} {
		check(t, os.WriteFile(filepath.Join(dir, "hardened", "c.json"), []byte(text), 0o600))
		if got, ok, err := d.Hardened("c"); ok || err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", ".hidden"} {
		if err := d.Attest(attest.Attestation{Endpoint: id}); err == nil {
			t.Errorf("%q is an id", id)
		}
	}
}

func TestWatch(t *testing.T) {
	d := attest.In(t.TempDir())
	seen := make(chan string, 8)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Watch(ctx, func(endpoint string) { seen <- endpoint }) }()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) { // until it watches
		check(t, d.Attest(attest.Attestation{Endpoint: "e"}))
		select {
		case got := <-seen:
			if got != "e" {
				t.Errorf("handles %q", got)
			}
		default:
			if time.Now().After(end) {
				t.Fatal("handles nothing")
			}
			continue
		}
		break
	}
	check(t, d.Notify())
	for got := range seen { // behind what was attested before
		if got == "" {
			break
		}
		if got != "e" {
			t.Errorf("a notification is about %q", got)
		}
	}
	stop()
	check(t, <-ended)
	if err := attest.In(filepath.Join(t.TempDir(), "nobody")).Notify(); err != nil {
		t.Errorf("where nobody is: %v", err)
	}
}
