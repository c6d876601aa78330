// Command mutate changes one place of the product at a time and asks the tests whether they notice.
//
//	go run ./scripts/mutate -n 150 -seed 7                   # 150 mutations that compile, from all packages
//	go run ./scripts/mutate -packages internal/plan,hook     # of these alone
//	go run ./scripts/mutate -again                           # those that survived, after new tests
//	go run ./scripts/mutate -list -packages internal/plan    # print them, change nothing
//
// No source is touched: the go command is told of a changed file beside it (-overlay), and so are the go commands that
// tests run. What became of each mutation is in build/mutate: mutations.json, which the next run goes on with, and
// mutations.md. A mutation that only golden files notice is told apart: in the first round they are not compared. A
// test that fails has to fail twice. Suites that fail without a mutation are not asked. Log lines, deferred calls that
// close something, and String methods are not mutated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// options are what a user asks for.
type options struct {
	n        int
	seed     uint64
	packages []string
	only     *regexp.Regexp
	level    Level
	out      string
	list     bool
	again    bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = mutate(ctx, o)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	packages := f.String("packages", "", "directories below the root, separated by commas; all if empty")
	only := f.String("only", "", "a pattern of `FILE:LINE: KIND: OLD → NEW`, as -list prints them")
	level := f.String("level", levels[Namespaces], "the most that tests may need: "+strings.Join(levels, ", "))
	f.IntVar(&o.n, "n", 150, "how many mutations that compile, with those of earlier runs")
	f.Uint64Var(&o.seed, "seed", 1, "which of all mutations, and in what order")
	f.StringVar(&o.out, "out", "build/mutate", "the directory of the record")
	f.BoolVar(&o.list, "list", false, "print the mutations")
	f.BoolVar(&o.again, "again", false, "try those again that survived")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if *packages != "" {
		o.packages = strings.Split(*packages, ",")
	}
	if o.level = Level(slices.Index(levels, *level)); o.level < 0 {
		return o, fmt.Errorf("-level %s: want one of %s", *level, strings.Join(levels, ", "))
	}
	o.only, err = regexp.Compile(*only)
	return o, err
}

func mutate(ctx context.Context, o options) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("the module: %w", err)
	}
	root := strings.TrimSpace(string(out))
	c, err := read(ctx, root)
	if err != nil {
		return err
	}
	all, err := o.choose(root, c)
	if err != nil {
		return err
	}
	if o.list {
		for _, m := range all {
			fmt.Println(m)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "mcpnet-mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	record, err := open(o.out)
	if err != nil {
		return err
	}
	habits, err := habitsOf(ctx, root, o.out)
	if err != nil {
		return err
	}
	return o.run(ctx, &runner{root: root, dir: dir, catalogue: c, level: o.level, habits: habits}, record, all)
}

// choose lists the mutations that are asked for, in the order of the seed.
func (o options) choose(root string, c *catalogue) (all []Mutation, err error) {
	for name := range c.files {
		if o.packages != nil && !slices.Contains(o.packages, name) {
			continue
		}
		for _, file := range c.files[name] {
			found, err := mutationsOf(root, file)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	all = slices.DeleteFunc(all, func(m Mutation) bool { return !o.only.MatchString(m.String()) })
	slices.SortFunc(all, func(a, b Mutation) int { return strings.Compare(a.ID(), b.ID()) })
	if !o.list {
		rand.New(rand.NewPCG(o.seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no mutations: packages %v, only %q", o.packages, o.only)
	}
	return all, nil
}

func (o options) run(ctx context.Context, r *runner, record *record, all []Mutation) error {
	for _, m := range all {
		known, is := record.of(m)
		if o.again != (is && known.Outcome == Survived) || is && !o.again {
			continue
		}
		if !o.again && record.valid() >= o.n {
			break
		}
		result, err := r.try(ctx, m)
		if err != nil {
			return err
		}
		fmt.Printf("%-8s %s (%s, %.0f s)\n", result.Outcome, m, result.By, result.Seconds)
		if err := record.add(result); err != nil {
			return err
		}
	}
	table, _, _ := strings.Cut(record.page(), "\n\n| where")
	fmt.Println(table)
	return nil
}
