package hello

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// checkFuzzed checks what holds for all bytes: a name is a name, a refusal has a reason of the list, what was decided
// stays decided when more comes, and nothing was decided without the last byte. It returns the name, or "".
func checkFuzzed(t *testing.T, kind Kind, sent []byte) string {
	sent = sent[:min(len(sent), Max-64)]
	before := bytes.Clone(sent)
	name, err := Name(kind, sent)
	more, moreErr := Name(kind, append(bytes.Clone(sent), "\x00\r\n\r\nHost: z\r\n\r\n"...))
	var refused *Refusal
	switch {
	case !bytes.Equal(before, sent):
		t.Error("the bytes were changed")
	case err == nil:
		if again, ok := hostName(name); !ok || again != name {
			t.Errorf("%q is no name", name)
		}
		if more != name || moreErr != nil {
			t.Errorf("%q becomes %q, %v with more bytes", name, more, moreErr)
		}
	case errors.As(err, &refused):
		if name != "" || !errors.As(moreErr, &refused) {
			t.Errorf("%q, %v becomes %q, %v with more bytes", name, err, more, moreErr)
		}
	case !errors.Is(err, ErrMore) || name != "":
		t.Errorf("%q, %v", name, err)
	}
	return name
}

// FuzzServerName: what is read is what crypto/tls reads.
func FuzzServerName(f *testing.F) {
	for _, config := range configs() {
		sent := clientHelloOf(f, config)
		f.Add(sent)
		f.Add(inRecords(sent, 100))
	}
	f.Add(helloOf(serverNames("a.example"), extension{kind: 5}))
	f.Add(helloOf(serverNames("a.example", "b.example")))
	f.Add(helloOf(serverNames("a.example"), serverNames("b.example")))
	f.Add(helloOf(serverNames("a.example"), extension{kind: extensionECH}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		name := checkFuzzed(t, TLS, sent)
		if name == "" {
			return
		}
		if seen, ok := seenByTLS(sent); ok && !strings.EqualFold(seen, name) {
			t.Errorf("%q, but crypto/tls reads %q", name, seen)
		}
	})
}

// FuzzHost: what is read is what net/http reads.
func FuzzHost(f *testing.F) {
	for _, sent := range []string{
		"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"GET http://a.example:80/ HTTP/1.0\r\nHost: a.example.\r\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
		"GET / HTTP/1.1\r\nX: y\r\n Host: b.example\r\nHost : a.example\r\n\r\n",
		"OPTIONS * HTTP/1.1\nHost: a.example\n\n",
	} {
		f.Add([]byte(sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		name := checkFuzzed(t, HTTP, sent)
		if name == "" || bytes.HasPrefix(sent, []byte(preface)) {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
		if err != nil {
			return
		}
		if seen, _ := authorityName(r.Host); seen != name {
			t.Errorf("%q, but net/http reads %q", name, r.Host)
		}
	})
}

// FuzzStreamHost: what is read is what x/net/http2 reads.
func FuzzStreamHost(f *testing.F) {
	s := settled()
	_ = s.WritePing(false, [8]byte{})
	_ = s.WriteSettingsAck()
	h := headers(getFrom(":authority", "a.example", "host", "a.example"))
	h.EndHeaders, h.PadLength = false, 3
	_ = s.WriteHeaders(h)
	_ = s.WriteContinuation(1, true, block("x", "y"))
	f.Add(s.out.Bytes()[len(preface):])
	s = settled()
	h = http2.HeadersFrameParam{StreamID: 3, BlockFragment: getFrom(":authority", "a.example"), EndHeaders: true}
	h.Priority = http2.PriorityParam{Weight: 3}
	_ = s.WriteHeaders(h)
	f.Add(s.out.Bytes()[len(preface):])
	f.Fuzz(func(t *testing.T, frames []byte) {
		sent := append([]byte(preface), frames...)
		name := checkFuzzed(t, HTTP, sent)
		if name == "" {
			return
		}
		if AwaitsSettings(sent) {
			t.Errorf("%q, and SETTINGS are awaited", name)
		}
		if rest, _ := WithoutAck(bytes.Clone(sent)); len(rest) < Max-64 {
			if again, err := Name(HTTP, rest); again != name || err != nil {
				t.Errorf("%q, but %q, %v without an acknowledgement", name, again, err)
			}
		}
		if seen, ok := seenByHTTP2(sent); ok && !namesHost(seen, name) {
			t.Errorf("%q, but x/net/http2 reads %q", name, seen)
		}
	})
}
