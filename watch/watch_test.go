package watch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/rule"
	"ippwatch/wire/browse"
)

var began = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func at(addr string) netip.AddrPort { return netip.MustParseAddrPort(addr) }

// packet is one that came to a host so many seconds after the beginning.
func packet(after float64, from, host, payload string) Packet {
	p := Packet{At: began.Add(time.Duration(after * float64(time.Second))), From: at(from + ":40000"), To: at(host + ":631"), Where: "packets"}
	if payload != "" {
		browsed(&p, []byte(payload))
	}
	return p
}

func call(after float64, host, to string) Call {
	return Call{At: began.Add(time.Duration(after * float64(time.Second))), From: at(host + ":51000"), To: at(to), Bytes: 400, Where: "calls"}
}

func post(after float64, host, to, name string) Call {
	c := call(after, host, to)
	c.Method, c.Host, c.URI, c.UserAgent = "POST", name, "/printers/x", "CUPS/2.4.2 (Linux) IPP/2.0"
	return c
}

const (
	host   = "198.51.100.20"
	source = "203.0.113.9"
	victim = "203.0.113.66:8631"
	asking = `0 3 http://203.0.113.66:8631/printers/x "a" "b"`
	named  = `0 3 http://Probe.Example.net.:8631/printers/x "a" "b"`
)

func TestWhoAnswered(t *testing.T) {
	for _, test := range []struct {
		name    string
		packets []Packet
		calls   []Call
		dns     string
		want    string // matches, posts and connections
	}{
		{"it calls whom the packet names", []Packet{packet(0, source, host, asking)}, []Call{call(0.1, host, victim), post(0.1, host, victim, "203.0.113.66")}, "", "address 1 1"},
		{"at the last moment", []Packet{packet(0, source, host, asking)}, []Call{call(600, host, victim)}, "", "address 0 1"},
		{"too late", []Packet{packet(0, source, host, asking)}, []Call{call(601, host, victim)}, "", ""},
		{"before, by clocks that differ", []Packet{packet(0, source, host, asking)}, []Call{call(-1, host, victim)}, "", "address 0 1"},
		{"long before", []Packet{packet(0, source, host, asking)}, []Call{call(-3, host, victim)}, "", ""},
		{"another port", []Packet{packet(0, source, host, asking)}, []Call{call(1, host, "203.0.113.66:80")}, "", ""},
		{"another host of the network", []Packet{packet(0, source, host, asking)}, []Call{call(1, "198.51.100.21", victim)}, "", ""},
		{"a name that DNS shows", []Packet{packet(0, source, host, named)}, []Call{call(1, host, victim)}, "probe.example.NET", "name 0 1"},
		{"a name that nothing shows", []Packet{packet(0, source, host, named)}, []Call{call(1, host, victim)}, "", ""},
		{"a name in the Host header", []Packet{packet(0, source, host, `0 3 http://probe.example.net:8631/printers/x "a" "b"`)}, []Call{post(1, host, victim, "probe.example.net:8631")}, "", "name 1 1"},
		{"no content, and a request of CUPS", []Packet{packet(0, source, host, "")}, []Call{post(1, host, "203.0.113.70:80", "x")}, "", "request 1 1"},
		{"no content, and a connection to the source", []Packet{packet(0, source, host, "")}, []Call{call(1, host, source+":80")}, "", "source 0 1"},
		{"no content, and a connection to anybody", []Packet{packet(0, source, host, "")}, []Call{call(1, host, victim)}, "", ""},
		{"no content, and a browser's request", []Packet{packet(0, source, host, "")}, []Call{{At: began, From: at(host + ":1"), To: at(victim), Method: "POST", URI: "/printers/x", UserAgent: "curl/8"}}, "", ""},
		{"with its content elsewhere", []Packet{packet(0, source, host, ""), packet(0, source, host, asking)}, []Call{post(1, host, victim, "x"), call(1, host, victim)}, "", "address 1 1"},
		{"a packet without effect", []Packet{packet(0, source, host, `0 3 http://203.0.113.66:8631/printer/x "a" "b"`)}, []Call{call(1, host, victim)}, "", ""},
		{"a withdrawal", []Packet{packet(0, source, host, `100000 3 http://203.0.113.66:8631/printers/x "a" "b"`)}, []Call{call(1, host, victim)}, "", ""},
		{"two packets, two answers", []Packet{packet(0, source, host, asking), packet(400, source, host, asking)}, []Call{call(1, host, victim), call(401, host, victim)}, "", "address 0 1, address 0 1"},
		{"a host that calls itself", []Packet{packet(0, source, host, `0 3 http://198.51.100.20:80/printers/x "a" "b"`)}, []Call{call(1, host, host+":80")}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, early := range []bool{false, true} {
				for round := range 4 {
					w := New(early)
					if test.dns != "" {
						w.Name(test.dns, netip.MustParseAddr("203.0.113.66"))
					}
					// Without a ring the packets come first; with one in any order.
					var all []any
					for _, p := range test.packets {
						all = append(all, p)
					}
					for _, c := range test.calls {
						all = append(all, c)
					}
					if early {
						r := rand.New(rand.NewPCG(uint64(round), 1))
						r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
					}
					for _, one := range all {
						switch one := one.(type) {
						case Packet:
							w.Packet(one)
						case Call:
							w.Call(one)
						}
					}
					var got []string
					for _, s := range w.Take(time.Time{}) {
						got = append(got, fmt.Sprintf("%s %d %d", s.Match, s.Posts, s.Calls))
					}
					if strings.Join(got, ", ") != test.want {
						t.Errorf("early %v: %q, want %q", early, got, test.want)
					}
				}
			}
		})
	}
}

func TestOwn(t *testing.T) {
	w := New(false)
	w.Own = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	w.Packet(packet(0, source, host, asking))
	w.Call(call(1, host, victim))
	if got := w.Take(time.Time{}); len(got) != 0 || w.Counts != (Counts{}) {
		t.Errorf("hosts that are not ours: %v, %+v", got, w.Counts)
	}
}

func TestAnswersAreReportedAndJudged(t *testing.T) {
	w := New(false)
	w.Packet(packet(0, source, host, asking))
	w.Call(call(1, host, victim))
	w.Call(post(1, host, victim, "x"))
	s := w.Take(time.Time{})[0]
	o := s.Observation("edge-1", began.Add(time.Hour))
	if !o.Source.Feed() || o.Verdict != exposure.CalledBack || o.Callback.Asked != len(asking) || o.Callback.BytesIn != 400 || o.Callback.After != time.Second {
		t.Errorf("observation = %+v, %+v", o, o.Callback)
	}
	if again := s.Observation("edge-1", began.Add(2*time.Hour)); again.ID != o.ID {
		t.Errorf("told again it is another: %s, %s", o.ID, again.ID)
	}
	var rules []string
	for _, f := range rule.Judge(&o) {
		rules = append(rules, f.Rule)
	}
	if d := cmp.Diff([]string{"cups-browsed-callback", "reflector"}, rules); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	rows := 0
	table, err := Parser([]Sighting{s, {Host: s.Host, Call: began.AddDate(1, 0, 0)}}, "edge-1")("x", nil, began.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for row, err := range table.Rows {
		if rows++; err != nil {
			t.Fatal(err)
		}
		if (row.Aside != "") != (rows == 2) {
			t.Errorf("row %d is set aside: %q", rows, row.Aside)
		}
	}
}

// TestMemoryIsBounded floods a watcher as strangers can: each from another
// address, to each of many hosts.
func TestMemoryIsBounded(t *testing.T) {
	w := New(true)
	p, _ := browse.Parse([]byte(asking))
	for i := range 3 * mostOfHost {
		w.Packet(Packet{At: began.Add(time.Duration(i) * time.Second), From: at(source + ":1"), To: at(host + ":631"), Read: true, Browse: p})
	}
	if n := len(w.packets[netip.MustParseAddr(host)]); n != mostOfHost || w.Counts.Forgotten != 2*mostOfHost {
		t.Errorf("%d packets of a host are kept, %d forgotten", n, w.Counts.Forgotten)
	}
	w = New(true)
	a := netip.MustParseAddr("10.0.0.0")
	for range mostPackets + 10 {
		w.Packet(Packet{At: began, From: at(source + ":1"), To: netip.AddrPortFrom(a, 631)})
		a = a.Next()
	}
	for range mostCalls + 10 {
		w.Call(Call{At: began, From: netip.AddrPortFrom(a, 1), To: at(victim)})
		a = a.Next()
	}
	if w.kept != mostPackets || len(w.calls) != mostCalls || w.Counts.Forgotten != 20 {
		t.Errorf("%d packets and %d calls are kept, %d forgotten", w.kept, len(w.calls), w.Counts.Forgotten)
	}
	for range 2 * callsOfHost {
		w.Call(Call{At: began, From: at(host + ":1"), To: at(victim)})
	}
	if n := len(w.calls[netip.MustParseAddr(host)]); n != callsOfHost {
		t.Errorf("%d calls of a host are kept", n)
	}
	w.Settled(began.Add(time.Hour)) // the log's own time stands still
	if w.kept != mostPackets {
		t.Errorf("%d packets are kept", w.kept)
	}
	w.Call(Call{At: began.Add(2 * time.Hour), From: at("192.0.2.1:1"), To: at(victim)})
	w.Settled(began.Add(2 * time.Hour))
	if w.kept != 0 || len(w.calls) != 1 {
		t.Errorf("after two hours %d packets and %d calls are kept", w.kept, len(w.calls))
	}
}

func TestAClockThatIsAheadForgetsNothing(t *testing.T) {
	w := New(true)
	w.Packet(packet(0, source, host, asking))
	w.Call(Call{At: began.AddDate(70, 0, 0), From: at(host + ":1"), To: at(victim)})
	w.Settled(began.Add(time.Minute))
	w.Call(call(1, host, victim))
	w.Settled(began.Add(time.Minute))
	if got := w.Settled(began.Add(time.Minute)); len(got) != 1 {
		t.Errorf("%d hosts answered, want 1", len(got))
	}
}

// lines is a log of Zeek with a packet and, if there is one, the call.
func lines(host string, answered bool) string {
	text := fmt.Sprintf("1795424400.000000\tC1\t%s\t40000\t%s\t631\tudp\t83\n", source, host)
	if answered {
		text += fmt.Sprintf("1795424401.000000\tC2\t%s\t51000\t%s\t80\ttcp\t400\n", host, source)
	}
	return text
}

const heading = "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\torig_bytes\n"

// TestFollow writes, cuts and rotates a log under the eyes of the watcher. Time
// is what the test sends.
func TestFollow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "conn.log")
	write := func(flags int, text string) {
		f, err := os.OpenFile(name, flags|os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	second := lines("198.51.100.22", true)
	steps := []func(){
		func() {}, // it is not there yet
		func() { write(os.O_APPEND, heading+lines("198.51.100.21", true)) },
		func() { write(os.O_APPEND, second[:100]) }, // half a line
		func() { write(os.O_APPEND, second[100:]) },
		func() { // what is written last before it is moved away is read, too
			write(os.O_APPEND, lines("198.51.100.23", true))
			if err := os.Rename(name, name+".1"); err != nil {
				t.Fatal(err)
			}
			write(os.O_APPEND, heading+lines("198.51.100.24", true))
		},
		func() { write(os.O_TRUNC, heading) },
		func() { write(os.O_APPEND, lines("198.51.100.25", true)) },
		func() { write(os.O_APPEND, "no columns\n"+strings.Repeat("x", maxLine+10)) },
		func() { write(os.O_APPEND, "\n"+lines("198.51.100.26", true)) },
		func() {}, func() {},
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := New(true)
	tick := make(chan time.Time, 1)
	var hosts []string
	step := 0
	read, err := w.Follow(ctx, []string{name}, tick, func() error {
		for _, s := range w.Settled(began.Add(time.Minute)) {
			hosts = append(hosts, s.Host.String())
		}
		if step == len(steps) {
			cancel()
			return nil
		}
		steps[step]()
		step++
		tick <- time.Time{}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	want := []string{"198.51.100.21", "198.51.100.22", "198.51.100.23", "198.51.100.24", "198.51.100.25", "198.51.100.26"}
	if d := cmp.Diff(want, hosts); d != "" {
		t.Errorf("hosts (-want +got):\n%s", d)
	}
	if len(read) != 1 || read[0].Bad != 2 || read[0].First.Reason != "1 columns, where #fields names 8" {
		t.Errorf("read = %+v", read)
	}

	other := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(other, []byte("notes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Follow(t.Context(), []string{other}, nil, func() error { return nil }); !errors.Is(err, ErrKind) {
		t.Errorf("a file of no kind: %v", err)
	}
}

// A listener writes down what it hears.
type listener []string

func (l *listener) Packet(p Packet) {
	*l = append(*l, fmt.Sprintf("packet %s %s>%s %v %q", p.At.Format("15:04:05.000000"), p.From, p.To, p.Read, p.Browse.URI))
}

func (l *listener) Name(name string, a netip.Addr) {
	*l = append(*l, fmt.Sprintf("name %s %s", name, a))
}

func (l *listener) Call(c Call) {
	*l = append(*l, strings.TrimSpace(fmt.Sprintf("call %s %s>%s %d %s %s", c.At.Format("15:04:05.000000"), c.From, c.To, c.Bytes, c.Method, c.Host+c.URI)))
}

func TestLogs(t *testing.T) {
	for _, test := range []struct {
		name, text, kind string
		want             []string
		bad              string
	}{
		{
			"DNS in the forms of Suricata 6 and 7",
			`{"timestamp":"2026-11-23T10:00:00.000000+0100","event_type":"dns","dns":{"type":"answer","rrname":"a.example","answers":[{"rrname":"a.example","rrtype":"CNAME","rdata":"b.example"},{"rrname":"b.example","rrtype":"A","rdata":"203.0.113.1"}],"grouped":{"A":["203.0.113.1"],"CNAME":["b.example"]}}}`,
			"eve.json",
			[]string{"name b.example 203.0.113.1", "name a.example 203.0.113.1"},
			"",
		},
		{
			"a zone in the time, IPv4 in IPv6",
			`{"timestamp":"2026-11-23T10:00:00.000000+0100","event_type":"flow","src_ip":"::ffff:203.0.113.9","src_port":1,"dest_ip":"198.51.100.20","dest_port":631,"proto":"UDP","flow":{"start":"2026-11-23T09:59:59.000000+0100"}}`,
			"eve.json",
			[]string{`packet 08:59:59.000000 203.0.113.9:1>198.51.100.20:631 false ""`},
			"",
		},
		{
			"an alert without its payload is not told twice",
			`{"timestamp":"2026-11-23T09:00:00.000000+0000","event_type":"alert","src_ip":"203.0.113.9","src_port":1,"dest_ip":"198.51.100.20","dest_port":631,"proto":"UDP"}`,
			"eve.json", nil, "",
		},
		{"Zeek with its own signs", "#separator |\n#set_separator|;\n#unset_field|none\n#path|dns\n#fields|ts|query|answers\n1|a.example|203.0.113.1;b.example;2001:db8::1\n2|c.example|none\n", "zeek dns", []string{"name a.example 203.0.113.1", "name a.example 2001:db8::1"}, ""},
		{"Zeek in JSON with ISO times", `{"ts":"2026-11-23T09:00:00.5Z","id.orig_h":"198.51.100.20","id.orig_p":1,"id.resp_h":"203.0.113.66","id.resp_p":80,"method":"POST","host":"h","uri":"/printers/x","user_agent":"CUPS/2"}`, "zeek json", []string{"call 09:00:00.500000 198.51.100.20:1>203.0.113.66:80 0 POST h/printers/x"}, ""},
		{"a log of Zeek that tells nothing of it", "#separator \\x09\n#path\tssl\n#fields\tts\tuid\n1\tx\n", "zeek ssl", nil, ""},
		{"no address", `{"timestamp":"2026-11-23T09:00:00.000000+0000","event_type":"flow","src_ip":"nobody","dest_ip":"198.51.100.20","dest_port":631,"proto":"UDP"}`, "eve.json", nil, "line 1, column 0: no addresses"},
		{"a number where a text belongs", `{"timestamp":7,"event_type":"flow"}`, "eve.json", nil, "line 1, column 14: timestamp is no string"},
		{"a port that is none", `{"ts":1,"id.orig_h":"198.51.100.20","id.orig_p":1,"id.resp_h":"203.0.113.66","id.resp_p":70000,"proto":"tcp","conn_state":"SF"}`, "zeek json", nil, "line 1, column 0: no addresses in id.orig_h and id.resp_h"},
		{"a time that is none", "#fields\tts\tconn_state\nx\ty\n", "zeek conn", nil, "line 2, column 0: no time in ts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got listener
			l := NewLog("log", &got)
			if err := l.Read(strings.NewReader(test.text)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, []string(got)); d != "" {
				t.Errorf("heard (-want +got):\n%s", d)
			}
			bad := ""
			if l.Bad > 0 {
				bad = fmt.Sprintf("line %d, column %d: %s", l.First.Line, l.First.Column, l.First.Reason)
			}
			if bad != test.bad || l.Kind() != test.kind {
				t.Errorf("%s, bad %q, want %s, %q", l.Kind(), bad, test.kind, test.bad)
			}
		})
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte(heading + lines(host, true)))
	f.Add([]byte(`{"timestamp":"2026-11-23T10:00:00.000000+0100","event_type":"alert","src_ip":"203.0.113.9","src_port":1,"dest_ip":"198.51.100.20","dest_port":631,"proto":"UDP","payload":"MCAzIGh0dHA6Ly8yMDMuMC4xMTMuNjY6ODYzMS9wcmludGVycy9UMSAieCIgInki"}`))
	f.Add([]byte(`{"ts":1,"id.orig_h":"198.51.100.20","id.orig_p":1,"id.resp_h":"203.0.113.66","id.resp_p":80,"proto":"tcp","conn_state":"SF"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		w := New(true)
		l := NewLog("log", w)
		if err := l.Read(bytes.NewReader(in)); err != nil {
			return
		}
		// In pieces it says the same.
		again := &tail{log: NewLog("log", New(true))}
		for piece := range slices.Chunk(append(bytes.Clone(in), '\n'), 7) {
			if err := again.take(piece); err != nil {
				t.Fatalf("in pieces: %v", err)
			}
		}
		if l.Bad != again.log.Bad {
			t.Errorf("%d lines are bad, in pieces %d", l.Bad, again.log.Bad)
		}
		for _, s := range w.Take(time.Time{}) {
			o := s.Observation("", began)
			if !o.Addr.IsValid() || o.Callback.After < 0 || o.Callback.After > Window {
				t.Errorf("observation %+v", o)
			}
		}
	})
}

func FuzzPcap(f *testing.F) {
	for _, name := range []string{"../detect/testdata/edge.pcap"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 2000)])
	}
	f.Add([]byte("\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		if !IsPcap(r) {
			return
		}
		w := New(true)
		p, err := ReadPcap("x", r, w)
		if err == nil && p.N > len(in) {
			t.Errorf("%d packets in %d bytes", p.N, len(in))
		}
		w.Take(time.Time{})
	})
}
