package exposure

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"
)

// A Visit is one stranger at a sensor, or what one came for. It is no exposure:
// nobody has to close anything at the address that it came from.
//
// docs/visit.schema.json describes its form in NDJSON.
type Visit struct {
	V        int       `json:"v"`
	ID       ID        `json:"id"`
	Observed time.Time `json:"time"`           // of the first packet or request; UTC
	Ended    time.Time `json:"ended,omitzero"` // of the last
	Received time.Time `json:"received"`
	Source   Source    `json:"source"`
	Sensor   string    `json:"sensor,omitempty"` // its name; of a feed, that of nobody
	Persona  string    `json:"persona,omitempty"`
	Kind     VisitKind `json:"kind"`
	// Addr is the address in the packets. Over UDP anybody can write it there;
	// of a [Reflection] it is the VICTIM's, who sent nothing at all.
	Addr      netip.Addr `json:"src"`
	Port      uint16     `json:"src_port,omitempty"`
	Spoofable bool       `json:"source_spoofable"` // true for all UDP
	Transport Transport  `json:"transport"`
	Dst       netip.Addr `json:"dst,omitzero"` // of the sensor; often withheld by who runs it
	Door      uint16     `json:"dst_port"`
	TTL       uint8      `json:"ttl,omitempty"`   // as it arrived; hop limit over IPv6
	Count     int        `json:"count,omitempty"` // packets or requests; 0 when not told
	Bytes     int64      `json:"bytes,omitempty"`

	Class    Class    `json:"class,omitempty"`
	Severity Severity `json:"severity,omitempty"`
	// Reasons are why it has its class, as stable words; Evidence says the same
	// in sentences, one for each reason.
	Reasons  []string `json:"reasons,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	// Scanners are organisations that say of themselves that they scan the
	// Internet, and list the address of the source or of the call-back.
	Scanners []Scanner `json:"scanners,omitempty"`
	Browse   *Browse   `json:"browse,omitempty"`
	// Callback is whom the packet would make a vulnerable host call; null when
	// nobody. It is never resolved, and nobody was called.
	Callback *Solicited `json:"callback"`
	Print    *Print     `json:"print,omitempty"`
	Asked    *Asked     `json:"asked,omitempty"`

	// Payload is how the first packet or request began, of PayloadBytes in all.
	Payload       []byte `json:"payload,omitempty"`
	PayloadSHA256 string `json:"payload_sha256,omitempty"` // of all of it
	PayloadBytes  int    `json:"payload_bytes,omitempty"`

	Method    string   `json:"method,omitempty"` // of HTTP
	URL       string   `json:"url,omitempty"`
	UserAgent string   `json:"user_agent,omitempty"`
	Where     Where    `json:"where"` // of Addr
	Feed      *FeedRow `json:"feed,omitempty"`
}

// A Class is what a stranger seems to want. It never says more than is known:
// the packet by which somebody checks a host and the one by which somebody
// attacks it are the same.
type Class string

// Classes of visits, over UDP but for the last four.
const (
	Solicitation  Class = "callback_solicitation" // asks a host to call somebody
	Padded        Class = "padded"                // the same, with a URI of more than 256 bytes
	KnownCheck    Class = "known_check"           // the same, with the mark of a published checker
	Research      Class = "research"              // the same, from or to a listed scanner
	NoEffect      Class = "no_effect"             // read by cups-browsed, and without effect
	Withdrawal    Class = "delete"                // withdraws a queue; nobody is called
	Unreadable    Class = "malformed"             // cups-browsed would not read it
	Enumeration   Class = "enumeration"           // asks what is there
	PrintAttempt  Class = "print_attempt"         // wants something printed
	AdminAttempt  Class = "admin_attempt"         // wants something changed
	OtherProtocol Class = "other_protocol"        // does not speak IPP
)

// Classes are all of them.
var Classes = []Class{
	Solicitation, Padded, KnownCheck, Research, NoEffect, Withdrawal, Unreadable,
	Enumeration, PrintAttempt, AdminAttempt, OtherProtocol,
}

// A Scanner is an organisation that says that it scans the Internet.
type Scanner struct {
	Name string `json:"name"`
	Of   string `json:"of"`   // "source" or "callback": whose address is listed
	List string `json:"list"` // who lists it
	Date string `json:"date"` // of the list
}

// A Browse is a packet of CUPS legacy browsing, as cups-browsed reads it.
// Strings are as received, bounded, not escaped.
type Browse struct {
	Type      uint32 `json:"type"`
	State     uint32 `json:"state"`
	URI       string `json:"uri"`
	Location  string `json:"location,omitempty"`
	Info      string `json:"info,omitempty"`
	MakeModel string `json:"make_model,omitempty"`
}

// A Solicited is whom a packet asks its receiver to call.
type Solicited struct {
	URL  string `json:"url"`  // as it stands in the packet
	Host string `json:"host"` // decoded; as it was written, never resolved
	Port uint16 `json:"port"`
	Path string `json:"path"`
	// Addr is the address, if the host is one, in whatever form a C library reads.
	Addr     netip.Addr `json:"ip,omitzero"`
	Relation Relation   `json:"relation"`
}

// A Relation is what the host of a call-back is to the sender and to us.
type Relation string

// Relations. None of them needs a name to be resolved.
const (
	ToSelf     Relation = "self"        // the address in the packet's source
	ToThird    Relation = "third_party" // another address: a victim, or the sender's second host
	ToPrivate  Relation = "private"     // an address that the Internet does not lead to
	ToLoopback Relation = "loopback"
	ToOwn      Relation = "own_net"    // within the networks that the sensor's operator calls his own
	ToName     Relation = "unresolved" // a name
)

// A Print is what a stranger asked of the print service.
type Print struct {
	Operation string     `json:"operation,omitempty"` // such as "Get-Printer-Attributes"
	Version   string     `json:"version,omitempty"`   // of IPP
	Status    StatusCode `json:"status"`              // what we answered
	Job       int        `json:"job,omitempty"`
	JobName   string     `json:"job_name,omitempty"`
	User      string     `json:"user,omitempty"`
	Document  *Document  `json:"document,omitempty"`
}

// A Document is what a stranger wanted printed. It is kept by its digest, never
// opened.
type Document struct {
	SHA256  string `json:"sha256"`
	Bytes   int64  `json:"bytes"`
	Format  string `json:"format,omitempty"`
	Partial bool   `json:"partial,omitempty"` // a cap was reached: the digest is of what was kept
	URI     string `json:"uri,omitempty"`     // where the stranger says that it is; never fetched
}

// NewVisitID returns the id of a visit at a sensor of ours: a hash of what is
// told of it, so that telling it again repeats the id.
func NewVisitID(v *Visit) ID {
	h := sha256.New()
	for _, part := range []string{
		"visit", v.Sensor, string(v.Transport), netip.AddrPortFrom(v.Addr, v.Port).String(), netip.AddrPortFrom(v.Dst, v.Door).String(),
		v.Observed.UTC().Format(time.RFC3339Nano), v.PayloadSHA256, v.Method, v.URL,
	} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Write(binary.AppendUvarint(nil, uint64(v.Count)))
	return ID(hex.EncodeToString(h.Sum(nil)[:16]))
}

// A VisitKind is what a stranger did, as far as the sensor can tell.
type VisitKind string

// Kinds of visits.
const (
	Knock      VisitKind = "knock"      // a packet to a port where nothing answers
	Request    VisitKind = "request"    // a request to a service
	Reflection VisitKind = "reflection" // a forged request, to make the sensor answer Addr, the victim
)
