package testnet

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A token is eight bytes long, so that it fits into the smallest fragment.
const (
	tokenMark = "mzQ"
	tokenLen  = 8
)

// tokenDigits are those of a token behind its mark.
const tokenDigits = "abcdefghijklmnopqrstuvwxyz234567"

// tokens counts on from anywhere. Random tokens would be so short that a few
// hundred of them share one too often, and one attack then shows as another's.
var tokens atomic.Uint32

func init() { tokens.Store(rand.Uint32()) }

// NewToken makes a mark that traffic carries, so that it can be recognised
// wherever it turns up; no other of the process's last 2^25 is the same. Tokens
// are letters and digits, fit for a host name.
func NewToken() string {
	token := []byte(tokenMark)
	for n := tokens.Add(1); len(token) < tokenLen; n /= uint32(len(tokenDigits)) {
		token = append(token, tokenDigits[n%uint32(len(tokenDigits))])
	}
	return string(token)
}

// Sighting says that a token turned up.
type Sighting struct {
	Token  string `json:"-"`
	Place  string `json:"place"`  // who saw it: the name given to the observer
	Link   string `json:"link"`   // the link, where the observer knows it
	Detail string `json:"detail"` // what kind of socket or frame
}

// Recorder collects sightings from any number of observers.
type Recorder struct {
	// Each, if set before the first observer, is called for every sighting,
	// repeated ones too, by several observers at a time.
	Each func(Sighting)

	mu   sync.Mutex
	seen map[string][]Sighting
}

// NewRecorder makes an empty recorder.
func NewRecorder() *Recorder { return &Recorder{seen: map[string][]Sighting{}} }

// Note records every token that data holds, once per place, link and detail.
func (r *Recorder) Note(s Sighting, data []byte) {
	for {
		i := bytes.Index(data, []byte(tokenMark))
		if i < 0 || len(data) < i+tokenLen {
			return
		}
		s.Token = string(data[i : i+tokenLen])
		if r.Each != nil {
			r.Each(s)
		}
		r.add(s)
		data = data[i+tokenLen:]
	}
}

func (r *Recorder) add(s Sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.seen[s.Token], s) {
		r.seen[s.Token] = append(r.seen[s.Token], s)
	}
}

// Of lists where a token was seen.
func (r *Recorder) Of(token string) []Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen[token])
}

// Saw tells whether a token was seen at a place.
func (r *Recorder) Saw(token, place string) bool {
	return slices.ContainsFunc(r.Of(token), func(s Sighting) bool { return s.Place == place })
}

// Wait is Saw for traffic that is under way.
func (r *Recorder) Wait(token, place string, atMost time.Duration) bool {
	for deadline := time.Now().Add(atMost); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if r.Saw(token, place) {
			return true
		}
	}
	return r.Saw(token, place)
}
