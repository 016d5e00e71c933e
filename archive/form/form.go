// Package form is the stored form of an observation: its key, what stays of it
// apart from what moves, and both in few bytes.
package form

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"

	"ippwatch/exposure"
)

// A Splitter parts observations into what stays and what moves. The zero
// Splitter is ready; it is scratch space for one goroutine.
type Splitter struct {
	stable, moving Sink
	paths          []string
	orders         orders
	values         [][]string
	likeness       Sink
}

// Parts are an observation in two: all of it but its target, run, kind, place
// and findings.
type Parts struct {
	Stable, Moving Sink
	// Stem names a family of observations whose stable parts are much alike: the
	// same server and model, the same attributes, whatever their values.
	Stem int64
}

// Split writes the parts of an observation over those in p. Equal observations
// give equal parts, and [Join] is the way back.
func (s *Splitter) Split(p *Parts, o *exposure.Observation) {
	// The order of writing here is the order of reading in Join.
	s.stable, s.moving = p.Stable[:0], p.Moving[:0]
	s.likeness = s.likeness[:0]
	s.likeness.Str(string(o.Probe))
	s.likeness.Str(string(o.Verdict))
	s.stable.Bits(o.HTTP != nil, o.IPP != nil, o.CUPS != nil, o.TLS != nil, o.Jobs != nil, o.Callback != nil, o.Feed != nil)
	s.times(o)
	if o.HTTP != nil {
		s.http(o.HTTP)
	}
	if o.IPP != nil {
		s.ipp(o.IPP)
	}
	if o.CUPS != nil {
		s.stable.Str(o.CUPS.Server)
		s.stable.Str(o.CUPS.Reported)
		s.stable.Bits(o.CUPS.Queues)
	}
	if o.TLS != nil {
		s.tls(o.TLS)
	}
	if o.Jobs != nil {
		s.stable.Uint(uint64(o.Jobs.Status))
		s.moving.Int(int64(o.Jobs.Listed))
		s.stable.Strs(o.Jobs.Attributes)
	}
	if o.Callback != nil {
		s.callback(o.Callback)
	}
	if o.Feed != nil {
		s.feed(o.Feed)
	}
	s.stable.count(len(o.Printers), o.Printers == nil)
	for i, p := range o.Printers {
		if i == 0 {
			s.likeness.Str(p.Get("printer-make-and-model"))
		}
		s.printer(p, o.Observed)
	}
	sum := sha256.Sum256(s.likeness)
	*p = Parts{s.stable, s.moving, int64(binary.BigEndian.Uint64(sum[:]))}
	s.stable, s.moving = nil, nil
}

// times writes the first byte of what moves and the parts that are seldom
// there; Observed has a column.
func (s *Splitter) times(o *exposure.Observation) {
	after := o.Received.Sub(o.Observed)
	near := o.Observed.Add(after).Equal(o.Received) // Sub saturates
	var broken []int
	if o.IPP != nil {
		for i, x := range o.IPP.Exchanges {
			if x.Error != "" {
				broken = append(broken, i)
			}
		}
	}
	s.moving.Bits(near && after != 0, !near, o.Reason != "", len(broken) > 0, o.TLS != nil && o.TLS.Error != "")
	switch {
	case !near:
		s.moving.time(o.Received)
	case after != 0:
		s.moving.Int(int64(after))
	}
	if o.Reason != "" {
		s.moving.text(o.Reason)
	}
	if len(broken) > 0 {
		s.moving.count(len(broken), false)
		for _, i := range broken {
			s.moving.Uint(uint64(i))
			s.moving.text(o.IPP.Exchanges[i].Error)
		}
	}
	if o.TLS != nil && o.TLS.Error != "" {
		s.moving.text(o.TLS.Error)
	}
}

func (s *Splitter) http(h *exposure.HTTP) {
	s.stable.Int(int64(h.Status))
	s.stable.Str(h.Server)
	s.likeness.Str(h.Server)
	s.stable.count(len(h.Authenticate), h.Authenticate == nil)
	for _, a := range h.Authenticate {
		before, nonce, after := splitNonce(a)
		s.stable.Str(before)
		s.stable.Str(after)
		s.moving.text(nonce)
	}
	s.stable.Str(h.Upgrade)
	s.stable.Str(h.ContentType)
	s.stable.Str(h.Location)
	s.stable.Str(h.Title)
	s.stable.count(len(h.Pages), h.Pages == nil)
	s.paths = slices.AppendSeq(s.paths[:0], maps.Keys(h.Pages))
	slices.Sort(s.paths)
	for _, path := range s.paths {
		s.stable.Str(path)
		s.stable.Int(int64(h.Pages[path]))
	}
}

func (s *Splitter) ipp(p *exposure.IPP) {
	s.stable.Str(p.Version)
	s.stable.Uint(uint64(p.Status))
	s.stable.Strs(p.Versions)
	s.stable.count(len(p.Exchanges), p.Exchanges == nil)
	for _, x := range p.Exchanges {
		s.stable.Str(x.Operation)
		s.stable.Str(x.Path)
		s.stable.Str(x.Version)
		s.stable.Bits(x.TLS, x.Status != nil)
		s.stable.Int(int64(x.HTTP))
		if x.Status != nil {
			s.stable.Uint(uint64(*x.Status))
		}
	}
	s.stable.Strs(p.Lenient)
	s.stable.Str(p.Stopped)
}

func (s *Splitter) tls(t *exposure.TLS) {
	s.stable.Bits(t.Offered, t.Required, t.Certificate != nil)
	s.stable.Str(t.Version)
	s.stable.Str(t.Cipher)
	if c := t.Certificate; c != nil {
		s.stable.Str(c.SHA256)
		s.stable.Str(c.Subject)
		s.stable.Str(c.Issuer)
		s.stable.Strs(c.Names)
		s.stable.time(c.NotBefore)
		s.stable.time(c.NotAfter)
		s.stable.Str(c.Key)
		s.stable.Int(int64(c.KeyBits))
		s.stable.Str(c.Signature)
		s.stable.Bits(c.SelfSigned)
	}
}

func (s *Splitter) callback(c *exposure.Callback) {
	from, _ := c.From.MarshalBinary() // documented never to fail
	s.stable.Str(string(from))
	s.stable.Str(c.UserAgent)
	s.stable.Int(int64(c.Asked))
	s.stable.Str(c.Queue)
	s.moving.Bits(c.Late)
	s.moving.Int(int64(c.Posts))
	s.moving.Int(int64(c.Connections))
	s.moving.Int(int64(c.After))
	s.moving.Int(int64(c.BytesIn))
	s.moving.Int(int64(c.BytesOut))
	s.moving.Uint(math.Float64bits(c.RatioApp))
	s.moving.Uint(math.Float64bits(c.RatioIP))
}

func (s *Splitter) feed(f *exposure.FeedRow) {
	s.stable.Str(f.Type)
	s.stable.count(len(f.Columns), f.Columns == nil)
	s.paths = slices.AppendSeq(s.paths[:0], maps.Keys(f.Columns))
	slices.Sort(s.paths)
	for _, name := range s.paths {
		s.stable.Str(name)
		s.stable.Str(f.Columns[name])
	}
}

func (s *Splitter) printer(p exposure.Printer, observed time.Time) {
	s.stable.count(len(p.Attributes), p.Attributes == nil)
	var known *order
	known, s.values = s.orders.of(p.Attributes, s.values[:0])
	s.likeness = append(s.likeness, known.sum[:]...)
	for i, values := range s.values {
		how := known.motions[i]
		s.stable.Str(known.names[i])
		s.stable.Uint(uint64(how))
		switch how {
		case number:
			s.stable.count(len(values), values == nil)
			for _, v := range values {
				numbers(&s.stable, &s.moving, v)
			}
		case date:
			s.stable.count(len(values), values == nil)
			for _, v := range values {
				splitDate(&s.stable, &s.moving, observed, v)
			}
		case word, list:
			counted := &s.stable
			if how == list {
				counted = &s.moving
			}
			counted.count(len(values), values == nil)
			for _, v := range values {
				s.moving.text(v)
			}
		default:
			s.stable.Strs(values)
		}
	}
}

// A joiner is the way back from what a [Splitter] wrote.
type joiner struct{ stable, moving Source }

// Join fills o, whose Observed is known, from stable and moving bytes.
func Join(o *exposure.Observation, stable, moving []byte) error {
	j := joiner{Source{Rest: string(stable)}, Source{Rest: string(moving)}}
	var http, ipp, cups, tls, jobs, callback, feed bool
	j.stable.Bits(&http, &ipp, &cups, &tls, &jobs, &callback, &feed)
	broken, tlsError := j.times(o)
	if http {
		o.HTTP = j.http()
	}
	if ipp {
		o.IPP = j.ipp(broken)
	}
	if cups {
		o.CUPS = &exposure.CUPS{Server: j.stable.Str(), Reported: j.stable.Str()}
		j.stable.Bits(&o.CUPS.Queues)
	}
	if tls {
		o.TLS = j.tls()
		o.TLS.Error = tlsError
	}
	if jobs {
		o.Jobs = &exposure.Jobs{
			Status:     exposure.StatusCode(j.stable.Uint()),
			Listed:     int(j.moving.Int()),
			Attributes: j.stable.Strs(),
		}
	}
	if callback {
		o.Callback = j.callback()
	}
	if feed {
		o.Feed = j.feed()
	}
	if n, absent := j.stable.count(); !absent {
		o.Printers = make([]exposure.Printer, n)
		for i := range o.Printers {
			o.Printers[i] = j.printer(o.Observed)
		}
	}
	if len(j.stable.Rest)+len(j.moving.Rest) > 0 {
		return ErrTorn
	}
	return cmp.Or(j.stable.Err, j.moving.Err)
}

func (j *joiner) times(o *exposure.Observation) (broken map[int]string, tlsError string) {
	var later, far, reason, errors, tls bool
	j.moving.Bits(&later, &far, &reason, &errors, &tls)
	o.Received = o.Observed
	if far {
		o.Received = j.moving.time()
	} else if later {
		o.Received = o.Observed.Add(time.Duration(j.moving.Int()))
	}
	if reason {
		o.Reason = j.moving.text()
	}
	if errors {
		broken = make(map[int]string)
		n, _ := j.moving.count()
		for range n {
			i := j.moving.Uint()
			broken[int(i)] = j.moving.text()
		}
	}
	if tls {
		tlsError = j.moving.text()
	}
	return broken, tlsError
}

func (j *joiner) http() *exposure.HTTP {
	h := &exposure.HTTP{Status: int(j.stable.Int()), Server: j.stable.Str()}
	if n, absent := j.stable.count(); !absent {
		h.Authenticate = make([]string, n)
		for i := range h.Authenticate {
			before, after := j.stable.Str(), j.stable.Str()
			h.Authenticate[i] = before + j.moving.text() + after
		}
	}
	h.Upgrade = j.stable.Str()
	h.ContentType = j.stable.Str()
	h.Location = j.stable.Str()
	h.Title = j.stable.Str()
	if n, absent := j.stable.count(); !absent {
		h.Pages = make(map[string]int, n)
		for range n {
			path := j.stable.Str()
			h.Pages[path] = int(j.stable.Int())
		}
	}
	return h
}

func (j *joiner) ipp(broken map[int]string) *exposure.IPP {
	p := &exposure.IPP{
		Version:  j.stable.Str(),
		Status:   exposure.StatusCode(j.stable.Uint()),
		Versions: j.stable.Strs(),
	}
	if n, absent := j.stable.count(); !absent {
		p.Exchanges = make([]exposure.Exchange, n)
		for i := range p.Exchanges {
			x := exposure.Exchange{
				Operation: j.stable.Str(),
				Path:      j.stable.Str(),
				Version:   j.stable.Str(),
				Error:     broken[i],
			}
			var hasStatus bool
			j.stable.Bits(&x.TLS, &hasStatus)
			x.HTTP = int(j.stable.Int())
			if hasStatus {
				code := exposure.StatusCode(j.stable.Uint())
				x.Status = &code
			}
			p.Exchanges[i] = x
		}
	}
	p.Lenient = j.stable.Strs()
	p.Stopped = j.stable.Str()
	return p
}

func (j *joiner) tls() *exposure.TLS {
	t := new(exposure.TLS)
	var certificate bool
	j.stable.Bits(&t.Offered, &t.Required, &certificate)
	t.Version = j.stable.Str()
	t.Cipher = j.stable.Str()
	if certificate {
		t.Certificate = &exposure.Certificate{
			SHA256:    j.stable.Str(),
			Subject:   j.stable.Str(),
			Issuer:    j.stable.Str(),
			Names:     j.stable.Strs(),
			NotBefore: j.stable.time(),
			NotAfter:  j.stable.time(),
			Key:       j.stable.Str(),
			KeyBits:   int(j.stable.Int()),
			Signature: j.stable.Str(),
		}
		j.stable.Bits(&t.Certificate.SelfSigned)
	}
	return t
}

func (j *joiner) callback() *exposure.Callback {
	c := new(exposure.Callback)
	if err := c.From.UnmarshalBinary([]byte(j.stable.Str())); err != nil {
		j.stable.fail()
	}
	c.UserAgent = j.stable.Str()
	c.Asked = int(j.stable.Int())
	c.Queue = j.stable.Str()
	j.moving.Bits(&c.Late)
	c.Posts = int(j.moving.Int())
	c.Connections = int(j.moving.Int())
	c.After = time.Duration(j.moving.Int())
	c.BytesIn = int(j.moving.Int())
	c.BytesOut = int(j.moving.Int())
	c.RatioApp = math.Float64frombits(j.moving.Uint())
	c.RatioIP = math.Float64frombits(j.moving.Uint())
	return c
}

func (j *joiner) feed() *exposure.FeedRow {
	f := &exposure.FeedRow{Type: j.stable.Str()}
	if n, absent := j.stable.count(); !absent {
		f.Columns = make(map[string]string, n)
		for range n {
			name := j.stable.Str()
			f.Columns[name] = j.stable.Str()
		}
	}
	return f
}

func (j *joiner) printer(observed time.Time) exposure.Printer {
	n, absent := j.stable.count()
	if absent {
		return exposure.Printer{}
	}
	p := exposure.Printer{Attributes: make(map[string][]string, n)}
	for range n {
		name := j.stable.Str()
		p.Attributes[name] = j.values(motion(j.stable.Uint()), observed)
	}
	return p
}

func (j *joiner) values(how motion, observed time.Time) []string {
	var n int
	var absent bool
	switch how {
	case still:
		return j.stable.Strs()
	case number, date:
		n, absent = j.stable.count()
	case word:
		n, absent = j.stable.countOf(&j.moving)
	case list:
		n, absent = j.moving.count()
	default:
		j.stable.fail()
	}
	if absent || j.stable.Err != nil {
		return nil
	}
	values := make([]string, n)
	for i := range values {
		switch how {
		case number:
			values[i] = joinNumbers(&j.stable, &j.moving)
		case date:
			values[i] = joinDate(&j.stable, &j.moving, observed)
		default:
			values[i] = j.moving.text()
		}
	}
	return values
}
