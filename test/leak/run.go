package leak

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

const (
	// dialTimeout is how long an attacker's connection may take.
	dialTimeout = 1500 * time.Millisecond
	// settle is how long frames may be under way.
	settle = 250 * time.Millisecond
	// pace is the pause between the attacker's frames.
	pace = 200 * time.Microsecond
	// noticed is how long a state change may take.
	noticed = 50 * time.Millisecond
)

// run is one attack of all vectors.
type run struct {
	t        *scope
	seat     Seat
	recorder *testnet.Recorder
	senders  map[Who]*sender
	dials    sync.WaitGroup
	scene    Scene
}

// shot is a vector with its token.
type shot struct {
	Vector
	scene *Scene
}

// Run attacks from the seat and reports what leaked.
func Run(t testnet.T, seat Seat) Report {
	t.Helper()
	start := time.Now()
	r := &run{t: &scope{T: t}, recorder: testnet.NewRecorder(), senders: map[Who]*sender{}}
	defer r.t.close()
	r.seat = seat.within(r.t)
	report := Report{Seat: seat.Name, Before: r.prepare()}
	if seat.Disturb != nil {
		seat.Disturb()
	}
	report.Reaches = r.reaches()
	report.Answers = r.answers()
	r.openReply()
	shots := r.attack()
	for _, s := range shots {
		report.Findings = append(report.Findings, r.finding(s))
	}
	report.ReachesAfter = r.reaches()
	report.Took = time.Since(start)
	return report
}

// prepare readies the world and tells whether the gateway can be reached.
func (r *run) prepare() bool {
	r.equip()
	r.scene = r.seat.scene()
	r.observe()
	r.openSenders()
	r.plant()
	return r.reaches()
}

// attack launches every vector and waits for what comes of it.
func (r *run) attack() []shot {
	r.arm()
	shots := make([]shot, 0, len(Vectors()))
	for i, v := range Vectors() {
		shots = append(shots, shot{v, r.nth(i)})
	}
	for _, s := range shots {
		if !s.Late {
			s.Attack.launch(r, s.scene)
		}
	}
	r.dials.Wait()
	time.Sleep(settle)
	for _, s := range shots {
		if s.Late {
			s.Attack.launch(r, s.scene)
			r.heal()
		}
	}
	time.Sleep(settle)
	return shots
}

// nth is the scene for a vector.
func (r *run) nth(i int) *Scene {
	s := r.scene
	s.Token, s.Nth = testnet.NewToken(), i+1
	return &s
}

// finding judges a vector by the traces of its token.
func (r *run) finding(s shot) Finding {
	f := Finding{ID: s.ID, Promise: s.Promise(), About: s.About, Aim: s.Aim}
	for _, seen := range r.recorder.Of(s.scene.Token) {
		if s.Attack.counts(Place(seen.Place)) {
			f.Leaks = append(f.Leaks, seen)
			f.AimHit = f.AimHit || Place(seen.Place) == s.Aim
		}
	}
	slices.SortFunc(f.Leaks, compareSightings)
	return f
}

// openReply has the gateway connect to the attacker and hold the connection.
func (r *run) openReply() {
	r.scene.ReplyPort = 40007 // where gateways may not connect
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := r.seat.Gateway.NS.Dial(ctx, "tcp", netip.AddrPortFrom(r.seat.Attacker.IP, serverPort))
	if err != nil {
		return
	}
	r.t.Cleanup(func() { conn.Close() })
	if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
		r.scene.ReplyPort = local.Port()
	}
}

// reaches tells whether the permitted way to the gateway is open.
func (r *run) reaches() bool {
	ctx, cancel := context.WithTimeout(context.Background(), slowly(dialTimeout))
	defer cancel()
	conn, err := r.seat.Attacker.NS.Dial(ctx, "tcp", netip.AddrPortFrom(r.seat.Gateway.IP, r.seat.Port))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
