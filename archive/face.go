package archive

import (
	"crypto/sha256"
	"slices"

	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// A hash is the first half of a SHA-256 sum: strangers choose what is hashed
// and must not find two bodies of one hash.
type hash [16]byte

func hashOf(b []byte) hash {
	sum := sha256.Sum256(b)
	return hash(sum[:16])
}

// A kind is what many observations have in common.
type kind struct {
	v         int
	source    exposure.Source
	vantage   string
	transport exposure.Transport
	verdict   exposure.Verdict
	simulated bool
	cups      bool
}

func kindOf(o *exposure.Observation) kind {
	return kind{
		v:         o.V,
		source:    o.Source,
		vantage:   o.Vantage,
		transport: o.Transport,
		verdict:   o.Verdict,
		simulated: o.Simulated,
		cups:      o.CUPS != nil,
	}
}

// Words that are counted and asked for like rule ids, and follow from the
// observation alone.
const (
	tagIPP    = "ipp"          // answered in IPP over TCP
	tagCUPS   = "cups"         // a CUPS server
	tagBrowse = "cups-browsed" // called back
)

// tags returns the words that the kind stands for.
func (k kind) tags() []string {
	var t []string
	if k.verdict == exposure.Answered && k.transport == exposure.TCP {
		t = append(t, tagIPP)
	}
	if k.cups {
		t = append(t, tagCUPS)
	}
	if k.verdict == exposure.CalledBack {
		t = append(t, tagBrowse)
	}
	return t
}

// tagsOf returns the body of the tag set of the findings: the worst severity
// and the rule ids, sorted, each once.
func tagsOf(findings []exposure.Finding) string {
	rules := make([]string, len(findings))
	for i, f := range findings {
		rules[i] = f.Rule
	}
	slices.Sort(rules)
	return tagBody(exposure.Worst(findings), slices.Compact(rules))
}

func tagBody(worst exposure.Severity, rules []string) string {
	var body form.Sink
	body.Str(string(worst))
	body.Strs(rules)
	return string(body)
}

func splitTags(body string) (worst exposure.Severity, rules []string, err error) {
	s := form.Source{Rest: body}
	worst, rules = exposure.Severity(s.Str()), s.Strs()
	return worst, rules, s.Err
}

// placeBody returns w as bytes, for its hash.
func placeBody(b form.Sink, w *exposure.Where) form.Sink {
	b.Str(w.Country)
	b.Str(w.Region)
	b.Str(w.City)
	b.Uint(uint64(w.ASN))
	b.Str(w.ASName)
	b.Str(w.Hostname)
	return b
}

// faceHash names a face whatever the numbers in this database's dictionaries.
// scratch is appended to and left as it was.
func (r *row) faceHash(scratch *form.Sink) hash {
	from := len(*scratch)
	b := append(*scratch, r.content[:]...)
	b.Int(int64(r.kind.v))
	b.Str(string(r.kind.source))
	b.Str(r.kind.vantage)
	b.Str(string(r.kind.transport))
	b.Str(string(r.kind.verdict))
	b.Bits(r.kind.simulated, r.kind.cups)
	b = placeBody(b, &r.o.Where)
	b.Str(r.tags)
	h := hashOf(b[from:])
	*scratch = b[:from]
	return h
}
