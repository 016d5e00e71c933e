// Package detect holds rules for other people's sensors; only its tests are Go.
package detect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/net/dns/dnsmessage"

	"ippwatch/watch"
	"ippwatch/wire/browse"
)

var update = flag.Bool("update", false, "write the capture anew")

const capture = "testdata/edge.pcap"

// A scene of the capture: a packet, and whether the host answers. All addresses
// are set aside for documentation (RFC 5737).
type scene struct {
	name    string
	host    string
	payload string
	dns     string // a name that is resolved first
	calls   string // host and port; "": nobody
	posts   int
	agent   string
}

const (
	outside = "203.0.113.9"
	cups    = "CUPS/2.4.2 (Linux 6.1.0-18-amd64; x86_64) IPP/2.0"
)

var scenes = []scene{
	{name: "it answers an address", host: "198.51.100.20", payload: `0 3 http://203.0.113.66:8631/printers/A1 "Office" "Printer" "Make"`, calls: "203.0.113.66:8631", posts: 3, agent: cups},
	{name: "it does not answer", host: "198.51.100.21", payload: `0 3 http://203.0.113.66:8631/printers/A2 "Office" "Printer"`},
	{name: "it answers a name", host: "198.51.100.22", payload: `2 3 ipp://probe.example.net/printers/A3 "x" "y"`, dns: "probe.example.net", calls: "203.0.113.67:631", posts: 3, agent: cups},
	{name: "no space, and letters written as numbers", host: "198.51.100.23", payload: `0 3http://203.0.113.66:8631/%70rint%65rs/A4 "" ""`, calls: "203.0.113.66:8631", posts: 3, agent: cups},
	{name: "a path that has no effect", host: "198.51.100.24", payload: `0 3 http://203.0.113.66:8631/printer/A5 "x" "y"`},
	{name: "a class, and padding", host: "198.51.100.25", payload: `0 3 http://203.0.113.66:8631/classes/` + strings.Repeat("A", 400) + ` "x" "y"`, calls: "203.0.113.66:8631", posts: 3, agent: cups},
	{name: "it calls somebody else", host: "198.51.100.26", payload: `0 3 http://203.0.113.66:8631/printers/A7 "x" "y"`, calls: "203.0.113.70:443"},
	{name: "a withdrawal", host: "198.51.100.27", payload: `100003 3 http://203.0.113.66:8631/printers/A8 "x" "y"`},
	{name: "no browse packet", host: "198.51.100.28", payload: "\x00\x01\x02\x03ipp://203.0.113.66/printers/"},
	{name: "somebody prints over the Internet", host: "198.51.100.29", calls: "203.0.113.80:631", posts: 1, agent: cups},
}

// answered are the hosts that a right tool names.
var answered = []string{"198.51.100.20", "198.51.100.22", "198.51.100.23", "198.51.100.25"}

// film writes the scenes, one every minute.
func film(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	send := func(from, to string, l ...gopacket.SerializableLayer) {
		a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
		ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: a.Addr().AsSlice(), DstIP: b.Addr().AsSlice()}
		switch t := l[0].(type) {
		case *layers.UDP:
			ip.Protocol, t.SrcPort, t.DstPort = layers.IPProtocolUDP, layers.UDPPort(a.Port()), layers.UDPPort(b.Port())
			_ = t.SetNetworkLayerForChecksum(ip)
		case *layers.TCP:
			ip.Protocol, t.SrcPort, t.DstPort, t.Window = layers.IPProtocolTCP, layers.TCPPort(a.Port()), layers.TCPPort(b.Port()), 64240
			_ = t.SetNetworkLayerForChecksum(ip)
		}
		buf := gopacket.NewSerializeBuffer()
		eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
		all := append([]gopacket.SerializableLayer{eth, ip}, l...)
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
			t.Fatal(err)
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(buf.Bytes()), Length: len(buf.Bytes())}, buf.Bytes()); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Millisecond)
	}
	for i, s := range scenes {
		at = time.Date(2026, 11, 23, 9, i, 0, 0, time.UTC)
		if s.payload != "" {
			send(outside+":40000", s.host+":631", &layers.UDP{}, gopacket.Payload(s.payload))
		}
		if s.dns != "" {
			m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true}}
			name := dnsmessage.MustNewName(s.dns + ".")
			m.Questions = []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.AResource{A: netip.MustParseAddrPort(s.calls).Addr().As4()}}}
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			send("198.51.100.53:53", s.host+":50000", &layers.UDP{}, gopacket.Payload(b))
		}
		if s.calls == "" {
			continue
		}
		for n := range max(s.posts, 1) {
			from := fmt.Sprintf("%s:%d", s.host, 51000+n)
			send(from, s.calls, &layers.TCP{SYN: true, Seq: 100})
			send(s.calls, from, &layers.TCP{SYN: true, ACK: true, Seq: 900, Ack: 101})
			send(from, s.calls, &layers.TCP{ACK: true, Seq: 101, Ack: 901})
			if s.posts == 0 {
				continue
			}
			p, _ := browse.Parse([]byte(s.payload))
			d, _ := p.Destination()
			path := d.Path
			if path == "" {
				path = "/printers/at-home"
			}
			body := bytes.Repeat([]byte{0}, 179) // its length is that of a real call: facts/cups.md 1.4
			head := fmt.Sprintf("POST %s HTTP/1.1\r\nContent-Length: %d\r\nContent-Type: application/ipp\r\nHost: %s\r\nUser-Agent: %s\r\nExpect: 100-continue\r\n\r\n", path, len(body), s.calls, s.agent)
			send(from, s.calls, &layers.TCP{ACK: true, PSH: true, Seq: 101, Ack: 901}, gopacket.Payload(append([]byte(head), body...)))
			const not = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
			send(s.calls, from, &layers.TCP{ACK: true, PSH: true, Seq: 901, Ack: uint32(101 + len(head) + len(body))}, gopacket.Payload(not))
			send(from, s.calls, &layers.TCP{ACK: true, FIN: true, Seq: uint32(101 + len(head) + len(body)), Ack: uint32(901 + len(not))})
		}
	}
	return out.Bytes()
}

func TestTheCaptureIsWhatTheScenesSay(t *testing.T) {
	film := film(t)
	if *update {
		if err := os.WriteFile(capture, film, 0o644); err != nil { //nolint:gosec // a capture is for everybody
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, film) {
		t.Errorf("%s is not what the scenes make of it: go test ./detect -update", capture)
	}
}

func TestWatchNamesWhoAnswered(t *testing.T) {
	w := watch.New(false)
	if _, err := w.ReadFiles(t.Context(), []string{capture}); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, s := range w.Take(time.Time{}) {
		hosts = append(hosts, s.Host.String())
		if s.Posts != 3 || s.Calls != 3 || s.Bytes == 0 || !s.Match.Proves() {
			t.Errorf("%s: %+v", s.Host, s)
		}
	}
	if d := cmp.Diff(answered, hosts); d != "" {
		t.Errorf("hosts that answered (-want +got):\n%s", d)
	}
}

// TestTsharkReadsTheSame lets Wireshark's reader of CUPS packets look at the
// capture: that our writer and our reader agree would prove little.
func TestTsharkReadsTheSame(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		const why = "not installed: tshark: apt-get install --no-install-recommends tshark; go test ./detect"
		if os.Getenv("IPPWATCH_LAB") == "require" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	out, err := exec.CommandContext(t.Context(), tshark, "-n", "-r", capture, "-Y", "cups.uri", "-T", "fields", "-e", "ip.dst", "-e", "cups.uri").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	theirs := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		host, uri, _ := strings.Cut(strings.TrimSpace(line), "\t")
		theirs[host] = uri
	}
	seen := 0
	for _, p := range heard(t).packets {
		host := p.To.Addr().String()
		if uri := theirs[host]; uri != p.Browse.URI {
			t.Errorf("%s: tshark reads %q, we %q", host, uri, p.Browse.URI)
		}
		seen++
	}
	if seen < 8 {
		t.Errorf("only %d packets were compared", seen)
	}
}

// A rule of Suricata, as far as ours use the language.
type suricata struct {
	proto, from, to, port string
	sid                   int
	options               [][2]string
}

var ruleForm = regexp.MustCompile(`^alert (\w+) (\S+) any -> (\S+) (\S+) \((.*)\)$`)

// readRules reads our rules strictly: what is not understood is a mistake.
func readRules(t *testing.T) []suricata {
	t.Helper()
	text, err := os.ReadFile("suricata/ippwatch.rules")
	if err != nil {
		t.Fatal(err)
	}
	var rules []suricata
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := ruleForm.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no rule: %s", line)
		}
		r := suricata{proto: m[1], from: m[2], to: m[3], port: m[4]}
		for rest := m[5]; strings.TrimSpace(rest) != ""; {
			end, quoted := -1, false
			for i := 0; i < len(rest) && end < 0; i++ {
				switch {
				case rest[i] == '\\' && quoted:
					i++
				case rest[i] == '"':
					quoted = !quoted
				case rest[i] == ';' && !quoted:
					end = i
				}
			}
			if end < 0 {
				t.Fatalf("an option without an end: %s", rest)
			}
			name, value, _ := strings.Cut(strings.TrimSpace(rest[:end]), ":")
			r.options = append(r.options, [2]string{name, value})
			if name == "sid" {
				if r.sid, err = strconv.Atoi(value); err != nil || r.sid < 1_000_000 || r.sid > 1_999_999 {
					t.Errorf("sid %s is not of the range for local use", value)
				}
			}
			rest = rest[end+1:]
		}
		rules = append(rules, r)
	}
	return rules
}

// pattern is a pcre as Go has it.
func pattern(t *testing.T, quoted string) *regexp.Regexp {
	t.Helper()
	text := strings.Trim(quoted, `"`)
	body, flags, ok := cutLast(strings.TrimPrefix(text, "/"), "/")
	if !ok {
		t.Fatalf("no pcre: %s", quoted)
	}
	body = strings.ReplaceAll(body, `\/`, "/")
	if flags != "" {
		body = "(?" + flags + ")" + body
	}
	re, err := regexp.Compile(body)
	if err != nil {
		t.Fatalf("pcre %s: %v", quoted, err)
	}
	return re
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// An edge plays the rules on what a watch.Sink hears.
type edge struct {
	t      *testing.T
	rules  []suricata
	marked map[string]time.Time // xbits: name and address
	alerts map[int][]string     // hosts, by sid
	raw    map[string]string    // payloads by host
}

func (e *edge) Name(string, netip.Addr) {}

func (e *edge) Packet(p watch.Packet) {
	host := p.To.Addr().String()
	e.event("udp", p.At, p.From.Addr(), p.To.Addr(), map[string]string{"": e.raw[host]}, host)
}

func (e *edge) Call(c watch.Call) {
	if c.Method != "" {
		e.event("http", c.At, c.From.Addr(), c.To.Addr(), map[string]string{"http.method": c.Method, "http.uri": c.URI, "http.user_agent": c.UserAgent}, c.From.Addr().String())
	}
}

func (e *edge) event(proto string, at time.Time, from, to netip.Addr, buffers map[string]string, host string) {
	for _, r := range e.rules {
		if r.proto == proto && e.fires(r, at, from, to, buffers) && !slices.Contains(e.alerts[r.sid], host) {
			e.alerts[r.sid] = append(e.alerts[r.sid], host)
		}
	}
}

func (e *edge) fires(r suricata, at time.Time, from, to netip.Addr, buffers map[string]string) bool {
	home := netip.MustParsePrefix("198.51.100.0/24")
	for _, side := range []struct {
		word string
		addr netip.Addr
	}{{r.from, from}, {r.to, to}} {
		switch {
		case side.word == "$HOME_NET" && !home.Contains(side.addr), side.word == "$EXTERNAL_NET" && home.Contains(side.addr):
			return false
		}
	}
	buffer, content := "", ""
	set := ""
	for _, o := range r.options {
		name, value := o[0], o[1]
		switch name {
		case "msg", "flow", "classtype", "reference", "metadata", "sid", "rev":
		case "http.method", "http.uri", "http.user_agent":
			buffer = name
		case "content":
			content = strings.Trim(value, `"`)
			if !strings.Contains(buffers[buffer], content) {
				return false
			}
		case "startswith":
			if !strings.HasPrefix(buffers[buffer], content) {
				return false
			}
		case "pcre":
			if !pattern(e.t, value).MatchString(buffers[buffer]) {
				return false
			}
		case "dsize":
			n, err := strconv.Atoi(strings.TrimPrefix(value, ">"))
			if err != nil || len(buffers[""]) <= n {
				return false
			}
		case "xbits":
			w := strings.Split(value, ",")
			who := map[string]netip.Addr{"track ip_src": from, "track ip_dst": to}[w[2]]
			k := w[1] + " " + who.String()
			if w[0] == "set" {
				if len(w) != 4 || w[3] != "expire 600" {
					e.t.Errorf("xbits %s: want ten minutes", value)
				}
				set = k
			} else if was, ok := e.marked[k]; !ok || at.Sub(was) > 10*time.Minute {
				return false
			}
		default:
			e.t.Fatalf("option %s is not one that the test plays", name)
		}
	}
	if set != "" {
		e.marked[set] = at
	}
	return true
}

// TestSuricataRules plays the rules on the capture: not Suricata itself, but
// what its manual says of the few words that they use.
func TestSuricataRules(t *testing.T) {
	e := &edge{t: t, rules: readRules(t), marked: make(map[string]time.Time), alerts: make(map[int][]string), raw: make(map[string]string)}
	for _, s := range scenes {
		e.raw[s.host] = s.payload
	}
	all := heard(t)
	all.play(e)
	want := map[int][]string{
		1631001: {"198.51.100.20", "198.51.100.21", "198.51.100.22", "198.51.100.23", "198.51.100.25", "198.51.100.26", "198.51.100.27"},
		1631002: {"198.51.100.25"},
		1631003: append(slices.Clone(answered), "198.51.100.29"),
		1631004: answered,
	}
	if d := cmp.Diff(want, e.alerts); d != "" {
		t.Errorf("alerts (-want +got):\n%s", d)
	}
}

// A recorder keeps what it hears, and plays it in the order of time.
type recorder struct {
	packets []watch.Packet
	calls   []watch.Call
}

func (r *recorder) Packet(p watch.Packet)   { r.packets = append(r.packets, p) }
func (r *recorder) Name(string, netip.Addr) {}
func (r *recorder) Call(c watch.Call)       { r.calls = append(r.calls, c) }

// heard is what the capture tells.
func heard(t *testing.T) *recorder {
	t.Helper()
	f, err := os.Open(capture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := &recorder{}
	if _, err := watch.ReadPcap(capture, bufio.NewReader(f), all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (r *recorder) play(s watch.Sink) {
	slices.SortStableFunc(r.calls, func(a, b watch.Call) int { return a.At.Compare(b.At) })
	for _, c := range r.calls {
		for len(r.packets) > 0 && !r.packets[0].At.After(c.At) {
			s.Packet(r.packets[0])
			r.packets = r.packets[1:]
		}
		s.Call(c)
	}
	for _, p := range r.packets {
		s.Packet(p)
	}
}

// TestSuricataItself runs the real one where it is.
func TestSuricataItself(t *testing.T) {
	if _, err := exec.LookPath("suricata"); err != nil {
		t.Skip("suricata is not installed: apt-get install --no-install-recommends suricata, where the distribution has it; go test ./detect")
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "suricata", "-k", "none", "-r", capture, "-S", "suricata/ippwatch.rules", "-l", dir,
		"--set", "vars.address-groups.HOME_NET=[198.51.100.0/24]", "--set", "vars.address-groups.EXTERNAL_NET=!$HOME_NET").CombinedOutput()
	if err != nil {
		t.Fatalf("suricata: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "eve.json"))
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for line := range strings.Lines(string(text)) {
		var e struct {
			Type  string `json:"event_type"`
			Src   string `json:"src_ip"`
			Alert struct {
				SID int `json:"signature_id"`
			} `json:"alert"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Type == "alert" && e.Alert.SID == 1631004 && !slices.Contains(hosts, e.Src) {
			hosts = append(hosts, e.Src)
		}
	}
	if d := cmp.Diff(answered, hosts); d != "" {
		t.Errorf("1631004 (-want +got):\n%s", d)
	}
}

// TestZeekItself lets the real one parse and run the script where it is.
func TestZeekItself(t *testing.T) {
	zeek, err := exec.LookPath("zeek")
	if err != nil {
		t.Skip("zeek is not installed, and Debian has none; with one in the PATH: go test ./detect")
	}
	script, err := filepath.Abs("zeek/cups-browse.zeek")
	if err != nil {
		t.Fatal(err)
	}
	film, err := filepath.Abs(capture)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), zeek, "-C", "-r", film, script)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("zeek: %v\n%s", err, out)
	}
	w := watch.New(false)
	var logs []string
	for _, name := range []string{"conn.log", "http.log", "dns.log", "cups_browse.log"} {
		logs = append(logs, filepath.Join(cmd.Dir, name))
	}
	if _, err := w.ReadFiles(t.Context(), logs); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, s := range w.Take(time.Time{}) {
		hosts = append(hosts, s.Host.String())
	}
	if d := cmp.Diff(answered, hosts); d != "" {
		t.Errorf("hosts in Zeek's logs (-want +got):\n%s", d)
	}
}

// TestZeekPatterns takes the patterns out of the script and tries them on the
// packets: where there is no Zeek, that much can be known.
func TestZeekPatterns(t *testing.T) {
	text, err := os.ReadFile("zeek/cups-browse.zeek")
	if err != nil {
		t.Fatal(err)
	}
	find := func(form string) *regexp.Regexp {
		m := regexp.MustCompile(form).FindSubmatch(text)
		if m == nil {
			t.Fatalf("no pattern of the form %s", form)
		}
		return regexp.MustCompile(strings.ReplaceAll(string(m[1]), `\/`, "/"))
	}
	uri, path := find(`match_pattern\(contents, /(.*)/\);`), find(`if \( /(.*)/ !in to_lower`)
	for _, s := range scenes {
		if s.payload == "" {
			continue
		}
		p, err := browse.Parse([]byte(s.payload))
		_, calls := p.Destination()
		// A withdrawal calls nobody, and bytes that cups-browsed does not read may
		// hold a URI: the script is wider there, which costs a line in its log.
		want := err == nil && (calls == nil || p.Type&browse.Delete != 0) || s.name == "no browse packet"
		found := uri.FindString(s.payload)
		got := found != "" && path.MatchString(strings.ToLower(unescape(found)))
		if got != want {
			t.Errorf("%s: logged %v, want %v (%q)", s.name, got, want, found)
		}
	}
}

func unescape(s string) string {
	return regexp.MustCompile(`%[0-9a-fA-F]{2}`).ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(e[1:], 16, 8)
		return string([]byte{byte(n)})
	})
}

// A sigma rule, as far as ours use the language.
type sigma struct {
	Title, ID, Name, Status, Description, Author, Date, Level string
	References, Tags, Falsepositives                          []string
	Logsource                                                 map[string]string
	Detection                                                 map[string]any
	Correlation                                               *struct {
		Type     string
		Rules    []string
		Aliases  map[string]map[string]string
		GroupBy  []string `yaml:"group-by"`
		Timespan string
	}
}

func readSigma(t *testing.T, name string) sigma {
	t.Helper()
	text, err := os.ReadFile("sigma/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var s sigma
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(s.ID) || s.Title == "" || s.Status == "" || s.Level == "" {
		t.Errorf("%s: %+v", name, s)
	}
	return s
}

// holds evaluates "a" or "a and not b" on the fields of an event.
func (s sigma) holds(t *testing.T, event map[string]string) bool {
	t.Helper()
	want, except, _ := strings.Cut(s.Detection["condition"].(string), " and not ")
	return selects(t, s.Detection[want], event) && (except == "" || !selects(t, s.Detection[except], event))
}

func selects(t *testing.T, selection any, event map[string]string) bool {
	t.Helper()
	for key, value := range selection.(map[string]any) {
		name, modifier, _ := strings.Cut(key, "|")
		values, many := value.([]any)
		if !many {
			values = []any{value}
		}
		if !slices.ContainsFunc(values, func(v any) bool {
			text := fmt.Sprint(v)
			switch modifier {
			case "":
				return strings.EqualFold(event[name], text)
			case "startswith":
				return strings.HasPrefix(strings.ToLower(event[name]), strings.ToLower(text))
			case "contains":
				return strings.Contains(strings.ToLower(event[name]), strings.ToLower(text))
			case "cidr":
				a, err := netip.ParseAddr(event[name])
				return err == nil && netip.MustParsePrefix(text).Contains(a)
			}
			t.Fatalf("modifier %q is not one that the test plays", modifier)
			return false
		}) {
			return false
		}
	}
	return true
}

// TestSigmaRules plays the rules, and their correlation, on the flows of the
// capture.
func TestSigmaRules(t *testing.T) {
	packet, call, both := readSigma(t, "browse_packet_inbound.yml"), readSigma(t, "print_callback_outbound.yml"), readSigma(t, "print_host_answered.yml")
	c := both.Correlation
	if c == nil || c.Type != "temporal_ordered" || !slices.Equal(c.Rules, []string{packet.Name, call.Name}) || c.Timespan != "10m" || !slices.Equal(c.GroupBy, []string{"host"}) {
		t.Fatalf("correlation %+v", c)
	}
	all := heard(t)
	came := make(map[string]time.Time)
	for _, p := range all.packets {
		event := map[string]string{"src_ip": p.From.Addr().String(), "dst_ip": p.To.Addr().String(), "dst_port": fmt.Sprint(p.To.Port()), "protocol": "udp"}
		if packet.holds(t, event) {
			came[event[c.Aliases["host"][packet.Name]]] = p.At
		}
	}
	var hosts []string
	for _, one := range all.calls {
		event := map[string]string{"src_ip": one.From.Addr().String(), "dst_ip": one.To.Addr().String(), "cs-method": one.Method, "c-useragent": one.UserAgent, "c-uri": one.URI}
		host := event[c.Aliases["host"][call.Name]]
		at, ok := came[host]
		if call.holds(t, event) && ok && one.At.After(at) && one.At.Sub(at) <= 10*time.Minute && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	if d := cmp.Diff(answered, hosts); d != "" {
		t.Errorf("hosts that answered (-want +got):\n%s", d)
	}
}
