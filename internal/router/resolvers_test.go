package router_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mcpnet/mcpnet/internal/router"
)

func TestResolvers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	for text, want := range map[string][]string{
		"# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # second\noptions edns0\n": {"192.0.2.1:53", "[2001:db8::1]:53"},
		"nameserver\nnameserver here\nsearch example.com\n":                                                                   {},
		"": {},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var have []string
		got, err := router.Resolvers(path)
		for _, a := range got {
			have = append(have, a.String())
		}
		if !slices.Equal(have, want) || (err == nil) != (len(want) > 0) {
			t.Errorf("%q: %v, %v, want %v", text, have, err, want)
		}
	}
	if _, err := router.Resolvers(path + ".gone"); err == nil {
		t.Error("a file that is not there has resolvers")
	}
}
