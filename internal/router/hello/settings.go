package hello

import "bytes"

// Some clients of HTTP/2 with prior knowledge, such as grpc-go, ask for nothing before the server has sent its
// SETTINGS, and nobody is a server before it is known whom they ask for. Whoever reads the hello may say Settings in
// the server's place: a server may send SETTINGS as often as it likes. The client acknowledges each of them, and the
// server must not see an acknowledgement of what it did not send.

// Settings is a SETTINGS frame that changes nothing.
var Settings = []byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0}

// AwaitsSettings tells whether a client may wait for the server's SETTINGS: it has sent its own, and no HEADERS.
func AwaitsSettings(sent []byte) bool {
	frames, is := bytes.CutPrefix(sent, []byte(preface))
	if !is || len(frames) == 0 {
		return false
	}
	for rest := vector(frames); len(rest) > 0; {
		f, behind, err := nextFrame(rest)
		if err != nil || !mayComeBefore(f.kind) || f.kind == frameHeaders {
			return false
		}
		rest = behind
	}
	return true
}

// WithoutAck takes the first acknowledgement of SETTINGS out of what a client sent, and tells whether there is one. It
// moves the bytes behind it.
func WithoutAck(sent []byte) ([]byte, bool) {
	frames, is := bytes.CutPrefix(sent, []byte(preface))
	for rest := vector(frames); is; {
		f, behind, err := nextFrame(rest)
		if err != nil {
			return sent, false
		}
		if f.kind == frameSettings && f.flags&flagAck != 0 {
			end := len(sent) - len(behind)
			return append(sent[:end-frameHeader-len(f.payload)], sent[end:]...), true
		}
		rest = behind
	}
	return sent, false
}
