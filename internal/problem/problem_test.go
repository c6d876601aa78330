package problem_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/problem"
)

func TestOneReadableLine(t *testing.T) {
	long := strings.Repeat("é", 100)
	for _, tt := range []struct {
		problem problem.Problem
		want    string
	}{
		{problem.Problem{Key: "k", Value: "a\nb\"\xff", Reason: "r"}, `k="a\nb\"\xff": r`},
		{problem.Problem{Key: "", Value: "v", Reason: "r"}, `""="v": r`},
		{problem.Problem{Key: "a b", Reason: "r"}, `"a b": r`},
		{problem.Problem{Key: "a\x1b[31m", Reason: "r"}, `"a\x1b[31m": r`},
		{problem.Problem{Key: "a\xff", Reason: "r"}, `"a\xff": r`},
		{problem.Problem{Key: "é" + long, Value: "x" + long, Reason: "r"},
			strings.Repeat("é", 60) + `…="x` + strings.Repeat("é", 59) + `…": r`},
	} {
		if got := tt.problem.String(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestErr(t *testing.T) {
	if err := (problem.List{}).Err(); err != nil {
		t.Errorf("no problem is the error %v", err)
	}
	given := problem.List{{Key: "b", Reason: "1"}, {Key: "a", Reason: "2"}, {Key: "b", Reason: "3"}}
	if got, want := given.Err().Error(), "3 problems:\n1. a: 2\n2. b: 1\n3. b: 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if given[0].Key != "b" {
		t.Error("Err changes the order of the list itself")
	}
}

func TestOf(t *testing.T) {
	list, other := problem.Of(fmt.Errorf("network 3f2a: %w", problem.List{{Key: "k"}}))
	if len(list) != 1 || other != nil {
		t.Errorf("got %v, %v", list, other)
	}
	failure := errors.New("x")
	for _, err := range []error{nil, failure} {
		if list, other := problem.Of(err); list != nil || other != err {
			t.Errorf("of %v: %v, %v", err, list, other)
		}
	}
}

func TestNearestWord(t *testing.T) {
	words := []string{"docker", "crio", "podman"}
	for given, want := range map[string]string{"dokcer": "docker", " Podman": "podman", "cri-o": "crio",
		"kubernetes": "", "": "", strings.Repeat("docker", 20): ""} {
		if got := problem.Nearest(given, words); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestVocabulary(t *testing.T) {
	v := problem.Vocabulary{Keys: []string{"acme.mode", "acme.log.prefix", "mtu"}, Prefixes: []string{"acme."},
		Names:   []string{"acme"},
		Aliases: map[string]string{"loglevel": "acme.log.prefix"}}
	for given, want := range map[string]string{"acme.mode": "acme.mode", "ACME-Mode": "acme.mode",
		"mode": "acme.mode", "acme.mdoe": "acme.mode",
		"log_prefix": "acme.log.prefix", "log.level": "acme.log.prefix", "mtv": "mtu", "nothing.like.it": "",
		strings.Repeat("mode", 30): ""} {
		if got := v.Nearest(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
