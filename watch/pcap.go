package watch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/net/dns/dnsmessage"
)

// magics are how files of packets begin: pcap in both orders and both
// resolutions, and pcapng.
var magics = []string{"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x0a\x0d\x0d\x0a"}

// IsPcap reports whether a file of packets begins there.
func IsPcap(r *bufio.Reader) bool {
	head, _ := r.Peek(4)
	for _, m := range magics {
		if string(head) == m {
			return true
		}
	}
	return false
}

// Packets says what a file of packets had.
type Packets struct {
	N      int
	Other  int    // neither UDP nor TCP over IP, or not to be read
	Cut    string // why it ended before its end
	sink   Sink
	name   string
	opened map[opening]*Call
}

type opening struct{ from, to netip.AddrPort }

// mostOpenings is how many connections are followed for what the host sends.
const mostOpenings = 1 << 16

// errPanic is a packet that the library cannot take; strangers made it.
var errPanic = errors.New("a packet that cannot be decoded")

// ReadPcap reads a file of packets to its end and tells the sink.
func ReadPcap(name string, r *bufio.Reader, s Sink) (*Packets, error) {
	p := &Packets{sink: s, name: name, opened: make(map[opening]*Call)}
	head, err := r.Peek(4)
	if err != nil {
		return p, err
	}
	var source packetSource
	var link func(gopacket.CaptureInfo) layers.LinkType
	if string(head) == magics[4] {
		ng, err := openNg(&blocks{r: r})
		if err != nil {
			return p, fmt.Errorf("read pcapng: %w", err)
		}
		source = ng
		link = func(ci gopacket.CaptureInfo) layers.LinkType {
			if i, err := ng.Interface(ci.InterfaceIndex); err == nil {
				return i.LinkType
			}
			return ng.LinkType()
		}
	} else {
		old, err := pcapgo.NewReader(r)
		if err != nil {
			return p, fmt.Errorf("read pcap: %w", err)
		}
		// What the file says of itself may be anything.
		if most := old.Snaplen(); most == 0 || most > mostPacket {
			old.SetSnaplen(mostPacket)
		}
		source = old
		link = func(gopacket.CaptureInfo) layers.LinkType { return old.LinkType() }
	}
	for {
		data, ci, err := next(source)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// What was read is told; a capture that was cut off is no mistake of ours.
			p.Cut = err.Error()
			break
		}
		p.N++
		if err := p.packet(data, link(ci), ci.Timestamp.UTC()); err != nil {
			p.Other++
		}
	}
	p.close()
	return p, nil
}

type packetSource interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
}

// next reads the next packet. The library trusts a file more than we do.
func next(s packetSource) (data []byte, ci gopacket.CaptureInfo, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	return s.ReadPacketData()
}

func openNg(r io.Reader) (ng *pcapgo.NgReader, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	return pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
}

const (
	mostPacket = 256 << 10 // what tcpdump and Wireshark read at the most
	mostBlock  = 1 << 20   // of pcapng
)

var errBlock = errors.New("a block of pcapng is longer than 1 MiB")

// A blocks passes a pcapng file on, as long as its blocks have lengths that a
// file of packets has: the library takes as much memory as a block says.
type blocks struct {
	r     io.Reader
	head  [12]byte
	have  []byte // of the head, not passed on yet
	left  int64  // of the block, behind the head
	order binary.ByteOrder
}

func (b *blocks) Read(p []byte) (int, error) {
	if len(b.have) == 0 && b.left == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	if len(b.have) > 0 {
		n := copy(p, b.have)
		b.have = b.have[n:]
		return n, nil
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// next reads the head of a block: type, length, and what follows, which in the
// first of a section says in which order bytes are (pcapng, section 4.1).
func (b *blocks) next() error {
	if _, err := io.ReadFull(b.r, b.head[:]); err != nil {
		return err
	}
	if b.order == nil || string(b.head[:4]) == magics[4] {
		b.order = binary.LittleEndian
		if binary.BigEndian.Uint32(b.head[8:]) == 0x1a2b3c4d {
			b.order = binary.BigEndian
		}
	}
	n := int64(b.order.Uint32(b.head[4:]))
	if n < int64(len(b.head)) || n > mostBlock {
		return errBlock
	}
	b.have, b.left = b.head[:], n-int64(len(b.head))
	return nil
}

// packet reads one packet.
func (p *Packets) packet(data []byte, link layers.LinkType, at time.Time) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	// Of a fragment the first has the ports, and the URI stands before its end.
	g := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	network := g.NetworkLayer()
	if network == nil {
		return ErrKind
	}
	flow := network.NetworkFlow()
	src, ok1 := netip.AddrFromSlice(flow.Src().Raw())
	dst, ok2 := netip.AddrFromSlice(flow.Dst().Raw())
	if !ok1 || !ok2 {
		return ErrKind
	}
	switch t := g.TransportLayer().(type) {
	case *layers.UDP:
		p.udp(netip.AddrPortFrom(src.Unmap(), uint16(t.SrcPort)), netip.AddrPortFrom(dst.Unmap(), uint16(t.DstPort)), t.Payload, at)
		return nil
	case *layers.TCP:
		p.tcp(netip.AddrPortFrom(src.Unmap(), uint16(t.SrcPort)), netip.AddrPortFrom(dst.Unmap(), uint16(t.DstPort)), t, at)
		return nil
	}
	return ErrKind
}

func (p *Packets) where() string { return p.name + ": packet " + strconv.Itoa(p.N) }

func (p *Packets) udp(from, to netip.AddrPort, payload []byte, at time.Time) {
	switch {
	case to.Port() == 631:
		one := Packet{At: at, From: from, To: to, Where: p.where()}
		browsed(&one, payload)
		p.sink.Packet(one)
	case from.Port() == 53 || from.Port() == 5353:
		p.answer(payload)
	}
}

// answer reads the addresses in an answer of DNS. A CNAME leads to them under
// the name that was asked for.
func (p *Packets) answer(payload []byte) {
	var d dnsmessage.Parser
	head, err := d.Start(payload)
	if err != nil || !head.Response {
		return
	}
	asked := ""
	for {
		q, err := d.Question()
		if err != nil {
			break
		}
		asked = q.Name.String()
	}
	if d.SkipAllQuestions() != nil {
		return
	}
	for range 64 {
		r, err := d.Answer()
		if err != nil {
			return
		}
		var a netip.Addr
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			a = netip.AddrFrom4(body.A)
		case *dnsmessage.AAAAResource:
			a = netip.AddrFrom16(body.AAAA).Unmap()
		default:
			continue
		}
		p.sink.Name(r.Header.Name.String(), a)
		if asked != "" {
			p.sink.Name(asked, a)
		}
	}
}

// tcp follows connections from their SYN, for how much the host sends and for
// the head of a request.
func (p *Packets) tcp(from, to netip.AddrPort, t *layers.TCP, at time.Time) {
	k := opening{from, to}
	if t.SYN && !t.ACK {
		if old := p.opened[k]; old != nil {
			if t.Seq == 0 || at.Sub(old.At) < 2*time.Minute {
				return // sent again
			}
			p.sink.Call(*old)
		}
		if len(p.opened) >= mostOpenings {
			p.close()
		}
		p.opened[k] = &Call{At: at, From: from, To: to, Where: p.where()}
		return
	}
	c := p.opened[k]
	if c == nil || len(t.Payload) == 0 {
		return
	}
	c.Bytes += len(t.Payload)
	if head, ok := request(t.Payload); ok {
		head.At, head.From, head.To, head.Where = at, from, to, p.where()
		p.sink.Call(head)
	}
}

// close tells of the connections that are followed.
func (p *Packets) close() {
	for k, c := range p.opened {
		p.sink.Call(*c)
		delete(p.opened, k)
	}
}

// request reads the head of a request, if one begins there: cups-browsed sends
// it in one piece.
func request(payload []byte) (Call, bool) {
	line, rest, _ := bytes.Cut(payload, []byte("\r\n"))
	method, after, ok := strings.Cut(string(line[:min(len(line), 4096)]), " ")
	uri, proto, ok2 := strings.Cut(after, " ")
	if !ok || !ok2 || !strings.HasPrefix(proto, "HTTP/") || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return Call{}, false
	}
	c := Call{Method: method, URI: clip(uri)}
	for range 64 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, ok := strings.Cut(string(line[:min(len(line), 2*mostText)]), ":")
		if !ok {
			break
		}
		switch strings.ToLower(name) {
		case "host":
			c.Host = clip(strings.TrimSpace(value))
		case "user-agent":
			c.UserAgent = clip(strings.TrimSpace(value))
		}
	}
	return c, true
}
