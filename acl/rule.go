package acl

import "strings"

// A Rule does something with the packets that it matches.
type Rule struct {
	// Name is the rule's own, stable word: its counter, its remark, its term. A
	// name that ends in [HitSuffix] belongs to a rule that only counts what it
	// would drop.
	Name   string
	Match  Match
	Action Action
	Count  bool   // there is a counter of its own, to be read under Name
	Log    Rate   // zero: does not log
	Rules  []Rule // where Call and Goto lead
	// Why is for people: a reason, an owner, a ticket. Several lines may be.
	Why string
	// Unsure marks a rule of which a reader understood a part: it matches some
	// of what Match says, and perhaps nothing. A text is not proven if that could
	// make a difference.
	Unsure bool
	// Line is where a reader found it, from 1; 0 is nowhere.
	Line int
}

// An Action is what becomes of a packet that a rule matches.
type Action uint8

// Permit and Drop end the walk of a packet through one stage. Call and Goto are for
// readers alone: a Form has no chains.
const (
	Next   Action = iota // on to the next rule, having counted and logged
	Permit               // out of the stage, past all its other rules
	Drop                 // away
	Return               // back to behind the Call, or to the default of the stage
	Call                 // through Rules, and on
	Goto                 // through Rules, and then as Return
)

func (a Action) String() string {
	return [...]string{"next", "permit", "drop", "return", "call", "goto"}[a]
}

// A Rate bounds a log: so many lines in a second, minute or hour.
type Rate struct {
	N   int
	Per string // "second", "minute", "hour"; empty: no bound, which a Form never has
}

// HitSuffix ends the name of a rule of a filter that only counts: it permits
// what it is going to drop, or returns from a chain that drops.
const HitSuffix = "_hit"

// An Outcome is what becomes of a packet in the end.
type Outcome uint8

// From worse to better for the packet.
const (
	Dropped Outcome = iota
	// Hit is permitted and counted as what would be dropped.
	Hit
	Passed
)

func (o Outcome) String() string {
	return [...]string{"dropped", "counted and let pass", "let pass"}[o]
}

// Passes reports whether the packet goes through.
func (o Outcome) Passes() bool { return o != Dropped }

func (r Rule) permits() Outcome {
	if strings.HasSuffix(r.Name, HitSuffix) {
		return Hit
	}
	return Passed
}

// An Order is how a stage comes to its verdict.
type Order uint8

// FirstMatch is the order of routers and of Linux; DenyWins that of Windows,
// where a block beats every allow; AllowOnly that of AWS security groups, which
// have no deny. Under the latter two the place of a rule means nothing.
const (
	FirstMatch Order = iota
	DenyWins
	AllowOnly
)

// A Stage is one list of rules that packets pass through.
type Stage struct {
	Name string
	// On is what comes here at all; other packets pass the stage by.
	On      Match
	Rules   []Rule
	Order   Order
	Default Action // Permit or Drop: what becomes of a packet that no rule decides
}

// A Filter is what a platform's text does, as far as its reader understood it.
type Filter struct {
	// Stages are passed through in order; a packet passes that passes them all.
	// No stage, no filter: everything passes.
	Stages []Stage
	// Unverified are lines on the path of the packets, or that may be on it, that
	// the reader does not know. A filter with one is never proven.
	Unverified []Line
	// Skipped is how many lines are no part of this filter.
	Skipped int
	// Torn tells that the platform can tell torn packets; see [Form.Torn].
	Torn bool
}

// A Line is one of a text.
type Line struct {
	File   string
	Number int // from 1
	Text   string
	Why    string // such as "unknown word: reflect"
}

// A Text is a file of a platform: a name, which some platforms need to tell the
// families apart, and what is in it.
type Text struct {
	Name string
	Body string
}

// Walk takes one packet through the filter and returns its fate, and the rules
// that decided it, one of each stage that it came through; a stage whose default
// decided has an empty rule with the stage's name. What a rule may let pass that
// is not understood, passes.
func (f Filter) Walk(p Packet) (Outcome, []Rule) {
	fate := Passed
	var by []Rule
	for _, s := range f.Stages {
		if !s.On.Has(p) {
			continue
		}
		end := s.walk(p)
		by = append(by, end.by)
		fate = min(fate, end.fate)
		if fate == Dropped {
			break
		}
	}
	return fate, by
}

// An ending is a fate and the rule that decided it.
type ending struct {
	fate Outcome
	by   Rule
}

func (s Stage) walk(p Packet) ending {
	end := ending{s.fallen(), Rule{Name: s.Name, Action: s.Default}}
	if s.Order == AllowOnly {
		end.fate = Dropped
	}
	if s.Order == FirstMatch {
		return walk(s.Rules, p, end)
	}
	decided := false
	for _, r := range s.Rules {
		switch {
		case !r.Match.Has(p):
		case r.Action == Drop && s.Order == DenyWins && !r.Unsure:
			return ending{Dropped, r}
		case r.Action == Permit && (!decided || r.permits() > end.fate):
			end, decided = ending{r.permits(), r}, true
		}
	}
	return end
}

func (s Stage) fallen() Outcome {
	if s.Default == Drop {
		return Dropped
	}
	return Passed
}

// walk goes through a list; fallen is what becomes of a packet at its end.
func walk(rules []Rule, p Packet, fallen ending) ending {
	for i, r := range rules {
		if !r.Match.Has(p) || r.Action == Next {
			continue
		}
		rest := func() ending { return walk(rules[i+1:], p, fallen) }
		var end ending
		switch r.Action {
		case Permit:
			end = ending{r.permits(), r}
		case Drop:
			end = ending{Dropped, r}
		case Return:
			if end = fallen; r.permits() < end.fate {
				end = ending{r.permits(), r}
			}
		case Call:
			end = walk(r.Rules, p, rest())
		case Goto:
			end = walk(r.Rules, p, fallen)
		case Next:
		}
		if r.Unsure {
			if other := rest(); other.fate > end.fate {
				return other
			}
		}
		return end
	}
	return fallen
}
