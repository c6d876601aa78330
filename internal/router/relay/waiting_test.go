package relay_test

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestWaitingForSettings: a client of HTTP/2 that asks only once it has the server's SETTINGS, as grpc-go does,
// reaches a server that ends connections on which more is acknowledged than it sent.
func TestWaitingForSettings(t *testing.T) {
	w := newWorld(t, nil)
	w.serveWeb()
	for _, ackFirst := range []bool{true, false} {
		conn := w.connect(serverAddr, at(apiAddr, 80))
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		w.say(conn, http2.ClientPreface)
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
		if frame, err := f.ReadFrame(); err != nil || frame.Header().Type != http2.FrameSettings {
			t.Fatalf("%v, %v", frame, err)
		}
		if ackFirst {
			_ = f.WriteSettingsAck()
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: question(), EndHeaders: true, EndStream: true})
		if !ackFirst {
			_ = f.WriteSettingsAck()
		}
		if got := answerTo(t, f); got != "HTTP/2.0 for "+api {
			t.Errorf("answered %q", got)
		}
		_ = f.WritePing(false, [8]byte{1}) // the server has not ended the connection
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if frame.Header().Type == http2.FramePing {
				break
			}
		}
	}
}

func question() []byte {
	var out bytes.Buffer
	e := hpack.NewEncoder(&out)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", api}} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return out.Bytes()
}

// answerTo reads the body of the answer, and acknowledges the server's SETTINGS.
func answerTo(t *testing.T, f *http2.Framer) string {
	t.Helper()
	var body []byte
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.DataFrame:
			body = append(body, frame.Data()...)
			if frame.StreamEnded() {
				return string(body)
			}
		}
	}
}
