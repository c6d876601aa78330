package dnsmsg

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxStream is the longest message over TCP: two bytes of length stand before each (RFC 1035, 4.2.2).
const MaxStream = 1<<16 - 1

// WriteMessage writes a message after its length.
func WriteMessage(w io.Writer, msg []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, len(msg)+2), uint16(len(msg))), msg...))
	return err
}

// ReadMessage reads a message after its length. A longer one than that is an error.
func ReadMessage(r io.Reader, longest int) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > longest {
		return nil, fmt.Errorf("a message of %d bytes, more than %d", n, longest)
	}
	msg := make([]byte, n)
	_, err := io.ReadFull(r, msg)
	return msg, err
}
