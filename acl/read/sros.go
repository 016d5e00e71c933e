package read

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ippwatch/acl"
)

// readSROS reads what the MD-CLI prints with "info full-context" (a statement a
// line) and "admin show configuration" (with braces). A filter that is bound to
// the interface of the base router or of a service is a stage. Classic CLI is
// another language.
func readSROS(texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	r := srosReader{place: at, filters: make(map[string]*srosFilter), prefixes: make(map[string]*srosPrefixes), ports: make(map[string]*srosPorts), bound: make(map[srosPoint]string)}
	for _, t := range texts {
		r.text(t)
	}
	return r.filter(), nil
}

type srosReader struct {
	doubts
	place    acl.Attach
	filters  map[string]*srosFilter // "ip-filter NAME"
	prefixes map[string]*srosPrefixes
	ports    map[string]*srosPorts
	bound    map[srosPoint]string
	points   []srosPoint
	seen     bool // the text speaks of an interface of ours
	others   bool // and of others
	skipped  int
}

type srosPoint struct{ way, family string } // "ingress", "ip"

type srosFilter struct {
	accept  bool
	entries map[int]*srosEntry
	embeds  []*srosEmbed
	where   place
	busy    bool
	read    []acl.Rule
}

type srosEmbed struct {
	name   string
	offset int
	off    bool
	where  place
}

type srosPrefixes struct {
	in, out []acl.Nets
	unsure  bool
}

type srosPorts struct{ ranges acl.Ranges }

// text reads lines: one that ends with a brace opens a block.
func (r *srosReader) text(t acl.Text) {
	var stack [][]string
	n := 0
	for line := range strings.Lines(t.Body) {
		n++
		line = strings.TrimSpace(line)
		here := place{t.Name, n}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := srosWords(line)
		flat := len(words) > 0 && strings.HasPrefix(words[0], "/")
		switch {
		case flat && words[len(words)-1] != "{":
			words[0] = strings.TrimPrefix(words[0], "/")
			r.statement(words, here)
		case words[len(words)-1] == "{":
			if flat {
				words[0] = strings.TrimPrefix(words[0], "/")
			}
			stack = append(stack, words[:len(words)-1])
		case line == "}":
			if len(stack) == 0 {
				r.at(here, line, "a brace that closes nothing")
				return
			}
			// A block with nothing in it is a statement of its own: prefix 192.0.2.0/24 { }
			r.statement(slices.Concat(stack...), here)
			stack = stack[:len(stack)-1]
		default:
			r.statement(slices.Concat(append(slices.Clone(stack), words)...), here)
		}
	}
	if len(stack) > 0 {
		r.at(place{t.Name, n}, "", "the text ends within a block")
	}
}

// srosWords takes a line apart; what stands in quotes is one word, and "{ }" at
// its end nothing.
func srosWords(line string) []string {
	var all []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t") {
		if line[0] == '"' {
			word, rest, _ := strings.Cut(line[1:], `"`)
			all = append(all, word)
			line = rest
			continue
		}
		n := strings.IndexAny(line, " \t")
		if n < 0 {
			n = len(line)
		}
		all = append(all, line[:n])
		line = line[n:]
	}
	if n := len(all); n > 2 && all[n-2] == "{" && all[n-1] == "}" {
		all = all[:n-2]
	}
	return all
}

// srosTop are the parts of a configuration in which no filter stands.
var srosTop = []string{
	"aaa", "anysec", "application-assurance", "bfd", "bmp", "call-trace", "card", "chassis", "cflowd", "connection-profile", "esa", "eth-cfm", "eth-ring", "fad",
	"fwd-path-ext", "group-encryption", "ipsec", "isa", "lag", "li", "lldp", "log", "macsec", "mcac", "mirror", "multicast-management", "multilink-bundle", "nat", "oam-pm",
	"openflow", "policy-options", "port", "port-policy", "port-xc", "ptp", "pw-port", "python", "qos", "redundancy", "routing-options", "saa", "satellite", "sflow", "sfm",
	"subscriber-mgmt", "system", "test-oam", "vrrp", "xiom",
}

func (r *srosReader) statement(words []string, p place) {
	text := func() string { return strings.Join(words, " ") }
	if len(words) > 0 && words[0] == "configure" {
		words = words[1:]
	}
	if len(words) == 0 {
		return
	}
	switch first := words[0]; {
	case slices.Contains(words, "apply-groups") && slices.Contains([]string{"apply-groups", "filter", "router", "service"}, first):
		if first != "router" && first != "service" || len(words) < 4 || words[2] == "apply-groups" || words[2] == "interface" && r.ours(words[3:4]) {
			r.at(p, text(), "inherits from a group: give what info inheritance prints")
			return
		}
		r.skipped++
	case first == "filter" && len(words) > 1:
		r.inFilters(words[1:], p, text())
	case first == "router" || first == "service":
		r.router(words, p, text())
	case first == "groups" || first == "persistent-indices" || first == "filter" || slices.Contains(srosTop, first):
		r.skipped++
	default:
		r.at(p, text(), "not a statement of the MD-CLI that is known")
	}
}

func (r *srosReader) inFilters(words []string, p place, text string) {
	switch kind := words[0]; {
	case (kind == "ip-filter" || kind == "ipv6-filter") && len(words) > 1:
		key := kind + " " + words[1]
		f := r.filters[key]
		if f == nil {
			f = &srosFilter{entries: make(map[int]*srosEntry), where: p}
			r.filters[key] = f
		}
		if len(words) > 2 {
			r.inFilter(f, words[2:], p, text)
		}
	case kind == "match-list" && len(words) < 3:
	case kind == "match-list":
		r.matchList(words[1], words[2], words[3:], p, text)
	case slices.Contains([]string{"log", "mac-filter", "redirect-policy", "dhcp-filter", "dhcp6-filter", "ip-exception", "ipv6-exception", "gre-tunnel-template", "md-auto-id", "redirect-policy-binding"}, kind):
		r.skipped++
	case kind == "system-filter":
		r.at(p, text, "the system filter is before all others")
	default:
		r.at(p, text, "unknown below filter")
	}
}

func (r *srosReader) matchList(kind, name string, rest []string, p place, text string) {
	switch kind {
	case "ip-prefix-list", "ipv6-prefix-list":
		l := r.prefixes[kind+" "+name]
		if l == nil {
			l = &srosPrefixes{}
			r.prefixes[kind+" "+name] = l
		}
		switch {
		case len(rest) == 0 || rest[0] == "description":
		case (rest[0] == "prefix" || rest[0] == "prefix-exclude") && len(rest) == 2:
			one, ok := prefix(rest[1])
			if !ok {
				l.unsure = true
				r.at(p, text, "unknown address")
			} else if rest[0] == "prefix" {
				l.in = append(l.in, acl.NetsOf(one))
			} else {
				l.out = append(l.out, acl.NetsOf(one))
			}
		default:
			l.unsure = true // apply-path: filled in by the router
		}
	case "port-list":
		l := r.ports[name]
		if l == nil {
			l = &srosPorts{ranges: acl.Ranges{}}
			r.ports[name] = l
		}
		if len(rest) > 1 {
			n, ok := number(rest[len(rest)-1])
			switch {
			case rest[0] == "description":
			case rest[0] == "port" && len(rest) == 2 && ok:
				l.ranges = append(l.ranges, acl.Range{First: n, Last: n})
			case rest[0] == "range" && len(rest) == 5 && rest[1] == "start" && rest[3] == "end" && ok:
				from, fine := number(rest[2])
				if !fine || from > n {
					r.at(p, text, "unknown range")
				} else {
					l.ranges = append(l.ranges, acl.Range{First: from, Last: n})
				}
			default:
				r.at(p, text, "unknown in a port list")
			}
		}
	default:
		r.skipped++ // protocol-list: an entry that uses one says so
	}
}

func (r *srosReader) ours(names []string) bool {
	return len(names) > 0 && slices.Contains(r.place.Interfaces, names[0])
}

// srosHarmless are statements of an interface at which no filter stands.
var srosHarmless = []string{
	"admin-state", "description", "port", "loopback", "mac", "ip-mtu", "ipv4", "ipv6", "autoconfigure", "bfd", "cflowd-parameters", "cpu-protection", "delayed-enable",
	"dist-cpu-protection", "enable-ingress-stats", "enable-mac-accounting", "eth-cfm", "hold-time", "icmp", "if-attribute", "lag", "ldp-sync-timer", "load-balancing",
	"network-domain", "ntp-broadcast", "ptp-hw-assist", "qos", "qos-route-lookup", "secondary", "strip-label", "tos-marking-trusted", "untrusted", "urpf-check", "vas-if-type", "tunnel",
}

// router reads the bindings at our interfaces.
func (r *srosReader) router(words []string, p place, text string) {
	i := slices.Index(words, "interface")
	r.others = r.others || i > 0 && i+1 < len(words) && !r.ours(words[i+1:])
	if i < 0 || i+1 >= len(words) || !r.ours(words[i+1:]) || slices.Contains(words[:i], "ospf") || slices.Contains(words[:i], "isis") || slices.Contains(words[:i], "mpls") ||
		slices.Contains(words[:i], "rsvp") || slices.Contains(words[:i], "ldp") || slices.Contains(words[:i], "pim") || slices.Contains(words[:i], "igmp") || slices.Contains(words[:i], "mld") {
		r.skipped++
		return
	}
	r.seen = true
	rest := words[i+2:]
	if len(rest) > 1 && (rest[0] == "sap" || rest[0] == "spoke-sdp") {
		rest = rest[2:]
	}
	switch {
	case len(rest) == 0:
	case (rest[0] == "ingress" || rest[0] == "egress") && len(rest) > 1 && rest[1] == "filter":
		switch {
		case len(rest) == 4 && (rest[2] == "ip" || rest[2] == "ipv6"):
			point := srosPoint{rest[0], rest[2]}
			if other, ok := r.bound[point]; ok && other != rest[3] {
				r.at(p, text, "another filter is bound before: "+other)
			}
			if !slices.Contains(r.points, point) {
				r.points = append(r.points, point)
			}
			r.bound[point] = rest[3]
		case len(rest) == 2 || len(rest) == 4 && rest[2] == "mac":
		default:
			r.at(p, text, "unknown way to bind a filter")
		}
	case rest[0] == "ingress" || rest[0] == "egress":
		if len(rest) > 1 && !slices.Contains([]string{"qos", "agg-rate", "agg-rate-limit", "policy-accounting", "destination-class-lookup", "queue-override", "filter-override"}, rest[1]) {
			r.at(p, text, "unknown at this interface")
		}
	case slices.Contains(srosHarmless, rest[0]):
		r.skipped++
	default:
		r.at(p, text, "unknown at this interface")
	}
}

func (r *srosReader) inFilter(f *srosFilter, w []string, p place, text string) {
	switch {
	case w[0] == "default-action" && len(w) == 2 && (w[1] == "accept" || w[1] == "drop"):
		f.accept = w[1] == "accept"
	case w[0] == "scope" && len(w) == 2, w[0] == "description", w[0] == "filter-id", w[0] == "type" && len(w) == 2 && w[1] == "normal",
		w[0] == "chain-to-system-filter" && len(w) == 2 && w[1] == "false", w[0] == "embed" && len(w) == 1:
	case w[0] == "embed" && len(w) > 4 && w[1] == "filter" && w[3] == "offset":
		r.embed(f, w[2:], p, text)
	case w[0] == "entry" && len(w) > 1:
		n, err := strconv.Atoi(w[1])
		if err != nil {
			r.at(p, text, "an entry without a number")
			return
		}
		e := f.entries[n]
		if e == nil {
			e = &srosEntry{where: p}
			f.entries[n] = e
		}
		if len(w) > 2 {
			r.inEntry(e, w[2:], p, text)
		}
	default:
		r.at(p, text, "unknown in a filter")
	}
}

// mostEmbeds is how many filters one may embed here; a router takes fewer.
const mostEmbeds = 200

// embed reads "NAME offset N [admin-state disable]".
func (r *srosReader) embed(f *srosFilter, w []string, p place, text string) {
	n, err := strconv.Atoi(w[2])
	if err != nil {
		r.at(p, text, "unknown offset")
		return
	}
	if len(f.embeds) > mostEmbeds {
		r.at(p, text, "more embedded filters than can be followed")
		return
	}
	for _, e := range f.embeds {
		if e.name == w[0] && e.offset == n {
			e.off = e.off || slices.Contains(w, "disable")
			return
		}
	}
	f.embeds = append(f.embeds, &srosEmbed{w[0], n, slices.Contains(w, "disable"), p})
}

// rules are those of a filter, the embedded ones in their places.
func (r *srosReader) rules(kind, name string) []acl.Rule {
	f := r.filters[kind+" "+name]
	switch {
	case f == nil:
		r.at(place{}, kind+" "+name, "there is no such filter here")
		return []acl.Rule{{Action: acl.Permit, Unsure: true}}
	case f.busy:
		r.at(f.where, kind+" "+name, "the filter embeds itself")
		return []acl.Rule{{Action: acl.Permit, Unsure: true}}
	case f.read != nil:
		return f.read
	}
	f.busy = true
	type numbered struct {
		n     int
		rules []acl.Rule
	}
	var all []numbered
	for _, n := range slices.Sorted(maps.Keys(f.entries)) {
		all = append(all, numbered{n, r.entry(kind, f.entries[n])})
	}
	total := len(all)
	for _, e := range f.embeds {
		if e.off {
			continue
		}
		inner := r.filters[kind+" "+e.name]
		if inner == nil || inner.busy || len(inner.embeds) > 0 {
			r.at(e.where, "embed filter "+e.name, "the embedded filter is not here, or embeds others itself")
			all = append(all, numbered{e.offset, []acl.Rule{{Action: acl.Permit, Unsure: true, Line: e.where.line}}})
			continue
		}
		if total += len(inner.entries); total > mostCalled {
			r.at(e.where, "embed filter "+e.name, tooManyCalls)
			break
		}
		for _, n := range slices.Sorted(maps.Keys(inner.entries)) {
			all = append(all, numbered{n + e.offset, r.entry(kind, inner.entries[n])})
		}
	}
	slices.SortStableFunc(all, func(a, b numbered) int { return cmp.Compare(a.n, b.n) })
	f.read = []acl.Rule{}
	for _, one := range all {
		f.read = append(f.read, one.rules...)
	}
	f.busy = false
	return f.read
}

func (r *srosReader) filter() acl.Filter {
	if !r.seen && r.others {
		r.at(place{}, strings.Join(r.place.Interfaces, " "), "there is no interface of that name in the text, though there are others")
	}
	var f acl.Filter
	for _, point := range r.points {
		name := r.bound[point]
		kind, family := point.family+"-filter", acl.V4
		if point.family == "ipv6" {
			family = acl.V6
		}
		dir := r.place.Profile.Leaving()
		if point.way == "ingress" {
			dir = r.place.Profile.Arriving()
		}
		s := acl.Stage{Name: kind + " " + name, On: acl.Match{Family: family, Dir: dir}, Rules: r.rules(kind, name), Default: acl.Drop}
		if one := r.filters[kind+" "+name]; one == nil || one.accept {
			s.Default = acl.Permit
		}
		f.Stages = append(f.Stages, s)
	}
	f.Unverified, f.Skipped = r.lines, r.skipped
	return f
}
