package dnsmsg

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// MaxName and MaxLabel are how long a name and one of its labels are in text.
const (
	MaxName  = 253
	MaxLabel = 63
)

// canonical is a name of a message in lower case, without the dot at its end. Bytes that do not print, and a
// backslash, become \DDD (RFC 1035, 5.1). The root is a dot.
func canonical(name dnsmessage.Name) string {
	raw := name.Data[:name.Length]
	if len(raw) > 1 && raw[len(raw)-1] == '.' {
		raw = raw[:len(raw)-1]
	}
	var b strings.Builder
	b.Grow(len(raw))
	for _, c := range raw {
		switch {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case c <= ' ' || c >= 0x7f || c == '\\' || c == '"':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// CheckHost says why a canonical name cannot be a host's. Underscores are allowed.
func CheckHost(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a name has 1 to %d characters", MaxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	if label == "" || len(label) > MaxLabel {
		return fmt.Errorf("a label has 1 to %d characters", MaxLabel)
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return errors.New("a label has letters, digits, hyphens and underscores")
		}
	}
	return nil
}

// Below is the part of a name before a zone, and whether the name is below the zone. The zone itself is not.
func Below(name, zone string) (labels string, ok bool) {
	labels, ok = strings.CutSuffix(name, "."+zone)
	return labels, ok && labels != ""
}

// Labels counts the labels of a name.
func Labels(name string) int { return strings.Count(name, ".") + 1 }

// LongestLabel is the length of the longest label of a name.
func LongestLabel(name string) (longest int) {
	for label := range strings.SplitSeq(name, ".") {
		longest = max(longest, len(label))
	}
	return longest
}
