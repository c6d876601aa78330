package problem

import "strings"

// maxCompared is the length in bytes beyond which no typing error is looked
// for: no key is half as long, and the comparison costs length times length.
const maxCompared = 80

// Vocabulary is a set of keys among which the one that a user probably meant is found.
type Vocabulary struct {
	Keys     []string
	Prefixes []string          // begin keys, and are often left out or written otherwise
	Names    []string          // stand where a prefix belongs, with any separator or none
	Aliases  map[string]string // other names that people try first, in letters alone, and the key of each
}

// Nearest finds the key that was probably meant, empty if none is near: first
// by letters alone (prefix, case and separators do not count), then by the
// number of typing errors.
func (v Vocabulary) Nearest(given string) string {
	if len(given) > maxCompared {
		return ""
	}
	bare := v.squash(given)
	if key, found := v.Aliases[bare]; found {
		return key
	}
	nearest, best := "", maxErrors(maxCompared)+1
	lower := strings.ToLower(given)
	for _, key := range v.Keys {
		if v.squash(key) == bare {
			return key
		}
		d := min(distance(lower, key), distance(v.tail(lower), v.tail(key)))
		if d <= maxErrors(len(v.tail(key))) && d < best {
			nearest, best = key, d
		}
	}
	return nearest
}

// tail is a key without its prefix.
func (v Vocabulary) tail(key string) string {
	for _, prefix := range v.Prefixes {
		if rest, found := strings.CutPrefix(key, prefix); found {
			return rest
		}
	}
	return key
}

// squash reduces a key to the letters that tell it from others.
func (v Vocabulary) squash(key string) string {
	key = v.tail(strings.ToLower(key))
	for _, name := range v.Names {
		key = strings.TrimPrefix(key, name)
	}
	return strings.NewReplacer(".", "", "_", "", "-", "", " ", "").Replace(key)
}

// Nearest finds the word that was probably meant, empty if none is near.
func Nearest[T ~string](given string, words []T) string {
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
