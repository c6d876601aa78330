package hello

import (
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// preface is how a client begins that knows that the server speaks HTTP/2 (RFC 9113 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	frameHeader  = 9
	maxFrame     = 1 << 14
	maxTable     = 4096
	frameHeaders = 1
	// The others that may come before the first HEADERS; what has a higher number is for extensions.
	framePriority     = 2
	frameSettings     = 4
	framePing         = 6
	frameWindowUpdate = 8
	frameContinuation = 9

	flagAck        = 1
	flagEndHeaders = 4
	flagPadded     = 8
	flagPriority   = 0x20
)

// frame is a frame of HTTP/2.
type frame struct {
	kind, flags byte
	stream      int
	payload     vector
}

// nextFrame splits the first frame off.
func nextFrame(data vector) (f frame, rest vector, err error) {
	size, ok := data.number(3)
	if !ok {
		return f, nil, ErrMore
	}
	if size > maxFrame {
		return f, nil, refuse(BadRequest, "a frame of %d bytes", size)
	}
	head, ok := data.bytes(frameHeader - 3)
	if !ok {
		return f, nil, ErrMore
	}
	f.kind, f.flags = head[0], head[1]
	f.stream = (int(head[2])<<24 | int(head[3])<<16 | int(head[4])<<8 | int(head[5])) & 0x7fffffff
	if f.payload, ok = data.bytes(size); !ok {
		return f, nil, ErrMore
	}
	return f, data, nil
}

// streamHost reads the host of the first stream.
func streamHost(frames vector) (string, error) {
	block, err := headerBlock(frames)
	if err != nil {
		return "", err
	}
	fields, err := decode(block)
	if err != nil {
		return "", err
	}
	return fields.host()
}

// headerBlock is the header block of the first stream, over all its frames.
func headerBlock(frames vector) (vector, error) {
	f, rest, err := nextFrame(frames)
	if err != nil {
		return nil, err
	}
	if f.kind != frameSettings || f.flags&flagAck != 0 || f.stream != 0 {
		return nil, refuse(BadRequest, "SETTINGS do not come first")
	}
	for f.kind != frameHeaders {
		if f, rest, err = nextFrame(rest); err != nil {
			return nil, err
		}
		if !mayComeBefore(f.kind) {
			return nil, refuse(BadRequest, "a frame of type %d before HEADERS", f.kind)
		}
	}
	block, ok := fragment(f)
	if !ok {
		return nil, refuse(BadRequest, "malformed HEADERS")
	}
	return continued(block, f, rest)
}

func mayComeBefore(kind byte) bool {
	switch kind {
	case frameHeaders, framePriority, frameSettings, framePing, frameWindowUpdate:
		return true
	}
	return kind > frameContinuation
}

// fragment is what a HEADERS frame holds of the header block.
func fragment(f frame) (vector, bool) {
	body, padding := f.payload, 0
	ok := f.stream%2 == 1
	if f.flags&flagPadded != 0 {
		var there bool
		padding, there = body.number(1)
		ok = ok && there
	}
	if f.flags&flagPriority != 0 {
		_, there := body.bytes(5)
		ok = ok && there
	}
	if !ok || padding > len(body) {
		return nil, false
	}
	return body[:len(body)-padding], true
}

// continued adds the CONTINUATION frames of the same stream.
func continued(block vector, f frame, rest vector) (vector, error) {
	stream, ended := f.stream, f.flags&flagEndHeaders != 0
	block = slices.Clip(block) // it must not grow into what follows it in the buffer
	for !ended {
		var err error
		if f, rest, err = nextFrame(rest); err != nil {
			return nil, err
		}
		if f.kind != frameContinuation || f.stream != stream {
			return nil, refuse(BadRequest, "HEADERS are not continued")
		}
		block = append(block, f.payload...)
		ended = f.flags&flagEndHeaders != 0
	}
	return block, nil
}

// fieldList is what counts of a header block.
type fieldList struct {
	authorities, hosts []string
	connect            bool
	regular            bool // the last field is no pseudo-header
	wrong              string
}

// decode reads a header block (RFC 7541), as the first one of a connection.
func decode(block []byte) (*fieldList, error) {
	fields := &fieldList{}
	d := hpack.NewDecoder(maxTable, fields.add)
	d.SetMaxStringLength(Max)
	if _, err := d.Write(block); err != nil {
		return nil, refuse(BadRequest, "a header block that cannot be decoded")
	}
	if err := d.Close(); err != nil {
		return nil, refuse(BadRequest, "a header block that does not end")
	}
	if fields.wrong != "" {
		return nil, refuse(BadRequest, "%s", fields.wrong)
	}
	return fields, nil
}

func (l *fieldList) add(f hpack.HeaderField) {
	if strings.ContainsFunc(f.Name, func(r rune) bool { return r >= 'A' && r <= 'Z' }) {
		l.wrong = "a field's name in upper case"
	}
	if f.IsPseudo() && l.regular {
		l.wrong = "a pseudo-header behind a field"
	}
	l.regular = !f.IsPseudo()
	switch f.Name {
	case ":authority":
		l.authorities = append(l.authorities, f.Value)
	case "host":
		l.hosts = append(l.hosts, f.Value)
	case ":method":
		l.connect = l.connect || f.Value == "CONNECT"
	}
}

// host is the one host that :authority and host name. Either may be absent (RFC 9113 8.3.1).
func (l *fieldList) host() (string, error) {
	named := append(l.authorities, l.hosts...)
	switch {
	case l.connect:
		return "", refuse(ProxyRequest, "CONNECT")
	case len(l.authorities) > 1 || len(l.hosts) > 1:
		return "", refuse(BadRequest, "several hosts")
	case len(named) == 0 || named[0] == "":
		return "", refuse(HostMissing, "no :authority")
	}
	name, ok := authorityName(named[0])
	if !ok {
		return "", refuse(BadRequest, "an :authority that is no host name")
	}
	if other, _ := authorityName(named[len(named)-1]); other != name {
		return "", refuse(BadRequest, ":authority and host differ")
	}
	return name, nil
}
