package persona

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ippwatch/desk"
	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// A Farm is one socket that answers for every loopback address: twenty thousand
// hosts for a benchmark, each an open CUPS with one queue and a UUID of its own.
// It answers CUPS-Get-Printers and Get-Printer-Attributes with about 9 kB,
// everything else with 0x0501 or an empty page, and works as little as it can.
type Farm struct {
	listener *net.TCPListener
	forsake  func() bool
	answered atomic.Uint64
	running  sync.WaitGroup
	hands    sync.Pool // of *farmhand

	queue farmAnswer
	other farmAnswer

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// A farmAnswer is a whole answer in which only request-id and UUID change.
type farmAnswer struct {
	bytes []byte
	id    int // offset of the request-id
	uuid  int // offset of the last twelve digits of the UUID; 0: none
}

const (
	farmIdle    = 30 * time.Second
	farmBuffer  = 4 << 10
	farmPattern = "a1b2c3d4e5f6" // stands for the twelve digits
)

// OpenFarm starts a farm at the port of every loopback address of IPv4; 0 takes
// a free one. Connections to other addresses of this machine are closed at once.
func OpenFarm(ctx context.Context, port uint16) (*Farm, error) {
	queue, err := farmQueue()
	if err != nil {
		return nil, fmt.Errorf("open farm: %w", err)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", net.JoinHostPort("0.0.0.0", strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("open farm: %w", err)
	}
	f := &Farm{listener: l.(*net.TCPListener), queue: queue, other: farmRefusal(), conns: make(map[net.Conn]struct{})}
	f.running.Go(f.accept)
	f.forsake = context.AfterFunc(ctx, f.shut)
	return f, nil
}

// Port is where it listens.
func (f *Farm) Port() uint16 { return uint16(f.listener.Addr().(*net.TCPAddr).Port) }

// Answered counts the IPP answers that were sent.
func (f *Farm) Answered() uint64 { return f.answered.Load() }

// Close stops the farm and returns when every connection has ended.
func (f *Farm) Close() {
	f.forsake()
	f.shut()
	f.running.Wait()
}

func (f *Farm) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	_ = f.listener.Close() // may be closed already
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *Farm) accept() {
	for {
		c, err := f.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors: let some go
			continue
		}
		self := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		f.mu.Lock()
		if f.closed || !self.IsLoopback() {
			f.mu.Unlock()
			_ = c.Close()
			continue
		}
		f.conns[c] = struct{}{}
		f.mu.Unlock()
		f.running.Go(func() {
			f.converse(c, self)
			_ = c.Close()
			f.mu.Lock()
			delete(f.conns, c)
			f.mu.Unlock()
		})
	}
}

// A farmhand is what one connection needs, reused by the next.
type farmhand struct {
	r   *bufio.Reader
	out []byte
}

// converse answers requests until the client leaves.
func (f *Farm) converse(c net.Conn, self netip.Addr) {
	hand, ok := f.hands.Get().(*farmhand)
	if !ok {
		hand = &farmhand{r: bufio.NewReaderSize(nil, farmBuffer)}
	}
	defer f.hands.Put(hand)
	hand.r.Reset(c)
	defer hand.r.Reset(nil)
	for {
		if c.SetDeadline(time.Now().Add(farmIdle)) != nil {
			return
		}
		// Offers no TLS: a handshake is refused at once. Read as a request it
		// would never end.
		if first, err := hand.r.Peek(1); err != nil || first[0] == 0x16 { // RFC 8446, section 5.1
			return
		}
		ask, err := readFarmRequest(hand.r)
		if err != nil {
			return
		}
		if !ask.post {
			hand.out = append(hand.out[:0], "HTTP/1.1 200 OK\r\nServer: CUPS/2.4 IPP/2.1 ("+exposure.SimulatedMark+")\r\nContent-Length: 0\r\n\r\n"...)
		} else {
			from := &f.other
			if ask.op == ipp.CUPSGetPrinters || ask.op == ipp.GetPrinterAttributes {
				from = &f.queue
			}
			hand.out = from.append(hand.out[:0], ask.id, self)
			f.answered.Add(1)
		}
		if _, err := c.Write(hand.out); err != nil || ask.last {
			return
		}
	}
}

// A farmRequest is what the farm reads of a request.
type farmRequest struct {
	post, last bool
	op         ipp.Operation
	id         uint32
}

var errFarm = errors.New("not a request")

// readFarmRequest reads a head of at most 4 kB and skips the body.
func readFarmRequest(r *bufio.Reader) (farmRequest, error) {
	var q farmRequest
	length := 0
	for line := 0; ; line++ {
		text, err := r.ReadSlice('\n')
		if err != nil || line > 64 {
			return q, errors.Join(err, errFarm)
		}
		text = bytes.TrimRight(text, "\r\n")
		if line == 0 {
			q.post = bytes.HasPrefix(text, []byte("POST "))
			continue
		}
		if len(text) == 0 {
			break
		}
		name, value, _ := bytes.Cut(text, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 || length > maxRequest {
				return q, errFarm
			}
		case bytes.EqualFold(name, []byte("Connection")):
			q.last = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return q, errFarm
		}
	}
	if q.post {
		head, err := r.Peek(8)
		if err != nil || length < 8 {
			return q, errors.Join(err, errFarm)
		}
		q.op, q.id = ipp.Operation(binary.BigEndian.Uint16(head[2:])), binary.BigEndian.Uint32(head[4:])
	}
	_, err := io.CopyN(io.Discard, r, int64(length))
	return q, err
}

// append writes the answer for one request of one host.
func (a *farmAnswer) append(dst []byte, id uint32, self netip.Addr) []byte {
	dst = append(dst, a.bytes...)
	binary.BigEndian.PutUint32(dst[a.id:], id)
	if a.uuid > 0 {
		b := self.As4()
		const digits = "0123456789abcdef"
		for i, c := range b {
			dst[a.uuid+2*i], dst[a.uuid+2*i+1] = digits[c>>4], digits[c&15]
		}
	}
	return dst
}

// farmQueue is the answer with the queue.
func farmQueue() (farmAnswer, error) {
	now := time.Now()
	clerk, err := desk.CUPS{
		Version: "2.4.2", Queues: []desk.Queue{{Name: "office", Info: "Office", Location: "Room 301", Device: "socket://192.0.2.9:9100", Model: "Hartwell LaserJot 400 PCL"}},
		Life: desk.Life{Started: now, Made: now, UUID: func(string) string { return "2c981a3c-827b-50cf-982b-" + farmPattern }},
	}.Clerk()
	if err != nil {
		return farmAnswer{}, err
	}
	m := ipp.Parse(ipp.Request{Operation: ipp.CUPSGetPrinters, Version: ipp.Version20, ID: 1}.Append(nil), ipp.Limits{})
	return farmMessage(clerk.Answer(&desk.Request{Message: &m, Host: "localhost", Now: now})), nil
}

// farmRefusal is the answer to anything else.
func farmRefusal() farmAnswer {
	return farmMessage(desk.Answer{Message: ipp.Message{Version: ipp.Version20, Code: uint16(ipp.StatusOperationUnknown), RequestID: 1}})
}

func farmMessage(m desk.Answer) farmAnswer {
	body := m.Append(nil)
	whole := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Language: en\r\nContent-Length: %d\r\nContent-Type: application/ipp\r\n"+
		"Server: CUPS/2.4 IPP/2.1 (%s)\r\n\r\n", len(body), exposure.SimulatedMark)
	a := farmAnswer{id: len(whole) + 4}
	a.bytes = append(whole, body...)
	if i := bytes.Index(a.bytes, []byte(farmPattern)); i > 0 {
		a.uuid = i
	}
	return a
}
