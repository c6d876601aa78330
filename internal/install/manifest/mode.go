package manifest

import (
	"fmt"
	"io/fs"
	"strconv"
)

// Mode is a file's permissions, printed in octal.
type Mode fs.FileMode

func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText prints the octal digits.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 8, 9)
	*m = Mode(v)
	return err
}
