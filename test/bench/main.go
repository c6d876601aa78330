// Command bench measures mcpnet beside its peers and writes docs/benchmarks.md.
//
//	bench [-only attach,packets,…]   everything, about half an hour; part of it prints tables only
//	bench -update -only cni          that part anew in docs/benchmarks.md, whose other parts stay
//	bench -quick                     a look in six minutes; prints tables only
//
// Everything runs in network namespaces that the program makes and removes. What is compared runs in turns (A B A B
// …), and what counts is the median of the ratios of neighbours: a machine's mood meets both sides alike. Nothing
// here passes or fails; a target that is missed is written down.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/bench/load"
)

// scale is how much is measured.
type scale struct {
	Small    int           `json:"small"`    // endpoints
	Middle   int           `json:"middle"`   // endpoints
	Large    int           `json:"large"`    // endpoints
	Rounds   int           `json:"rounds"`   // of every load on every path
	For      time.Duration `json:"for"`      // one load
	Starts   int           `json:"starts"`   // containers on each network
	Cycles   int           `json:"cycles"`   // attaches beside each number of endpoints
	Flushes  int           `json:"flushes"`  // of each host
	Calls    int           `json:"calls"`    // ADDs of each CNI chain beside each number of endpoints, …
	CallsFor time.Duration `json:"callsFor"` // … beyond leastCalls as far as there is time
	Crowds   int           `json:"crowds"`   // of each CNI chain
	Versions []string      `json:"versions"` // of Docker
}

var (
	full = scale{Small: 1, Middle: 100, Large: 1000, Rounds: 9, For: time.Second, Starts: 31, Cycles: 150, Flushes: 9,
		Calls: 300, CallsFor: 8 * time.Minute, Crowds: 5, Versions: []string{"28.5", "20.10"}}
	quick = scale{Small: 1, Middle: 100, Large: 300, Rounds: 3, For: 300 * time.Millisecond, Starts: 7, Cycles: 30, Flushes: 3,
		Calls: 20, Crowds: 1, Versions: []string{"28.5"}}
)

// job measures one or more sections that share what they run on.
type job struct {
	sections []string
	run      func(context.Context, *bench, *testnet.Program)
}

var jobs = []job{
	{[]string{"start"}, start},
	{[]string{"runtime"}, hookCosts},
	{[]string{"attach", "memory", "repair"}, control},
	{[]string{"steps"}, steps},
	{[]string{"cni", "cni-crowd"}, cniCalls},
	{[]string{"throughput", "latency", "connections", "packets"}, datapath},
}

// bench is one run of the program.
type bench struct {
	scale
	only    []string
	results results
}

func (b *bench) wants(section string) bool {
	return len(b.only) == 0 || slices.Contains(b.only, section)
}

func main() {
	load.Child()
	isQuick := flag.Bool("quick", false, "a look in six minutes")
	only := flag.String("only", "", "`sections`, separated by commas: "+strings.Join(allSections(), ", "))
	raw := flag.String("json", "", "`file` for every single measurement")
	out := flag.String("out", "", "`file` for the report (default: docs/benchmarks.md when everything is measured, otherwise standard output only)")
	update := flag.Bool("update", false, "write what -only measures into docs/benchmarks.md, and leave the rest of it")
	flag.Parse()
	b := &bench{scale: full, results: newResults()}
	if *isQuick {
		b.scale = quick
	}
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	const document = "docs/benchmarks.md"
	if *out == "" && !*isQuick && (*only == "" || *update) {
		*out = document
	}
	var earlier published
	var err error
	if *update && *only != "" {
		earlier, err = readPublished(document)
	}
	if err == nil {
		err = b.main(*out, *raw, earlier)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func allSections() (names []string) {
	for _, j := range jobs {
		names = append(names, j.sections...)
	}
	return names
}

func (b *bench) main(out, raw string, earlier published) error {
	for _, name := range b.only {
		if !slices.Contains(allSections(), name) {
			return fmt.Errorf("no section %q: have %s", name, strings.Join(allSections(), ", "))
		}
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	began := time.Now()
	failed := b.measure()
	fmt.Fprintf(os.Stderr, "bench: done after %v\n", time.Since(began).Round(time.Second))
	if raw != "" {
		failed = errors.Join(failed, b.writeRaw(raw))
	}
	text := b.report(earlier)
	if failed != nil || out == "" {
		fmt.Print(text)
		return failed
	}
	return os.WriteFile(out, []byte(text), 0o644)
}

// measure runs every wanted job, whatever becomes of the others, and clears up after each.
func (b *bench) measure() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var failed []error
	for _, j := range jobs {
		if !slices.ContainsFunc(j.sections, b.wants) || ctx.Err() != nil {
			continue
		}
		name := strings.Join(slices.DeleteFunc(slices.Clone(j.sections), func(s string) bool { return !b.wants(s) }), ", ")
		progress("%s", name)
		err := testnet.RunProgram("bench", os.Stderr, func(ctx context.Context, p *testnet.Program) { j.run(ctx, b, p) })
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func (b *bench) writeRaw(file string) error {
	data, err := json.MarshalIndent(struct {
		Scale   scale   `json:"scale"`
		Machine machine `json:"machine"`
		Samples samples `json:"samples"`
		Rows    []row   `json:"rows"`
	}{b.scale, b.results.machine, b.results.samples, b.results.rows}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(file), append(data, '\n'), 0o644)
}

// progress says on standard error what is being done.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// must ends the job when err is not nil.
func must(p *testnet.Program, err error, format string, args ...any) {
	if err != nil {
		p.Fatalf(format+": %w", append(args, err)...)
	}
}
