package hello

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// clientHelloOf is the record that a client of crypto/tls begins with.
func clientHelloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_ = tls.Client(client, config).Handshake()
		client.Close()
	}()
	buf := make([]byte, 1<<16)
	size, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:size]
}

// seenByTLS is the server name that a server of crypto/tls sees in the bytes, and whether it sees a hello.
func seenByTLS(sent []byte) (name string, seen bool) {
	config := &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		name, seen = info.ServerName, true
		return nil, errors.New("enough")
	}}
	_ = tls.Server(&recorded{Reader: bytes.NewReader(sent)}, config).Handshake()
	return name, seen
}

// recorded is a connection that says what it was given, and then ends.
type recorded struct {
	*bytes.Reader
	net.Conn
}

func (r *recorded) Read(b []byte) (int, error)       { return r.Reader.Read(b) }
func (r *recorded) Write(b []byte) (int, error)      { return len(b), nil }
func (r *recorded) Close() error                     { return nil }
func (r *recorded) SetWriteDeadline(time.Time) error { return nil }

// configs are clients that differ in what their hellos hold.
func configs() map[string]*tls.Config {
	return map[string]*tls.Config{
		"TLS 1.2":        {ServerName: "api.example.com", MaxVersion: tls.VersionTLS12},
		"TLS 1.0 to 1.3": {ServerName: "api.example.com", MinVersion: tls.VersionTLS10},
		"TLS 1.3":        {ServerName: "API.Example.com", MinVersion: tls.VersionTLS13},
		"ML-KEM":         {ServerName: "api.example.com", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}},
		"small":          {ServerName: "a.b", CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true},
		"ALPN":           {ServerName: "a-b_c.example", NextProtos: []string{"h2", "http/1.1", strings.Repeat("x", 200)}},
		"long":           {ServerName: strings.Repeat("label.", 40) + "example"},
	}
}

func TestServerNameIsWhatTLSSees(t *testing.T) {
	for what, config := range configs() {
		sent := clientHelloOf(t, config)
		want, seen := seenByTLS(sent)
		if !seen || !strings.EqualFold(want, config.ServerName) {
			t.Fatalf("%s: crypto/tls sees %q in its own hello", what, want)
		}
		got, err := Name(TLS, sent)
		if err != nil || got != strings.ToLower(want) {
			t.Errorf("%s: %q, %v, not %q", what, got, err, want)
		}
	}
}

// TestServerNameInPieces: at every byte the hello is not whole, but for its last.
func TestServerNameInPieces(t *testing.T) {
	for what, config := range configs() {
		checkPrefixes(t, what, TLS, clientHelloOf(t, config), strings.ToLower(config.ServerName))
	}
}

// TestServerNameInRecords: so it is where the hello is spread over records of any size.
func TestServerNameInRecords(t *testing.T) {
	config := configs()["small"]
	sent := clientHelloOf(t, config)
	for _, size := range []int{1, 2, 3, 4, 5, 100} {
		pieces := inRecords(sent, size)
		checkPrefixes(t, fmt.Sprintf("records of %d", size), TLS, pieces, config.ServerName)
		if name, seen := seenByTLS(pieces); seen && name != config.ServerName {
			t.Errorf("records of %d: crypto/tls sees %q", size, name)
		}
	}
}

// checkPrefixes checks that the name shows with the last byte, and no earlier. What comes behind changes nothing.
func checkPrefixes(t *testing.T, what string, kind Kind, sent []byte, want string) {
	t.Helper()
	for i := range sent {
		if name, err := Name(kind, sent[:i]); !errors.Is(err, ErrMore) {
			t.Fatalf("%s: %d of %d bytes: %q, %v", what, i, len(sent), name, err)
		}
	}
	for _, behind := range []string{"", "\x16\x03\x01", "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"} {
		if name, err := Name(kind, append(bytes.Clone(sent), behind...)); err != nil || name != want {
			t.Errorf("%s: %q, %v, not %q", what, name, err, want)
		}
	}
}

// inRecords puts the message of a record into records of a size.
func inRecords(sent []byte, size int) []byte {
	var out []byte
	for rest := sent[recordHeader:]; len(rest) > 0; {
		n := min(size, len(rest))
		out = append(out, recordOf(typeHandshake, rest[:n])...)
		rest = rest[n:]
	}
	return out
}

func recordOf(kind byte, fragment []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 1}, uint16(len(fragment))), fragment...)
}

// extension is an extension of a hello that a test makes.
type extension struct {
	kind uint16
	body []byte
}

func serverNames(names ...string) extension {
	var list []byte
	for _, n := range names {
		list = append(list, vec(2, []byte(n), nameTypeHost)...)
	}
	return extension{extensionServerName, vec(2, list)}
}

// vec is a vector of TLS with its length in size bytes, behind other bytes.
func vec(size int, body []byte, before ...byte) []byte {
	out := before
	for i := size - 1; i >= 0; i-- {
		out = append(out, byte(len(body)>>(8*i)))
	}
	return append(out, body...)
}

// message is a ClientHello with extensions.
func message(extensions ...extension) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, vec(1, nil)...)
	body = append(body, vec(2, []byte{0x13, 1})...)
	body = append(body, vec(1, []byte{0})...)
	var all []byte
	for _, e := range extensions {
		all = append(all, vec(2, e.body, byte(e.kind>>8), byte(e.kind))...)
	}
	return vec(3, append(body, vec(2, all)...), typeClientHello)
}

func helloOf(extensions ...extension) []byte {
	return recordOf(typeHandshake, message(extensions...))
}

func TestServerNameOfMadeHello(t *testing.T) {
	sent := helloOf(extension{kind: 0x0a0a}, serverNames("Api.Example.COM"), extension{kind: 21, body: make([]byte, 3000)})
	checkPrefixes(t, "made", TLS, sent, "api.example.com")
	if seen, ok := seenByTLS(sent); !ok || seen != "Api.Example.COM" {
		t.Errorf("crypto/tls sees %q, %t", seen, ok)
	}
}

// TestLargest: the longest label, the longest name, and bytes up to the bound and beyond it.
func TestLargest(t *testing.T) {
	for _, name := range []string{strings.Repeat("a", 63) + ".example", strings.Repeat("a.", 126) + "a"} {
		checkPrefixes(t, name, TLS, helloOf(serverNames(name)), name)
	}
	sent := append([]byte("POST / HTTP/1.1\r\nHost: a.example\r\n\r\n"), make([]byte, 2*Max)...)
	for _, size := range []int{Max - 1, Max, Max + 1, len(sent)} {
		if name, err := Name(HTTP, sent[:size]); name != "a.example" || err != nil {
			t.Errorf("%d bytes: %q, %v", size, name, err)
		}
	}
}

func TestServerNameRefused(t *testing.T) {
	good := helloOf(serverNames("a.example"))
	split := message(serverNames("a.example"))
	behind := append(bytes.Clone(split), 0)
	for what, c := range map[string]struct {
		sent []byte
		want Reason
	}{
		"a request":             {[]byte("GET / HTTP/1.1\r\n"), NoHello},
		"an alert":              {[]byte{typeAlert, 3, 1, 0, 2, 1, 0}, NoHello},
		"application data":      {[]byte{23, 3, 3, 0, 1, 0}, NoHello},
		"a change of ciphers":   {append(recordOf(20, []byte{1}), good...), NoHello},
		"SSL 2":                 {[]byte{0x80, 0x2e, 1, 0, 2}, NoHello},
		"SSL 2, long header":    {[]byte{0x00, 0x2e, 0, 1, 0, 2}, NoHello},
		"another major version": {[]byte{typeHandshake, 2}, NoHello},
		"a ServerHello":         {recordOf(typeHandshake, []byte{2, 0, 0, 1, 0}), NoHello},
		"a byte before":         {append([]byte{0}, good...), NoHello},
		"an alert in between":   {append(recordOf(typeHandshake, split[:9]), recordOf(typeAlert, []byte{1, 0})...), NoHello},

		"an empty record":          {[]byte{typeHandshake, 3, 1, 0, 0}, BadHello},
		"an empty record later":    {append(recordOf(typeHandshake, split[:9]), typeHandshake, 3, 1, 0, 0), BadHello},
		"too long a record":        {[]byte{typeHandshake, 3, 1, 0x40, 1}, BadHello},
		"two messages in a record": {recordOf(typeHandshake, append(bytes.Clone(split), split...)), BadHello},
		"a record that goes on":    {recordOf(typeHandshake, behind)[:recordHeader+len(split)], BadHello},
		"two names":                {helloOf(serverNames("a.example", "b.example")), BadHello},
		"the name twice":           {helloOf(serverNames("a.example", "a.example")), BadHello},
		"two name extensions":      {helloOf(serverNames("a.example"), serverNames("b.example")), BadHello},
		"two of another":           {helloOf(serverNames("a.example"), extension{kind: 5}, extension{kind: 5}), BadHello},
		"a name of another type":   {helloOf(extension{0, vec(2, vec(2, []byte("a.example"), 1))}), BadHello},
		"no name in the list":      {helloOf(extension{0, vec(2, nil)}), BadHello},
		"an empty name extension":  {helloOf(extension{kind: 0}), BadHello},
		"an empty name":            {helloOf(serverNames("")), BadHello},
		"a final dot":              {helloOf(serverNames("a.example.")), BadHello},
		"an empty label":           {helloOf(serverNames("a..example")), BadHello},
		"NUL in the name":          {helloOf(serverNames("a.example\x00.b.example")), BadHello},
		"a port":                   {helloOf(serverNames("a.example:443")), BadHello},
		"a literal of IPv6":        {helloOf(serverNames("2001:db8::1")), BadHello},
		"other than ASCII":         {helloOf(serverNames("\u212a.example")), BadHello},
		"a long name":              {helloOf(serverNames(strings.Repeat("a.", 126) + "aa")), BadHello},
		"a long label":             {helloOf(serverNames(strings.Repeat("a", 64) + ".example")), BadHello},
		"bytes behind the list":    {helloOf(extension{0, append(vec(2, vec(2, []byte("a.example"), 0)), 0)}), BadHello},
		"cut extensions":           {recordOf(typeHandshake, vec(3, split[4:len(split)-1], typeClientHello)), BadHello},
		"bytes behind extensions":  {recordOf(typeHandshake, vec(3, behind[4:], typeClientHello)), BadHello},
		"no body":                  {recordOf(typeHandshake, []byte{typeClientHello, 0, 0, 0}), BadHello},

		"no extensions":       {recordOf(typeHandshake, vec(3, split[4:4+2+32+1+4+2], typeClientHello)), SNIMissing},
		"no name":             {helloOf(extension{kind: 5}), SNIMissing},
		"a name, encrypted":   {helloOf(serverNames("a.example"), extension{kind: extensionECH}), EncryptedHello},
		"no name, encrypted":  {helloOf(extension{kind: extensionECH}), EncryptedHello},
		"a name of the draft": {helloOf(serverNames("a.example"), extension{kind: extensionESNI}), EncryptedHello},
		"a large message":     {recordOf(typeHandshake, []byte{typeClientHello, 0, 0x40, 0}), TooLarge},
		"a huge message":      {recordOf(typeHandshake, []byte{typeClientHello, 0xff, 0xff, 0xff}), TooLarge},
		"records of one byte": {inRecords(helloOf(extension{21, make([]byte, 3000)}), 1)[:Max], TooLarge},
	} {
		checkRefused(t, what, TLS, c.sent, c.want)
	}
	if name, err := Name(TLS, good); err != nil || name != "a.example" {
		t.Errorf("the control: %q, %v", name, err)
	}
}

func checkRefused(t *testing.T, what string, kind Kind, sent []byte, want Reason) {
	t.Helper()
	name, err := Name(kind, sent)
	var refused *Refusal
	if !errors.As(err, &refused) || refused.Reason != want || name != "" {
		t.Errorf("%s: %q, %v, not %s", what, name, err, want)
	}
}

// TestEncryptedHello: a client of crypto/tls that has a key for the encryption shows another name outside.
func TestEncryptedHello(t *testing.T) {
	config := &tls.Config{ServerName: "secret.example", EncryptedClientHelloConfigList: encryption(t, "a.example")}
	sent := clientHelloOf(t, config)
	if seen, _ := seenByTLS(sent); seen != "a.example" {
		t.Fatalf("crypto/tls sees %q", seen)
	}
	checkRefused(t, "ECH", TLS, sent, EncryptedHello)
}

// encryption is what a client finds in DNS (RFC 9849 4) with a key that nobody keeps.
func encryption(t *testing.T, public string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := vec(2, key.PublicKey().Bytes(), 7, 0, 0x20)
	body = append(body, vec(2, []byte{0, 1, 0, 1})...)
	body = append(body, vec(1, []byte(public), 64)...)
	body = append(body, 0, 0)
	return vec(2, vec(2, body, 0xfe, 0x0d))
}
