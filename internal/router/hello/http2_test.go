package hello

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream is the frames of a client that a test makes, behind the preface.
type stream struct {
	*http2.Framer
	out bytes.Buffer
}

func newStream() *stream {
	s := &stream{}
	s.out.WriteString(preface)
	s.Framer = http2.NewFramer(&s.out, nil)
	s.AllowIllegalWrites = true
	return s
}

// settled is a stream whose SETTINGS are sent.
func settled() *stream {
	s := newStream()
	_ = s.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	return s
}

// block encodes fields, given as names and values.
func block(fields ...string) []byte {
	var out bytes.Buffer
	e := hpack.NewEncoder(&out)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return out.Bytes()
}

func getFrom(fields ...string) []byte {
	return block(append([]string{":method", "GET", ":path", "/", ":scheme", "http"}, fields...)...)
}

func headers(fragment []byte) http2.HeadersFrameParam {
	return http2.HeadersFrameParam{StreamID: 1, BlockFragment: fragment, EndHeaders: true}
}

func TestStreamHost(t *testing.T) {
	whole := getFrom(":authority", "a.example", "user-agent", strings.Repeat("z", 150))
	for what, write := range map[string]func(*stream){
		"plain":      func(s *stream) { _ = s.WriteHeaders(headers(whole)) },
		"a port":     func(s *stream) { _ = s.WriteHeaders(headers(getFrom(":authority", "A.example:8080"))) },
		"host alone": func(s *stream) { _ = s.WriteHeaders(headers(getFrom("host", "a.example"))) },
		"both": func(s *stream) {
			_ = s.WriteHeaders(headers(getFrom(":authority", "a.example", "host", "a.example:80")))
		},
		"not encoded": func(s *stream) {
			_ = s.WriteHeaders(headers(append([]byte{0x82, 0x84, 0x86, 0x01, 9}, "a.example"...)))
		},
		"padded": func(s *stream) {
			h := headers(whole)
			h.PadLength, h.Priority = 200, http2.PriorityParam{StreamDep: 3, Weight: 1}
			_ = s.WriteHeaders(h)
		},
		"a reserved bit": func(s *stream) {
			s.out.Write(append([]byte{0, 0, byte(len(whole)), 1, 4, 0x80, 0, 0, 1}, whole...))
		},
		"frames before": func(s *stream) {
			_ = s.WriteWindowUpdate(0, 1<<20)
			_ = s.WriteSettingsAck()
			_ = s.WritePing(false, [8]byte{1})
			_ = s.WritePriority(3, http2.PriorityParam{Weight: 1})
			_ = s.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=0")) // PRIORITY_UPDATE
			_ = s.WriteHeaders(headers(whole))
		},
		"continued": func(s *stream) {
			h := headers(whole[:1])
			h.EndHeaders = false
			_ = s.WriteHeaders(h)
			for _, b := range whole[1 : len(whole)-1] {
				_ = s.WriteContinuation(1, false, []byte{b})
			}
			_ = s.WriteContinuation(1, true, whole[len(whole)-1:])
		},
	} {
		s := settled()
		write(s)
		checkPrefixes(t, what, HTTP, s.out.Bytes(), "a.example")
		if got, ok := seenByHTTP2(s.out.Bytes()); !ok || !namesHost(got, "a.example") {
			t.Errorf("%s: x/net/http2 sees %v, %t", what, got, ok)
		}
	}
}

// seenByHTTP2 is the hosts that x/net/http2 sees in the first stream, and whether it sees one.
func seenByHTTP2(sent []byte) (hosts []string, ok bool) {
	f := http2.NewFramer(nil, bytes.NewReader(bytes.TrimPrefix(sent, []byte(preface))))
	f.ReadMetaHeaders = hpack.NewDecoder(maxTable, nil)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return nil, false
		}
		if h, is := frame.(*http2.MetaHeadersFrame); is {
			for _, field := range h.Fields {
				if field.Name == ":authority" || field.Name == "host" {
					hosts = append(hosts, field.Value)
				}
			}
			return hosts, true
		}
	}
}

// namesHost tells whether all hosts that somebody sees are the one.
func namesHost(hosts []string, want string) bool {
	for _, h := range hosts {
		if name, ok := authorityName(h); !ok || name != want {
			return false
		}
	}
	return len(hosts) > 0
}

func TestStreamHostRefused(t *testing.T) {
	good := getFrom(":authority", "a.example")
	for what, c := range map[string]struct {
		write func(*stream)
		want  Reason
	}{
		"a ping first":        {func(s *stream) { _ = s.WritePing(false, [8]byte{}) }, BadRequest},
		"an answer first":     {func(s *stream) { _ = s.WriteSettingsAck() }, BadRequest},
		"HEADERS first":       {func(s *stream) { _ = s.WriteHeaders(headers(good)) }, BadRequest},
		"DATA before":         {func(s *stream) { _ = s.WriteSettings(); _ = s.WriteData(1, false, nil) }, BadRequest},
		"RST_STREAM before":   {func(s *stream) { _ = s.WriteSettings(); _ = s.WriteRSTStream(1, 0) }, BadRequest},
		"GOAWAY before":       {func(s *stream) { _ = s.WriteSettings(); _ = s.WriteGoAway(0, 0, nil) }, BadRequest},
		"CONTINUATION before": {func(s *stream) { _ = s.WriteSettings(); _ = s.WriteContinuation(1, true, nil) }, BadRequest},
		"a large frame":       {func(s *stream) { _ = s.WriteSettings(); s.out.WriteString("\x00\x40\x01") }, BadRequest},
	} {
		s := newStream()
		c.write(s)
		checkRefused(t, what, HTTP, s.out.Bytes(), c.want)
	}
	for what, c := range map[string]struct {
		block []byte
		want  Reason
	}{
		"two authorities":        {getFrom(":authority", "a.example", ":authority", "b.example"), BadRequest},
		"the same twice":         {getFrom(":authority", "a.example", ":authority", "a.example"), BadRequest},
		"two hosts":              {getFrom("host", "a.example", "host", "a.example"), BadRequest},
		"another host":           {getFrom(":authority", "a.example", "host", "b.example"), BadRequest},
		"a host that is no name": {getFrom(":authority", "a.example", "host", "a.example/"), BadRequest},
		"an empty host":          {getFrom(":authority", "a.example", "host", ""), BadRequest},
		"upper case at the end":  {getFrom(":authority", "a.example", "xZ", "y"), BadRequest},
		"upper case":             {getFrom(":authority", "a.example", "Host", "b.example"), BadRequest},
		"a late pseudo-header":   {getFrom("x", "y", ":authority", "a.example"), BadRequest},
		"a user":                 {getFrom(":authority", "b@a.example"), BadRequest},
		"a literal":              {getFrom(":authority", "[::1]"), BadRequest},
		"an unknown index":       {[]byte{0xff, 0x7f}, BadRequest},
		"a string that is cut":   {append([]byte{0x82, 0x01, 0x30}, "a.example"...), BadRequest},
		"a large table":          {append([]byte{0x3f, 0xe2, 0x1f}, good...), BadRequest},
		"none":                   {getFrom(), HostMissing},
		"an empty authority":     {getFrom(":authority", ""), HostMissing},
		"an empty block":         {nil, HostMissing},
		"CONNECT":                {block(":method", "CONNECT", ":authority", "a.example:443"), ProxyRequest},
	} {
		s := settled()
		_ = s.WriteHeaders(headers(c.block))
		checkRefused(t, what, HTTP, s.out.Bytes(), c.want)
	}
}

// TestStreamFramesRefused: frames that are not what HEADERS have to be.
func TestStreamFramesRefused(t *testing.T) {
	const padded = flagEndHeaders | flagPadded
	good := getFrom(":authority", "a.example")
	for what, write := range map[string]func(*stream){
		"an even stream":    func(s *stream) { _ = s.WriteRawFrame(frameHeaders, flagEndHeaders, 2, good) },
		"stream 0":          func(s *stream) { _ = s.WriteRawFrame(frameHeaders, flagEndHeaders, 0, good) },
		"too much padding":  func(s *stream) { _ = s.WriteRawFrame(frameHeaders, padded, 1, []byte{2, 0}) },
		"no padding length": func(s *stream) { _ = s.WriteRawFrame(frameHeaders, padded, 1, nil) },
		"a cut priority":    func(s *stream) { _ = s.WriteRawFrame(frameHeaders, flagEndHeaders|flagPriority, 1, good[:4]) },
		"another stream goes on": func(s *stream) {
			_ = s.WriteRawFrame(frameHeaders, 0, 1, good[:2])
			_ = s.WriteContinuation(3, true, good[2:])
		},
		"a stream that differs in its first byte goes on": func(s *stream) {
			_ = s.WriteRawFrame(frameHeaders, 0, 0x40000001, good[:2])
			_ = s.WriteContinuation(1, true, good[2:])
		},
		"a ping in between": func(s *stream) {
			_ = s.WriteRawFrame(frameHeaders, 0, 1, good[:2])
			_ = s.WritePing(false, [8]byte{})
		},
	} {
		s := settled()
		write(s)
		checkRefused(t, what, HTTP, s.out.Bytes(), BadRequest)
	}
	s := settled()
	_ = s.WriteRawFrame(frameHeaders, 0, 1, good)
	for s.out.Len() < Max {
		_ = s.WriteContinuation(1, false, nil)
	}
	checkRefused(t, "no end", HTTP, s.out.Bytes(), TooLarge)
}
