package admission_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// TestLayers: the directories of an overlay, as whoever mounts it writes them and as the kernel shows them.
func TestLayers(t *testing.T) {
	for option, want := range map[string][]string{
		"lowerdir=/a:/b":       {"/a", "/b"},
		`lowerdir=/a\:b:/c\\`:  {"/a:b", `/c\`},
		"lowerdir=../../etc:.": {"/etc", "/"},
		"lowerdir+=/a":         {"/a"},
		"lowerdir=/a::/b":      {"/a", "/b"},
		"datadir+=/a":          {"/a"},
		"upperdir=/u":          {"/u"},
		"redirect_dir=/x":      nil,
		"ro":                   nil,
	} {
		got := admission.Layers([]string{"ro", option})
		if !slices.Equal(paths(got), want) || slices.ContainsFunc(got, func(m admission.Mount) bool { return m.ReadOnly == strings.HasPrefix(option, "upperdir") }) {
			t.Errorf("%q: %q, want %q", option, paths(got), want)
		}
	}
	const shown = `rw,lowerdir=/a\040b:/c\134:d:/e\054f,upperdir=/u,xino=off`
	if got, want := paths(admission.LayersOf("overlay", "overlay", shown)), []string{"/a b", "/c:d", "/e,f", "/u"}; !slices.Equal(got, want) {
		t.Errorf("%q: %q, want %q", shown, got, want)
	}
}

func paths(mounts []admission.Mount) (out []string) {
	for _, m := range mounts {
		out = append(out, m.Source)
	}
	return out
}
