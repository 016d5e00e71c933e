package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/access"
	"ippwatch/exposure"
)

// An engine is what the tests ask of an archive, so that a second one can dock here.
type engine interface {
	Append(ctx context.Context, observations []exposure.Observation) (int, error)
	Observations(ctx context.Context, view access.View, q Query) iter.Seq2[Record, error]
	History(ctx context.Context, view access.View, addr netip.Addr, limit int) iter.Seq2[Record, error]
	LatestPerTarget(ctx context.Context, view access.View, day time.Time) iter.Seq2[Record, error]
	Retag(ctx context.Context, q Query, judge func(*exposure.Observation) []exposure.Finding) (int, error)
	DirtyDays(ctx context.Context) ([]time.Time, error)
	Rollup(ctx context.Context, day time.Time) error
	Counts(ctx context.Context, view access.View, q CountQuery) ([]Count, error)
	Close() error
}

var _ engine = (*Archive)(nil)

var operator = access.View{Who: "test", Tier: access.Operator}

func open(t testing.TB, dir string) *Archive {
	t.Helper()
	a, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func keep(t testing.TB, a engine, all ...exposure.Observation) int {
	t.Helper()
	n, err := a.Append(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func collect(t testing.TB, seq iter.Seq2[Record, error]) []Record {
	t.Helper()
	var all []Record
	for r, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// seen makes an observation of an address at a time.
func seen(addr string, at time.Time, change ...func(*exposure.Observation)) exposure.Observation {
	o := exposure.Observation{
		V: 1, Run: "run-" + at.Format("0102T15"), Observed: at, Received: at, Source: exposure.Scan, Vantage: "lab",
		Addr: netip.MustParseAddr(addr), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP,
		Verdict: exposure.Answered,
		Where:   exposure.Where{Country: "DE", ASN: 64496},
	}
	for _, c := range change {
		c(&o)
	}
	if o.ID == "" {
		o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, o.Attempt)
	}
	return o
}

func found(rules ...string) func(*exposure.Observation) {
	return func(o *exposure.Observation) {
		for _, r := range rules {
			o.Findings = append(o.Findings, exposure.Finding{Rule: r, Severity: exposure.Medium, Evidence: "seen"})
		}
	}
}

// asKept compares observations as the archive promises to keep them.
var asKept = cmp.Options{
	cmpopts.IgnoreFields(exposure.Observation{}, "Findings"),
	cmp.Comparer(func(x, y netip.Addr) bool { return x == y }),
}

func facts(all []Record) []exposure.Observation {
	var o []exposure.Observation
	for _, r := range all {
		o = append(o, r.Observation)
	}
	return o
}

func TestWhatIsKeptComesBack(t *testing.T) {
	a := open(t, t.TempDir())
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		var want []exposure.Observation
		for range 100 {
			want = append(want, strange(r))
		}
		want = append(want, newNeighbourhood(20).at(r.IntN(100))...)
		run := fmt.Sprintf("run %d", r.Uint64())
		for i := range want {
			want[i].Run = run
			if r.IntN(4) > 0 {
				want[i].ID = exposure.NewID(run, want[i].Target(), want[i].Transport, want[i].Probe, want[i].Attempt)
			} else {
				want[i].ID = exposure.ID(fmt.Sprintf("%032x", r.Uint64()))
			}
		}
		if n := keep(t, a, want...); n != len(want) {
			t.Fatalf("Append of %d = %d", len(want), n)
		}
		got := facts(collect(t, a.Observations(t.Context(), operator, Query{Run: run})))
		byID := func(x, y exposure.Observation) int { return cmpStrings(x.ID, y.ID) }
		slices.SortFunc(want, byID)
		slices.SortFunc(got, byID)
		if diff := cmp.Diff(want, got, asKept); diff != "" {
			t.Fatalf("kept and read, -want +got:\n%s", diff)
		}
	}
	if problems, err := a.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("Check = %v, %v", problems, err)
	}
}

func cmpStrings[T ~string](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// strange returns an observation with any bytes in the texts that have columns
// of their own; package form tests the others.
func strange(r *rand.Rand) exposure.Observation {
	text := func() string {
		pool := []string{"", "none", "plain", "nul\x00inside", "bad\xff\xfeutf8", "007", "ünïcode", string(make([]byte, 300))}
		return pool[r.IntN(len(pool))]
	}
	var raw [16]byte
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	addr := netip.AddrFrom16(raw)
	switch r.IntN(3) {
	case 0:
		addr = netip.AddrFrom4([4]byte(raw[:4]))
	case 1:
		addr = addr.WithZone("eth0")
	}
	at := firstDay.Add(time.Duration(r.Int64N(int64(48 * time.Hour))))
	o := exposure.Observation{
		V: r.IntN(3), Observed: at, Received: at.Add(time.Second), Source: exposure.Source(text()), Vantage: text(),
		Addr: addr, Port: uint16(r.Uint32()), Transport: exposure.Transport(text()), Probe: exposure.Probe(text()),
		Attempt: r.IntN(3), Verdict: exposure.Verdict(text()), Reason: text(), Simulated: r.IntN(2) == 0,
		Where: exposure.Where{Country: text(), Region: text(), City: text(), ASN: r.Uint32(), ASName: text(), Hostname: text()},
	}
	if r.IntN(2) == 0 {
		o.CUPS = &exposure.CUPS{Server: text(), Reported: text()}
	}
	return o
}

func TestAppendTwiceKeepsOnce(t *testing.T) {
	a := open(t, t.TempDir())
	all := newNeighbourhood(700).at(0)
	for i := range all[:50] {
		all[i].ID = exposure.ID(fmt.Sprintf("row-%d", i)) // as a feed does
	}
	if n := keep(t, a, all[:300]...); n != 300 {
		t.Errorf("first Append = %d, want 300", n)
	}
	if n := keep(t, a, all...); n != 400 {
		t.Errorf("overlapping Append = %d, want 400", n)
	}
	if n := keep(t, a, all...); n != 0 {
		t.Errorf("repeated Append = %d, want 0", n)
	}
	moved := all[0]
	moved.Run = "the same row of a feed, read again"
	if n := keep(t, a, moved); n != 0 {
		t.Errorf("Append of a known id in another run = %d, want 0", n)
	}
	if n := len(collect(t, a.Observations(t.Context(), operator, Query{}))); n != len(all) {
		t.Errorf("kept %d, want %d", n, len(all))
	}
}

func TestAppendRefuses(t *testing.T) {
	a := open(t, t.TempDir())
	good := seen("192.0.2.1", firstDay)
	for name, c := range map[string]struct {
		change func(*exposure.Observation)
		want   error
	}{
		"no id":      {func(o *exposure.Observation) { o.ID = "" }, errNoID},
		"no time":    {func(o *exposure.Observation) { o.Observed = time.Time{} }, errNoTime},
		"a far time": {func(o *exposure.Observation) { o.Observed = o.Observed.AddDate(400, 0, 0) }, errNoTime},
		"an endless zone": {func(o *exposure.Observation) {
			o.Addr = netip.MustParseAddr("fe80::1").WithZone(string(make([]byte, 99)))
		}, errZone},
	} {
		bad := good
		c.change(&bad)
		if n, err := a.Append(t.Context(), []exposure.Observation{good, bad}); n != 0 || !errors.Is(err, c.want) {
			t.Errorf("Append with %s = %d, %v, want 0, %v", name, n, err, c.want)
		}
	}
}

func TestQueries(t *testing.T) {
	a := open(t, t.TempDir())
	at := firstDay.Add(10 * time.Hour)
	keep(
		t, a,
		seen("192.0.2.1", at, found("open-ipp")),
		seen("192.0.2.2", at.Add(time.Second), found("open-cups", "open-ipp"), func(o *exposure.Observation) { o.CUPS = new(exposure.CUPS) }),
		seen("198.51.100.7", at.Add(2*time.Second), func(o *exposure.Observation) { o.Verdict = exposure.NoAnswer }),
		seen("198.51.100.7", at.Add(time.Hour), func(o *exposure.Observation) {
			o.Transport, o.Probe, o.Verdict, o.Callback = exposure.UDP, exposure.ProbeBrowse, exposure.CalledBack, new(exposure.Callback)
		}),
		seen("2001:db8::1", at.Add(24*time.Hour), func(o *exposure.Observation) { o.Source = exposure.Shadowserver; o.ID = "row" }),
		// The first bytes are those of 192.0.2.1.
		seen("c000:201::1", at.Add(25*time.Hour)),
	)
	own := access.View{Who: "owner", Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/31"), netip.MustParsePrefix("2001:db8::/32")}}
	many := own
	for i := range 300 {
		many.Networks = append(many.Networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 32))
	}
	placed := own
	placed.Networks, placed.ASNs = own.Networks[:1], []uint32{64496}
	placed.Hosts = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	second, err := collectSome(a.Observations(t.Context(), operator, Query{}), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		view access.View
		q    Query
		want []string
	}{
		{"everything in order", operator, Query{}, []string{"192.0.2.1", "192.0.2.2", "198.51.100.7", "198.51.100.7", "2001:db8::1", "c000:201::1"}},
		{"the public sees no host", access.View{}, Query{}, nil},
		{"owners see their own", own, Query{}, []string{"192.0.2.1", "2001:db8::1"}},
		{"owners see their own up to a limit", own, Query{Limit: 1}, []string{"192.0.2.1"}},
		{"owners of many networks", many, Query{}, []string{"192.0.2.1", "2001:db8::1"}},
		{"owners of many networks up to a limit", many, Query{Limit: 1}, []string{"192.0.2.1"}},
		{"owners by AS number", placed, Query{}, []string{"192.0.2.1", "192.0.2.2"}},
		{"owners by AS number up to a limit", placed, Query{Limit: 1}, []string{"192.0.2.1"}},
		{"owners by AS number in a prefix", placed, Query{Addr: netip.MustParsePrefix("192.0.2.2/32")}, []string{"192.0.2.2"}},
		{"owners of nothing", access.View{Tier: access.Constituent}, Query{}, nil},
		{"from a time", operator, Query{From: at.Add(time.Hour)}, []string{"198.51.100.7", "2001:db8::1", "c000:201::1"}},
		{"to a time", operator, Query{To: at.Add(time.Second)}, []string{"192.0.2.1"}},
		{"one address", operator, Query{Addr: netip.MustParsePrefix("192.0.2.1/32")}, []string{"192.0.2.1"}},
		{"a prefix", operator, Query{Addr: netip.MustParsePrefix("192.0.0.0/14")}, []string{"192.0.2.1", "192.0.2.2"}},
		{"a prefix beyond the view", own, Query{Addr: netip.MustParsePrefix("198.51.100.0/24")}, nil},
		{"a run", operator, Query{Run: "run-1123T11"}, []string{"198.51.100.7"}},
		{"a source", operator, Query{Source: exposure.Shadowserver}, []string{"2001:db8::1"}},
		{"a transport", operator, Query{Transport: exposure.UDP}, []string{"198.51.100.7"}},
		{"a verdict", operator, Query{Verdict: exposure.NoAnswer}, []string{"198.51.100.7"}},
		{"a rule", operator, Query{Tag: "open-cups"}, []string{"192.0.2.2"}},
		{"the word ipp", operator, Query{Tag: "ipp"}, []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "c000:201::1"}},
		{"the word cups", operator, Query{Tag: "cups"}, []string{"192.0.2.2"}},
		{"the word cups-browsed", operator, Query{Tag: "cups-browsed"}, []string{"198.51.100.7"}},
		{"an unknown rule", operator, Query{Tag: "x"}, nil},
		{"a limit", operator, Query{Limit: 2}, []string{"192.0.2.1", "192.0.2.2"}},
		{"after a cursor", operator, Query{After: second[1].Cursor(), Limit: 2}, []string{"198.51.100.7", "198.51.100.7"}},
	} {
		var got []string
		for _, r := range collect(t, a.Observations(t.Context(), c.view, c.q)) {
			got = append(got, r.Addr.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Observations = %v, want %v", c.name, got, c.want)
		}
	}
	for _, err := range a.Observations(t.Context(), operator, Query{After: "!"}) {
		if !errors.Is(err, ErrCursor) {
			t.Errorf("Observations after nonsense: %v, want %v", err, ErrCursor)
		}
	}
	if r := second[1]; r.Findings != nil || !slices.Equal(r.Tags, []string{"open-cups", "open-ipp"}) || r.Worst != exposure.Medium {
		t.Errorf("tags %v, worst %q, findings %v", r.Tags, r.Worst, r.Findings)
	}
}

func collectSome(seq iter.Seq2[Record, error], n int) (all []Record, err error) {
	for r, err := range seq {
		if err != nil {
			return nil, err
		}
		if all = append(all, r); len(all) == n {
			break
		}
	}
	return all, nil
}

func TestLatestAndHistory(t *testing.T) {
	a := open(t, t.TempDir())
	at := firstDay.Add(10 * time.Hour)
	again := func(o *exposure.Observation) { o.Attempt, o.Reason = 1, "second attempt" }
	other := func(o *exposure.Observation) { o.Port = 8631 }
	keep(
		t, a,
		seen("192.0.2.9", at.Add(-24*time.Hour)),
		seen("192.0.2.9", at.Add(2*time.Minute), again),
		seen("192.0.2.9", at),
		seen("192.0.2.9", at, other),
		seen("192.0.2.9", at.Add(-time.Hour)),
		seen("192.0.2.3", at),
		seen("192.0.2.3", at.Add(20*time.Hour)),
	)
	var got []string
	for _, r := range collect(t, a.LatestPerTarget(t.Context(), operator, firstDay)) {
		got = append(got, fmt.Sprintf("%s %s %s", r.Target(), r.Observed.Format("15:04"), r.Reason))
	}
	want := []string{"192.0.2.3:631 10:00 ", "192.0.2.9:631 10:02 second attempt", "192.0.2.9:8631 10:00 "}
	if !slices.Equal(got, want) {
		t.Errorf("LatestPerTarget = %q, want %q", got, want)
	}
	if n := len(collect(t, a.LatestPerTarget(t.Context(), access.View{}, firstDay))); n != 0 {
		t.Errorf("LatestPerTarget shows the public %d hosts", n)
	}
	addr := netip.MustParseAddr("192.0.2.9")
	history := collect(t, a.History(t.Context(), operator, addr, 2))
	if len(history) != 2 || history[0].Attempt != 1 || !history[0].Observed.After(history[1].Observed) {
		t.Errorf("History = %v", facts(history))
	}
	if n := len(collect(t, a.History(t.Context(), operator, addr, 0))); n != 5 {
		t.Errorf("History without limit = %d records, want 5", n)
	}
	stranger := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/29")}}
	if n := len(collect(t, a.History(t.Context(), stranger, addr, 0))); n != 0 {
		t.Errorf("History shows a stranger %d records", n)
	}
}

func TestRetag(t *testing.T) {
	a := open(t, t.TempDir())
	all := newNeighbourhood(400).at(0)
	keep(t, a, all...)
	if err := a.Rollup(t.Context(), firstDay); err != nil {
		t.Fatal(err)
	}
	judge := func(o *exposure.Observation) []exposure.Finding {
		if o.CUPS == nil {
			return []exposure.Finding{{Rule: "open-ipp", Severity: exposure.Medium}, {Rule: "no-tls", Severity: exposure.Low}}
		}
		return []exposure.Finding{{Rule: "new-rule", Severity: exposure.Critical}}
	}
	cups := 0
	for _, o := range all {
		if o.CUPS != nil {
			cups++
		}
	}
	for i, want := range []int{cups, 0} {
		if n, err := a.Retag(t.Context(), Query{}, judge); err != nil || n != want {
			t.Fatalf("Retag number %d = %d, %v, want %d", i+1, n, err, want)
		}
	}
	got := collect(t, a.Observations(t.Context(), operator, Query{Tag: "new-rule"}))
	if len(got) != cups || got[0].Worst != exposure.Critical {
		t.Errorf("%d have the new tag, want %d", len(got), cups)
	}
	if days, err := a.DirtyDays(t.Context()); err != nil || len(days) != 1 || !days[0].Equal(firstDay) {
		t.Errorf("DirtyDays after Retag = %v, %v", days, err)
	}
	if n := keep(t, a, all...); n != 0 {
		t.Errorf("Append after Retag added %d", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Run("a file that others may read", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("no modes")
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, File), 0o640); err != nil {
			t.Fatal(err)
		}
		if a, err := Open(t.Context(), dir); err == nil {
			t.Errorf("Open = %v, want an error", a)
		}
	})
	t.Run("a schema from the future", func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, dir)
		if err := a.change(t.Context(), func(ctx context.Context, w *writer) error {
			_, err := w.conn.ExecContext(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir); !errors.Is(err, ErrNewer) {
			t.Errorf("Open = %v, want %v", err, ErrNewer)
		}
	})
	t.Run("a file that is no database", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte("this is certainly not a database of ours at all"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir); err == nil {
			t.Error("Open succeeded")
		}
	})
}

func TestBackup(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	a := open(t, dir)
	all := newNeighbourhood(300).at(0)
	keep(t, a, all...)
	if err := a.Backup(t.Context(), filepath.Join(copied, File)); err != nil {
		t.Fatal(err)
	}
	if err := a.Backup(t.Context(), filepath.Join(copied, File)); err == nil {
		t.Error("Backup wrote over a file")
	}
	b := open(t, copied)
	want, got := collect(t, a.Observations(t.Context(), operator, Query{})), collect(t, b.Observations(t.Context(), operator, Query{}))
	if diff := cmp.Diff(facts(want), facts(got), asKept); diff != "" || len(got) != len(all) {
		t.Errorf("copy differs:\n%s", diff)
	}
	s, err := b.Stats(t.Context())
	if err != nil || s.Observations != 300 || s.Runs != 1 || s.Days != 1 || s.DirtyDays != 1 || s.Bytes == 0 {
		t.Errorf("Stats = %+v, %v", s, err)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	keep(t, a, newNeighbourhood(10).at(0)...)
	db, err := sql.Open("sqlite", dsn(a.path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `DELETE FROM content WHERE id = 2`); err != nil {
		t.Fatal(err)
	}
	problems, err := a.Check(t.Context())
	if want := []string{"1 rows of face refer to no content"}; err != nil || !slices.Equal(problems, want) {
		t.Errorf("Check = %q, %v, want %q", problems, err, want)
	}
}
