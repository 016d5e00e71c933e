package archive

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"ippwatch/archive/form"
	"ippwatch/exposure"
	"ippwatch/sketch"
)

// A sheetNo is one part of a day's digest.
type sheetNo int64

// The numbers are stored and never change their meaning.
const (
	sheetAddresses     sheetNo = 1 // addresses by country
	sheetDevices       sheetNo = 2 // devices by country
	sheetPoints        sheetNo = 3 // points of the addresses by country; see sketch.Point
	sheetWideAddresses sheetNo = 4 // addresses by country, ASN, vendor and model
	sheetWideDevices   sheetNo = 5
	sheetAllAddresses  sheetNo = 6 // addresses by country alone: most questions narrow to nothing else
	sheetAllDevices    sheetNo = 7
)

// digestForm is the first number of a body.
const digestForm = 1

// A mark is a source that saw a host or a device on a day, with all tags that it
// gave it. The name of the source ends in 6 if the host has an IPv6 address.
type mark struct {
	source string
	tags   []string
}

// marks are all marks of one host or device as bytes: equal marks, equal bytes.
func marksOf(seen map[string]map[string]bool) string {
	var body form.Sink
	for _, source := range slices.Sorted(maps.Keys(seen)) {
		body.Str(source)
		body.Strs(slices.Sorted(maps.Keys(seen[source])))
	}
	return string(body)
}

func splitMarks(body string) ([]mark, error) {
	in := form.Source{Rest: body}
	var all []mark
	for len(in.Rest) > 0 {
		m := mark{in.Str(), in.Strs()}
		if in.Err != nil {
			return nil, in.Err
		}
		all = append(all, m)
	}
	return all, nil
}

// A box is what a digest counts by.
type box struct {
	marks, country string
	asn            uint32
	vendor, model  string
}

func (b box) compare(c box) int {
	return cmp.Or(cmp.Compare(b.marks, c.marks), cmp.Compare(b.country, c.country), cmp.Compare(b.asn, c.asn),
		cmp.Compare(b.vendor, c.vendor), cmp.Compare(b.model, c.model))
}

// narrow is the box without what the public does not see.
func (b box) narrow() box { return box{marks: b.marks, country: b.country} }

// A digest is the counts of one day.
type digest struct {
	addresses, devices map[box]int64
	points             map[box]map[sketch.Point]bool
	gear               map[uint64]*subject // by the hash of its uuid, until the day is whole
}

func newDigest() *digest {
	return &digest{
		addresses: make(map[box]int64), devices: make(map[box]int64),
		points: make(map[box]map[sketch.Point]bool), gear: make(map[uint64]*subject),
	}
}

// A subject is a host or a device, and what was said of it on a day.
type subject struct {
	seen          map[string]map[string]bool
	country       string
	asn           uint32
	vendor, model string
	at            [3]int64 // when country, ASN and model were said last
}

// see takes a look at the subject. Looks may come in any order: what is known
// last stands, and of one moment what sorts last.
func (s *subject) see(l *look) {
	if s.seen == nil {
		s.seen = make(map[string]map[string]bool)
	}
	tags := s.seen[l.source]
	if tags == nil {
		tags = make(map[string]bool)
		s.seen[l.source] = tags
	}
	for _, t := range l.tags {
		tags[t] = true
	}
	if c := l.where.Country; c != "" && cmp.Or(cmp.Compare(l.at, s.at[0]), cmp.Compare(c, s.country)) >= 0 {
		s.country, s.at[0] = c, l.at
	}
	if n := l.where.ASN; n != 0 && cmp.Or(cmp.Compare(l.at, s.at[1]), cmp.Compare(n, s.asn)) >= 0 {
		s.asn, s.at[1] = n, l.at
	}
	if t := l.trait; t.model+t.vendor != "" && cmp.Or(cmp.Compare(l.at, s.at[2]), cmp.Compare(t.vendor, s.vendor), cmp.Compare(t.model, s.model)) >= 0 {
		s.vendor, s.model, s.at[2] = t.vendor, t.model, l.at
	}
}

func (s *subject) box() box { return box{marksOf(s.seen), s.country, s.asn, s.vendor, s.model} }

// A look is what a rollup needs of one observation that spoke.
type look struct {
	at     int64
	from   exposure.Source
	source string // from, with a 6 for IPv6
	tags   []string
	where  exposure.Where
	trait  trait
}

// A trait is what a content says of the devices behind it.
type trait struct {
	vendor, model string
	gear          []uint64 // hashes of the uuids of its printers
}

// longestName bounds what strangers call their printers.
const longestName = 80

// traitOf keeps nothing of the memory of the observation.
func traitOf(o *exposure.Observation) trait {
	d := o.Device()
	t := trait{vendor: vendorName(d.Vendor), model: named(d.Model)}
	for _, p := range o.Printers {
		uuid := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(p.Get("printer-uuid")), "urn:uuid:"))
		if strings.Trim(uuid, "0-") == "" || uuid == "no-value" || uuid == "unknown" {
			continue
		}
		t.gear = append(t.gear, sketch.HashText(uuid))
	}
	slices.Sort(t.gear)
	t.gear = slices.Compact(t.gear)
	return t
}

// named bounds a name; its bytes are a stranger's, and text.
func named(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	for len(s) > longestName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
		if len(s) > 4*longestName { // far too long: not rune by rune
			s = strings.ToValidUTF8(s[:4*longestName], "")
		}
	}
	return strings.Clone(s)
}

// vendorNames are vendors that are written in more than one way.
var vendorNames = map[string]string{
	"hewlett-packard": "HP", "hp": "HP", "hewlett packard": "HP", "epson": "Epson", "seiko epson": "Epson", "konica minolta": "Konica Minolta",
	"toshiba": "Toshiba", "oki": "OKI", "oki data": "OKI", "brother": "Brother", "canon": "Canon", "kyocera": "Kyocera", "lexmark": "Lexmark",
	"ricoh": "Ricoh", "samsung": "Samsung", "sharp": "Sharp", "xerox": "Xerox", "zebra": "Zebra", "pantum": "Pantum", "dell": "Dell",
}

func vendorName(s string) string {
	s = named(s)
	if name, ok := vendorNames[strings.ToLower(s)]; ok {
		return name
	}
	return s
}

// host adds all looks at one address.
func (d *digest) host(hash uint64, looks []look) {
	if len(looks) == 0 {
		return
	}
	var host subject
	for i := range looks {
		l := &looks[i]
		host.see(l)
		for _, uuid := range l.trait.gear {
			device := d.gear[uuid]
			if device == nil {
				device = new(subject)
				d.gear[uuid] = device
			}
			device.see(l)
		}
	}
	b := host.box()
	d.addresses[b]++
	at := b.narrow()
	if d.points[at] == nil {
		d.points[at] = make(map[sketch.Point]bool)
	}
	d.points[at][sketch.PointOf(hash)] = true
}

// close counts the devices: one may be seen at many addresses of a day.
func (d *digest) close() {
	for _, device := range d.gear {
		d.devices[device.box()]++
	}
	d.gear = nil
}

// sheets are the bodies to keep.
func (d *digest) sheets() map[sheetNo][]byte {
	return map[sheetNo][]byte{
		sheetAddresses:     countBody(narrowed(d.addresses), false),
		sheetDevices:       countBody(narrowed(d.devices), false),
		sheetPoints:        pointBody(d.points),
		sheetWideAddresses: countBody(d.addresses, true),
		sheetWideDevices:   countBody(d.devices, true),
		sheetAllAddresses:  countBody(d.whole(d.addresses), false),
		sheetAllDevices:    countBody(d.whole(d.devices), false),
	}
}

func narrowed(wide map[box]int64) map[box]int64 {
	out := make(map[box]int64)
	for b, n := range wide {
		out[b.narrow()] += n
	}
	return out
}

// whole is the counts by country, under one mark for each source of the day.
func (d *digest) whole(wide map[box]int64) map[box]int64 {
	seen := make(map[string]map[string]bool)
	known := make(map[string]bool)
	for b := range wide {
		if known[b.marks] {
			continue
		}
		known[b.marks] = true
		all, _ := splitMarks(b.marks) // we wrote them a moment ago
		for _, m := range all {
			seen[m.source] = nil
		}
	}
	marks := marksOf(seen)
	out := make(map[box]int64)
	for b, n := range wide {
		out[box{marks: marks, country: b.country}] += n
	}
	return out
}

// byMarks writes the boxes of each set of marks as one part, so that a reader
// steps over what it was not asked for.
func byMarks(body *form.Sink, order []box, write func(part *form.Sink, b box)) {
	for i := 0; i < len(order); {
		marks := order[i].marks
		var part form.Sink
		for ; i < len(order) && order[i].marks == marks; i++ {
			write(&part, order[i])
		}
		body.Str(marks)
		body.Str(string(part))
	}
}

// A lexicon numbers the names of a body, which stand at its beginning.
type lexicon map[string]uint64

func (l lexicon) write(body *form.Sink, names map[string]bool) {
	list := slices.Sorted(maps.Keys(names))
	for i, name := range list {
		l[name] = uint64(i)
	}
	body.Strs(append([]string{}, list...))
}

// countBody writes counts.
func countBody(counts map[box]int64, wide bool) []byte {
	var body form.Sink
	body.Uint(digestForm)
	countries, devices := make(map[string]bool), make(map[string]bool)
	for b := range counts {
		countries[b.country], devices[b.vendor], devices[b.model] = true, true, true
	}
	country, device := make(lexicon), make(lexicon)
	country.write(&body, countries)
	if wide {
		device.write(&body, devices)
	}
	byMarks(&body, slices.SortedFunc(maps.Keys(counts), box.compare), func(part *form.Sink, b box) {
		part.Uint(country[b.country])
		if wide {
			part.Uint(uint64(b.asn))
			part.Uint(device[b.vendor])
			part.Uint(device[b.model])
		}
		part.Uint(uint64(counts[b]))
	})
	return body
}

// pointBody writes points, each as its distance from the one before.
func pointBody(points map[box]map[sketch.Point]bool) []byte {
	var body form.Sink
	body.Uint(digestForm)
	byMarks(&body, slices.SortedFunc(maps.Keys(points), box.compare), func(part *form.Sink, b box) {
		part.Str(b.country)
		var list form.Sink
		var before sketch.Point
		for _, p := range slices.Sorted(maps.Keys(points[b])) {
			list.Uint(uint64(p - before))
			before = p
		}
		part.Str(string(list))
	})
	return body
}

// A cellRef is a cell of a body, by the numbers of its names.
type cellRef struct {
	country       int
	asn           uint32
	vendor, model int
}

// A countReader is a body of counts on its way.
type countReader struct {
	in                 form.Source
	wide               bool
	countries, devices []string
}

func openCounts(body string, wide bool) (*countReader, error) {
	r := &countReader{in: form.Source{Rest: body}, wide: wide}
	if r.in.Uint() != digestForm || r.in.Err != nil {
		return nil, form.ErrTorn
	}
	r.countries = r.in.Strs()
	if wide {
		r.devices = r.in.Strs()
	}
	return r, r.in.Err
}

// each calls f for each count; want says whether marks are asked for, and is called
// once for each set of them.
func (r *countReader) each(want func([]mark) bool, f func(cellRef, int64)) error {
	torn := false
	err := readParts(&r.in, want, func(part *form.Source) {
		c := cellRef{country: int(min(part.Uint(), 1<<30))}
		if r.wide {
			c.asn = uint32(part.Uint())
			c.vendor, c.model = int(min(part.Uint(), 1<<30)), int(min(part.Uint(), 1<<30))
		}
		n := int64(part.Uint())
		if c.country >= len(r.countries) || r.wide && max(c.vendor, c.model) >= len(r.devices) {
			torn = true
			part.Rest = ""
			return
		}
		if part.Err == nil {
			f(c, n)
		}
	})
	if torn && err == nil {
		err = form.ErrTorn
	}
	return err
}

// readPoints adds the points of a body to the registers that to names for each
// list of them, the country's.
func readPoints(body string, want func([]mark) bool, to func(country string) []*sketch.Register) error {
	in := form.Source{Rest: body}
	if in.Uint() != digestForm || in.Err != nil {
		return form.ErrTorn
	}
	var torn error
	err := readParts(&in, want, func(part *form.Source) {
		registers, list := to(part.Str()), form.Source{Rest: part.Str()}
		var p sketch.Point
		for len(list.Rest) > 0 {
			p += sketch.Point(list.Uint())
			for _, r := range registers {
				r.Add(p)
			}
		}
		if list.Err != nil {
			torn = list.Err
		}
	})
	return errors.Join(err, torn)
}

func readParts(in *form.Source, want func([]mark) bool, one func(*form.Source)) error {
	for len(in.Rest) > 0 && in.Err == nil {
		marks := in.Str()
		part := form.Source{Rest: in.Str()}
		if in.Err != nil {
			break
		}
		all, err := splitMarks(marks)
		if err != nil {
			return err
		}
		if !want(all) {
			continue
		}
		for len(part.Rest) > 0 && part.Err == nil {
			one(&part)
		}
		if part.Err != nil {
			return part.Err
		}
	}
	return in.Err
}
