package policy

import "strings"

// aliases are other names that people try first (mtu is Podman's), in the form
// that squash gives.
var aliases = map[string]string{
	"mtu":     KeyMTU,
	"bridge":  KeyBridge,
	"connect": KeyConnect,
	"egress":  KeyEgress,
}

// maxCompared is the length in bytes beyond which no typing error is looked
// for: no key is half as long, and the comparison costs length times length.
const maxCompared = 80

// resembling finds the key that was probably meant, nil if none is near: first
// by letters alone (prefix, case and separators do not count), then by the
// number of typing errors.
func resembling(given string) *key {
	if len(given) > maxCompared {
		return nil
	}
	bare := squash(given)
	if name, found := aliases[bare]; found {
		return lookup(name)
	}
	var nearest *key
	best := maxErrors(maxCompared) + 1
	for i := range keys {
		name := keys[i].Key
		if squash(name) == bare {
			return &keys[i]
		}
		lower := strings.ToLower(given)
		d := min(distance(lower, name), distance(tail(lower), tail(name)))
		if d <= maxErrors(len(tail(name))) && d < best {
			nearest, best = &keys[i], d
		}
	}
	return nearest
}

// Nearest finds the word that was probably meant, for the keys that a surface has beside the policy's.
func Nearest(given string, words []string) (string, bool) {
	near := nearestWord(given, words)
	return near, near != ""
}

// nearestWord finds the word that was probably meant, empty if none is near.
func nearestWord[T ~string](given string, words []T) string {
	if len(given) > maxCompared {
		return ""
	}
	given = strings.ToLower(strings.TrimSpace(given))
	nearest, best := "", maxErrors(maxCompared)+1
	for _, w := range words {
		if d := distance(given, string(w)); d <= maxErrors(len(w)) && d < best {
			nearest, best = string(w), d
		}
	}
	return nearest
}

// maxErrors is how many typing errors are believable in n letters.
func maxErrors(n int) int {
	return min(3, max(1, (n+1)/3))
}

// tail is a key without its vendor's prefix.
func tail(name string) string {
	for _, prefix := range []string{"mcpnet.", "com.docker.network."} {
		if rest, found := strings.CutPrefix(name, prefix); found {
			return rest
		}
	}
	return name
}

// squash reduces a key to the letters that tell it from others.
func squash(name string) string {
	name = tail(strings.ToLower(name))
	for _, prefix := range []string{"mcpnet", "mcp"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.NewReplacer(".", "", "_", "", "-", "", " ", "").Replace(name)
}

// distance is the Levenshtein distance of a and b in bytes, where two
// neighbouring bytes in the wrong order count as one error.
func distance(a, b string) int {
	var before []int // the row before the previous one
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := previous[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(previous[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous = previous, row
	}
	return previous[len(b)]
}
