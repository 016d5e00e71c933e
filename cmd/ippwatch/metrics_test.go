package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/screen"
	"ippwatch/store"
	"ippwatch/tally"
)

// chronicle writes cases with their past into the data directory, as months of
// scans, notices and answers would have. Each line of the file is a case:
//
//	ADDRESS[-LAST] TRANSPORT RULE COUNTRY ASN STEP...
//
// A range of addresses is as many cases. A step is DAYS:CONDITION,
// DAYS:contact=WORD or DAYS:verdict=WORD, so many days ago; with "+N" behind the
// days, each next address takes it N days later. DAYS alone is a sighting.
func chronicle(ts *testscript.TestScript, _ bool, args []string) {
	cases, err := readChronicle(ts.ReadFile(args[0]), time.Now().UTC())
	ts.Check(err)
	st, err := store.Open(context.Background(), filepath.Join(ts.Getenv("XDG_DATA_HOME"), "ippwatch"))
	ts.Check(err)
	ts.Check(write(context.Background(), st, cases))
	ts.Check(st.Close())
}

// A past is a case and how it came about.
type past struct {
	exposure.Exposure
	steps []exposure.Transition
}

func readChronicle(text string, now time.Time) ([]past, error) {
	var cases []past
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		from, to, ranged := strings.Cut(fields[0], "-")
		addr, err := netip.ParseAddr(from)
		if err != nil {
			return nil, err
		}
		last := addr
		if ranged {
			if last, err = netip.ParseAddr(to); err != nil {
				return nil, err
			}
		}
		asn, err := strconv.ParseUint(fields[4], 10, 32)
		if err != nil {
			return nil, err
		}
		for n := 0; addr.Compare(last) <= 0; n, addr = n+1, addr.Next() {
			p := past{Exposure: exposure.Exposure{
				Key:     exposure.Key{Addr: addr, Transport: exposure.Transport(fields[1]), Port: 631, Rule: fields[2]},
				Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1, TimesSeen: 1, Evidence: "it answered",
				Where: exposure.Where{Country: fields[3], ASN: uint32(asn)},
			}}
			if r, ok := rule.ByID(fields[2]); ok {
				p.Severity = r.Severity
			}
			for _, word := range fields[5:] {
				if err := p.step(word, n, now); err != nil {
					return nil, err
				}
			}
			cases = append(cases, p)
		}
	}
	return cases, nil
}

func (p *past) step(word string, n int, now time.Time) error {
	when, to, moved := strings.Cut(word, ":")
	ago, later, _ := strings.Cut(when, "+")
	day, err := strconv.ParseFloat(ago, 64)
	if err != nil {
		return err
	}
	if later != "" {
		each, err := strconv.ParseFloat(later, 64)
		if err != nil {
			return err
		}
		day -= each * float64(n)
	}
	t := exposure.Transition{Key: p.Key, Axis: exposure.AxisCondition, To: to, Actor: "a script", Evidence: "it says so", At: now.Add(-time.Duration(day * 24 * float64(time.Hour)))}
	axis, word, other := strings.Cut(to, "=")
	switch {
	case !moved:
	case other && axis == string(exposure.AxisContact):
		t.Axis, t.From, t.To = exposure.AxisContact, string(p.Contact), word
		p.Contact = exposure.Contact(word)
	case other:
		t.Axis, t.From, t.To = exposure.AxisVerdict, string(p.Ruling), word
		p.Ruling = exposure.Ruling(word)
	default:
		t.From = string(p.Condition)
		if t.From != "" && !p.Condition.Open() {
			p.Cycle++
		}
		p.Condition = exposure.Condition(to)
	}
	if !moved || to == "confirmed" || to == "reported" {
		if p.FirstSeen.IsZero() {
			p.FirstSeen = t.At
		}
		p.LastSeen = t.At
	}
	if t.Cycle = p.Cycle; moved {
		p.steps = append(p.steps, t)
	}
	return nil
}

// write keeps the cases, some hundred at a time.
func write(ctx context.Context, st *store.Store, cases []past) error {
	for part := range slices.Chunk(cases, 500) {
		doors := make([]netip.AddrPort, len(part))
		for i := range part {
			doors[i] = netip.AddrPortFrom(part[i].Addr, part[i].Port)
		}
		err := st.Apply(ctx, doors, func([]exposure.Exposure, map[exposure.Key]time.Time) (changed []exposure.Exposure, steps []exposure.Transition) {
			for i := range part {
				changed = append(changed, part[i].Exposure)
				steps = append(steps, part[i].steps...)
			}
			return changed, steps
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkMetrics counts cases of three steps each, 20,000 of them, or as many
// as IPPWATCH_CASES says.
func BenchmarkMetrics(b *testing.B) {
	n := 20_000
	if text := os.Getenv("IPPWATCH_CASES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	dir := filepath.Join(b.TempDir(), "data")
	st, err := store.Open(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now().UTC()
	r := rand.New(rand.NewPCG(1, 1))
	var cases []past
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range n {
		p := past{Exposure: exposure.Exposure{
			Key:      exposure.Key{Addr: addr, Transport: exposure.TCP, Port: 631, Rule: []string{"open-ipp", "no-tls", "open-cups"}[i%3]},
			Severity: exposure.High, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1, TimesSeen: 1,
			Evidence: "TCP port 631 answered a stranger in IPP 2.0 with status 0x0000 and described 1 printer", Last: "00112233445566778899aabbccddeeff",
			Where: exposure.Where{Country: "DE", ASN: uint32(64500 + i%40)},
		}}
		if i%3 == 2 {
			addr = addr.Next()
		}
		opened := 20 + 300*r.Float64()
		for _, word := range []string{
			fmt.Sprintf("%f:confirmed", opened), fmt.Sprintf("%f:one_clean", opened*(1-.9*r.Float64())), "1:fixed",
		}[:[]int{1, 3, 3}[i%3]] {
			if err := p.step(word, 0, now); err != nil {
				b.Fatal(err)
			}
		}
		if i%3 == 0 {
			_ = p.step("2:contact=notified", 0, now)
			_ = p.step("1:contact=acknowledged", 0, now)
		}
		if cases = append(cases, p); len(cases) == 10_000 || i == n-1 {
			if err := write(b.Context(), st, cases); err != nil {
				b.Fatal(err)
			}
			cases = cases[:0]
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	for _, line := range [][]string{{"metrics", "--by", "asn"}, {"metrics", "--turnbull"}, {"rank"}} {
		b.Run(strings.Join(line, " "), func(b *testing.B) {
			for b.Loop() {
				var out, errs bytes.Buffer
				s := &street{in: strings.NewReader(""), Screen: screen.Screen{Out: &out, Err: &errs}, now: time.Now}
				root := s.root()
				root.SetArgs(append([]string{"--data", dir}, line...))
				if code := s.exit(root.ExecuteContext(b.Context())); code != exitDone {
					b.Fatal(errs.String())
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "cases/s")
		})
	}
}

// TestMetricsPage holds that the page says of every figure what the program says.
func TestMetricsPage(t *testing.T) {
	raw, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(raw)), " ")
	for _, d := range tally.Definitions {
		if want := "**" + d.Name + "**: " + strings.Join(strings.Fields(d.Text), " "); !strings.Contains(page, want) {
			t.Errorf("docs/metrics.md does not say:\n%s", screen.Wrap(want, 100, "  "))
		}
	}
	spaces := regexp.MustCompile(` +`)
	for _, w := range tally.Weights() {
		if row := spaces.ReplaceAllString(fmt.Sprintf("| %s | %s | %s |", w.Column, w.Points, w.For), " "); !strings.Contains(page, row) {
			t.Errorf("docs/metrics.md has no row %s", row)
		}
	}
}
