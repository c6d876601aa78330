package evidence

import (
	"testing"
	"time"
)

// TestNextLook: a container that starts at once is found at once, and one that never starts costs no look more than
// every endpoint does.
func TestNextLook(t *testing.T) {
	var looks []time.Duration
	for at := time.Duration(0); at < time.Minute; at += nextLook(at) {
		looks = append(looks, at)
	}
	for i, at := range looks[1:] {
		pause := at - looks[i]
		if pause < minInterval || pause > maxInterval || pause > minInterval && pause > looks[i]/4 {
			t.Errorf("after %v the next look is %v later", looks[i], pause)
		}
	}
	if n := len(looks); n > 30 {
		t.Errorf("%d looks in a minute at an endpoint that is never decided", n)
	}
	if last := nextLook(time.Hour); last != maxInterval {
		t.Errorf("after an hour the next look is %v later, want %v", last, maxInterval)
	}
}
