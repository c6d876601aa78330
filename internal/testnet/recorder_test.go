package testnet

import (
	"regexp"
	"testing"
)

// TestTokens: as many as a run of all suites makes are all different, and each is found in what carries it.
func TestTokens(t *testing.T) {
	form := regexp.MustCompile(`^mzQ[a-z2-7]{5}$`)
	r := NewRecorder()
	seen := map[string]bool{}
	for range 100_000 {
		token := NewToken()
		if seen[token] || !form.MatchString(token) {
			t.Fatalf("token %d is %q again, or not one", len(seen), token)
		}
		seen[token] = true
		if len(seen)%1000 == 0 {
			r.Note(Sighting{Place: "here"}, []byte("before "+token+token+" behind"))
			if !r.Saw(token, "here") {
				t.Fatalf("%q is not seen", token)
			}
		}
	}
}
