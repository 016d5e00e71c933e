package read

import (
	"errors"
	"slices"
	"strings"

	"ippwatch/acl"
)

// errRouter is for the profile of a host: what these platforms send to
// themselves is judged elsewhere (control-plane policing, access-class).
var errRouter = errors.New("the profile host is not for a router: name interfaces, with another profile")

// A dialect is one of the languages that are Cisco's or like it: IOS-XE, IOS-XR,
// EOS. They share the line of a list ([ace]) and the two-level layout; all words
// that differ are here.
type dialect struct {
	// open tells what a statement at the margin begins.
	open func(words []string) opening
	// bind reads a statement at an interface that binds a list. An empty name
	// and a reason is for a way to bind that is not understood.
	bind func(words []string) (b binding, ours bool)
	// harmless begin statements at an interface that let pass and drop nothing by
	// protocol or port.
	harmless []string
	// warned begin statements at the margin that may bind lists where they do not
	// stand.
	warned []string
	ports  []map[string]uint16
	// group is the name under which a group of some kind is kept.
	group func(kind string, family acl.Family, name string) string
	// counted tells that each line has a counter; otherwise a list says so.
	counted bool
	cookies bool // a word of one's own may stand behind log
	torn    bool // undetermined-transport is known
	// bundle begins the statement that makes an interface part of another.
	bundle string
}

// A section is what lines belong to.
type section uint8

const (
	elsewhere section = iota
	inList
	inGroup
	inPolicy // a policy-map
	inInterface
)

// An opening is what a statement at the margin begins; for a statement that is
// whole in one line (access-list 101 permit ...), rest is the line within.
type opening struct {
	section  section
	family   acl.Family
	name     string
	standard bool
	rest     string
}

// A binding is a list at an interface.
type binding struct {
	family  acl.Family
	name    string
	arrives bool
	why     string // it is not understood
}

// bindInOut reads the statement that binds a list where it is two words, which say
// the family, the name, and in or out.
func bindInOut(words []string, v4, v6 string) (binding, bool) {
	var b binding
	switch strings.Join(words[:min(2, len(words))], " ") {
	case v4:
		b.family = acl.V4
	case v6:
		b.family = acl.V6
	default:
		return b, false
	}
	if len(words) != 4 || words[3] != "in" && words[3] != "out" {
		b.why = "a list is bound in a way that is not understood"
		return b, true
	}
	b.name, b.arrives = words[2], words[3] == "in"
	return b, true
}

type listKey struct {
	family acl.Family
	name   string
}

type ciscoLine struct {
	place
	text string
}

// A ciscoList is a list as it stands, or a group of addresses, ports or
// services.
type ciscoList struct {
	standard bool
	lines    []ciscoLine
}

// A ciscoReader goes over the text once and keeps the lines of lists, groups and
// of the interface that is asked about; only what is bound is then understood.
type ciscoReader struct {
	doubts
	d      *dialect
	where  acl.Attach
	lists  map[listKey]*ciscoList
	groups map[string]*ciscoList
	// policies are policy-maps, by name.
	policies map[string]*ciscoList
	judged   map[string]string // why a policy-map may filter
	mine     []ciscoLine
	found    int  // how well the interface's name was found: 0, 1 abbreviated, 2 to the letter
	subs     bool // there are sub-interfaces of it
	log      acl.Rate
	skipped  int
	spread   int // rules and ranges to which single words came

	// While reading lines:
	now     opening
	list    *ciscoList // of now
	ours    bool       // the section is our interface
	depth   int        // how far lines of the section stand in
	harmed  bool       // lines that stand in deeper have been told with their head
	until   string     // free text ends with it
	heredoc place

	nets  map[listKey]groupNets
	ranks map[string]groupServices
	ports map[string]acl.Ranges
}

func readCisco(d *dialect, texts []acl.Text, at acl.Attach) (acl.Filter, error) {
	if at.Profile == acl.Host {
		return acl.Filter{}, errRouter
	}
	r := ciscoReader{
		d: d, where: at, lists: make(map[listKey]*ciscoList), groups: make(map[string]*ciscoList), policies: make(map[string]*ciscoList), judged: make(map[string]string),
		nets: make(map[listKey]groupNets), ranks: make(map[string]groupServices), ports: make(map[string]acl.Ranges),
		log: acl.Rate{Per: "packet"},
	}
	for _, t := range texts {
		r.text(t)
	}
	return r.filter(), nil
}

func (r *ciscoReader) text(t acl.Text) {
	r.now, r.list, r.ours, r.until = opening{}, nil, false, ""
	n := 0
	for line := range strings.Lines(t.Body) {
		n++
		line = strings.TrimRight(line, " \t\r\n")
		here := place{t.Name, n}
		if r.until != "" {
			if ends(line, r.until) {
				r.until = ""
			}
			r.skipped++
			continue
		}
		text := strings.TrimLeft(line, " \t")
		switch indent := len(line) - len(text); {
		case text == "" || text[0] == '!':
			r.skipped++
		case indent > 0 || r.within(text):
			r.inner(ciscoLine{here, text}, indent)
		default:
			r.margin(ciscoLine{here, text})
		}
	}
	if r.until != "" {
		r.at(r.heredoc, "", "free text that does not end: what follows was not read")
	}
}

// ends reports whether a line ends a banner or a script.
func ends(line, mark string) bool {
	if mark == "EOF" {
		return line == mark
	}
	return strings.Contains(line, mark)
}

// innerWords begin lines of a section that somebody pasted without indents.
var innerWords = map[section][]string{
	inList:      {"permit", "deny", "remark", "sequence", "evaluate", "counters", "statistics"},
	inGroup:     {"host", "range", "group-object", "description", "eq", "tcp", "udp", "tcp-udp", "any"},
	inInterface: {"ip access-group", "ipv4 access-group", "ipv6 access-group", "ipv6 traffic-filter", "no ip access-group", "no ipv4 access-group", "no ipv6 access-group", "no ipv6 traffic-filter"},
}

func (r *ciscoReader) within(text string) bool {
	if r.now.section == elsewhere {
		return false
	}
	return r.now.section != inInterface && text[0] >= '0' && text[0] <= '9' || begins(text, innerWords[r.now.section])
}

// begins reports whether the text begins with one of the lists of words.
func begins(text string, heads []string) bool {
	return slices.ContainsFunc(heads, func(h string) bool {
		return strings.HasPrefix(text, h) && (len(text) == len(h) || text[len(h)] == ' ')
	})
}

// margin is a statement that begins a section or is one by itself.
func (r *ciscoReader) margin(l ciscoLine) {
	r.now, r.list, r.ours, r.depth, r.harmed = opening{}, nil, false, 0, false
	first, rest, _ := strings.Cut(l.text, " ")
	switch first {
	case "banner":
		r.banner(l, strings.Fields(rest))
	case "no":
		r.orphan(l)
		r.remove(r.d.open(strings.Fields(rest)))
	case "default":
		if o := r.d.open(strings.Fields(rest)); o.section == inInterface && r.isMine(o.name, l) {
			r.at(l.place, l.text, "the interface is reset: what is bound then is not known")
		}
	case "interface", "ip", "ipv4", "ipv6", "access-list", "object-group", "policy-map", "logging":
		r.open(l)
	default:
		r.orphan(l)
		if begins(l.text, r.d.warned) {
			r.at(l.place, l.text, "may bind a list to the interface from elsewhere")
		}
	}
}

// orphan is a statement that is about something else, unless it is one that has
// lost what it stood under.
func (r *ciscoReader) orphan(l ciscoLine) {
	r.skipped++
	if begins(l.text, innerWords[inInterface]) || begins(l.text, innerWords[inList][:3]) {
		r.at(l.place, l.text, "stands under no interface and in no list")
	}
}

func (r *ciscoReader) open(l ciscoLine) {
	words := strings.Fields(l.text)
	r.logs(words)
	r.now = r.d.open(words)
	switch o := r.now; o.section {
	case elsewhere:
		r.orphan(l)
	case inInterface:
		r.ours = r.isMine(o.name, l)
	case inList, inGroup, inPolicy:
		r.list = r.listOf(o)
		if o.rest != "" {
			r.list.lines = append(r.list.lines, ciscoLine{l.place, o.rest})
			r.now, r.list = opening{}, nil
		}
	}
}

// listOf is the list, the group or the policy that is opened, begun or gone on
// with.
func (r *ciscoReader) listOf(o opening) *ciscoList {
	if o.section == inList {
		key := listKey{o.family, o.name}
		if r.lists[key] == nil {
			r.lists[key] = &ciscoList{standard: o.standard}
		}
		return r.lists[key]
	}
	in := r.groups
	if o.section == inPolicy {
		in = r.policies
	}
	if in[o.name] == nil {
		in[o.name] = new(ciscoList)
	}
	return in[o.name]
}

// remove takes away what "no" stands before.
func (r *ciscoReader) remove(o opening) {
	switch o.section {
	case inList:
		delete(r.lists, listKey{o.family, o.name})
	case inGroup:
		delete(r.groups, o.name)
	case inPolicy:
		delete(r.policies, o.name)
	case elsewhere, inInterface:
	}
}

// banner skips free text, which may look like anything.
func (r *ciscoReader) banner(l ciscoLine, words []string) {
	r.skipped++
	r.heredoc = l.place
	if len(words) < 2 { // EOS: banner login, up to EOF
		r.until = "EOF"
		return
	}
	mark := words[1]
	if strings.HasPrefix(mark, "^C") {
		mark = "^C"
	} else {
		mark = mark[:1]
	}
	if _, rest, _ := strings.Cut(l.text, mark); !strings.Contains(rest, mark) {
		r.until = mark
	}
}

// logs notes what bounds the log of all lists together.
func (r *ciscoReader) logs(words []string) {
	text := strings.Join(words, " ")
	last, ok := number(words[len(words)-1])
	if !ok || last == 0 {
		return
	}
	switch {
	case begins(text, []string{"ip access-list logging interval"}): // milliseconds between two
		r.log = acl.Rate{N: max(1, 1000/int(last)), Per: "second"}
	case begins(text, []string{"logging rate-limit", "ipv4 access-list log-update rate", "ipv6 access-list log-update rate"}):
		r.log = acl.Rate{N: int(last), Per: "second"}
	}
}

// inner is a line of a section.
func (r *ciscoReader) inner(l ciscoLine, indent int) {
	if l.text == "action bash" { // of EOS, with a script up to EOF
		r.until, r.heredoc = "EOF", l.place
	}
	switch {
	case r.list != nil:
		r.list.lines = append(r.list.lines, l)
	case r.ours:
		if r.depth == 0 {
			r.depth = indent
		}
		if indent <= r.depth {
			r.mine = append(r.mine, l)
		} else {
			r.skipped++ // its head was judged
		}
	default:
		r.skipped++
	}
}

// isMine reports whether a section is of the interface that is asked about.
func (r *ciscoReader) isMine(name string, l ciscoLine) bool {
	best := 0
	for _, mine := range r.where.Interfaces {
		rank, known := covers(name, mine)
		if !known {
			r.at(l.place, l.text, "a range of interfaces that is not understood: "+mine+" may be one of them")
		}
		best = max(best, rank)
		if strings.HasPrefix(name, mine+".") {
			r.subs = true
		}
	}
	switch {
	case best == 0:
		r.skipped++
		return false
	case best < r.found:
		return false // another has the very name
	case best > r.found && r.found > 0:
		r.mine = nil
	case best == r.found && best == 1:
		// Two interfaces that may be meant: what is bound at either is not known.
		r.at(l.place, l.text, "the name of the interface is short for more than one: write it as the device does")
	}
	r.found = best
	return true
}

// filter understands what is bound.
func (r *ciscoReader) filter() acl.Filter {
	f := acl.Filter{Torn: r.d.torn}
	if r.found == 0 {
		r.at(place{}, "", "there is no interface "+strings.Join(r.where.Interfaces, ", ")+" in the text")
	}
	bound := make(map[binding]binding)
	var order []binding
	addressed := false
	for _, l := range r.mine {
		text, off := strings.CutPrefix(l.text, "no ")
		words := strings.Fields(text)
		b, ours := r.d.bind(words)
		slot := binding{family: b.family, arrives: b.arrives}
		switch {
		case ours && b.why != "":
			r.at(l.place, l.text, b.why)
		case ours && off:
			delete(bound, slot)
		case ours:
			if _, again := bound[slot]; !again {
				order = append(order, slot)
			}
			bound[slot] = b
		case off || text == "exit" || text == "shutdown":
		case words[0] == "service-policy" && !off:
			if why := r.servicePolicy(words); why != "" {
				r.at(l.place, l.text, why)
			}
		case begins(text, []string{r.d.bundle}):
			r.at(l.place, l.text, "the interface is part of another: packets are judged there")
		case !begins(text, r.d.harmless):
			r.at(l.place, l.text, "may filter or redirect at the interface: not understood")
		}
		addressed = addressed || !off && len(words) > 2 && words[1] == "address"
		r.skipped++
	}
	if r.subs && !addressed {
		r.at(place{}, "", "the interface has sub-interfaces and no address: packets are judged at those")
	}
	for _, slot := range order {
		if b, ok := bound[slot]; ok {
			r.stage(&f, b)
		}
	}
	f.Unverified, f.Skipped = r.lines, r.skipped
	return f
}

// neighbours is what the lists of IPv6 let pass at their end, before everything
// else is dropped: nd-na and nd-ns, which are some of ICMPv6.
var neighbours = acl.Rule{Match: acl.Match{Family: acl.V6, Proto: acl.Number(58)}, Action: acl.Permit, Unsure: true}

func (r *ciscoReader) stage(f *acl.Filter, b binding) {
	dir := r.where.Profile.Leaving()
	if b.arrives {
		dir = r.where.Profile.Arriving()
	}
	list := r.lists[listKey{b.family, b.name}]
	if list == nil {
		r.at(place{}, b.name, "the list is bound and is not in the text: everything passes")
		return
	}
	s := acl.Stage{Name: b.name, On: acl.Match{Family: b.family, Dir: dir}, Default: acl.Drop}
	if s.Rules = r.rules(list, b.family); len(s.Rules) == 0 {
		r.at(place{}, b.name, "the list is empty: everything passes")
		return
	}
	if b.family == acl.V6 {
		s.Rules = append(s.Rules, neighbours)
	}
	f.Stages = append(f.Stages, s)
}
