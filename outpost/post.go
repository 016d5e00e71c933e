package outpost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/desk"
	"ippwatch/exposure"
	"ippwatch/jail"
	"ippwatch/scanners"
	"ippwatch/sensor"
	"ippwatch/sensor/class"
)

// postWord is the subcommand that hears strangers. Nobody types it.
const postWord = "post"

// A status is what the process that hears strangers says when it does, or why it
// cannot.
type status struct {
	Listens []string    `json:"listens,omitempty"`
	Persona string      `json:"persona,omitempty"`
	Buffer  int         `json:"buffer,omitempty"`
	Blind   bool        `json:"blind,omitempty"` // what the kernel drops is not known
	Jail    jail.Report `json:"jail"`
	Error   string      `json:"error,omitempty"`
	Hint    string      `json:"hint,omitempty"`
}

func (h *Host) postCommand() *cobra.Command {
	return &cobra.Command{
		Use: postWord, Short: "Hear strangers for a sensor, as it says on stdin", Hidden: true, Args: answer.Wants(),
		RunE: answer.Do(func(ctx context.Context, _ []string) error { return h.post(ctx, os.Stdin) }),
	}
}

// post hears until the context ends, or whoever started it is gone: then stdin
// ends.
func (h *Host) post(ctx context.Context, stdin io.Reader) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return answer.Hint(answer.Usage("%s is started by ippwatch sensor", postWord), "ippwatch sensor --help")
	}
	var o orders
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // it ends when they do
		cancel()
	}()
	p := &post{orders: o, out: json.NewEncoder(h.Screen.Out), log: slog.New(slog.NewTextHandler(h.Screen.Err, nil))}
	if err := p.run(ctx); err != nil {
		return p.out.Encode(status{Error: err.Error(), Hint: p.hint})
	}
	return nil
}

// A post is the process that hears strangers.
type post struct {
	orders
	out  *json.Encoder
	log  *slog.Logger
	hint string
}

func (p *post) run(ctx context.Context) error {
	table, err := scanners.Embedded()
	if err != nil {
		return err
	}
	led := &ledger{log: p.log}
	s := sensor.New(sensor.Options{
		Name: p.Name, Judge: &class.Judge{Scanners: table, Own: p.Own}, Tell: led.tell, Count: led.count, Health: led.health,
		Log: p.log, Detail: p.Detail, Workers: p.Workers, Buffer: p.Buffer,
	})
	if err := p.listenUDP(ctx, s); err != nil {
		return err
	}
	defer s.Close()
	doors, err := p.listenTCP(ctx, s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	// From here on its directory is all that it knows: whom it becomes may not
	// reach it from above.
	if err := os.Chdir(p.Dir); err != nil {
		return err
	}
	front, err := p.front(table, s.Hear)
	if err != nil {
		return err
	}
	taken, err := jail.Enter(jail.Options{User: p.User, Writable: "."})
	if err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	if err := led.open(".", p.Keep); err != nil {
		return err
	}
	defer led.close()
	told := status{Buffer: s.Buffer(), Blind: s.Blind(), Jail: taken}
	for _, at := range s.Listens() {
		told.Listens = append(told.Listens, at.String()+"/udp")
	}
	for _, l := range doors {
		told.Listens = append(told.Listens, l.Addr().String()+"/tcp")
	}
	var serving sync.WaitGroup
	errs := make([]error, len(doors)+1)
	if front != nil {
		told.Persona = front.Face.Name()
		if front.Spool, err = desk.OpenSpool("spool", desk.Caps{}, time.Now); err != nil {
			return err
		}
		d, err := desk.New(*front)
		if err != nil {
			return err
		}
		led.refused = func() int64 { return int64(min(d.Counts().Refused, math.MaxInt64)) }
		for i, l := range doors {
			serving.Go(func() { errs[i] = d.Run(ctx, l) })
		}
	}
	if err := p.out.Encode(told); err != nil {
		return err
	}
	errs[len(doors)] = s.Run(ctx)
	serving.Wait()
	return errors.Join(errs...)
}

// front is what is played over TCP, nil for nothing.
func (p *post) front(table *scanners.Table, seen func(exposure.Visit)) (*desk.Options, error) {
	if p.Persona == "none" {
		return nil, nil //nolint:nilnil // nothing is played
	}
	face := desk.Choose(p.Seed, time.Now())
	if p.Persona != "auto" {
		face = desk.ChooseKind(p.Persona, p.Seed, time.Now())
	}
	cert, err := desk.OpenCertificate("desk-tls.pem", face)
	if err != nil {
		return nil, err
	}
	return &desk.Options{
		Face: face, Sensor: p.Name, Certificate: cert, Log: p.log,
		Seen: func(v exposure.Visit) {
			v.Persona = face.Name()
			seen(v)
		},
		Scanners: func(a netip.Addr) []exposure.Scanner {
			e, ok := table.Lookup(a)
			if !ok {
				return nil
			}
			return []exposure.Scanner{{Name: e.Name, Of: "source", List: e.List.Name, Date: e.List.Date}}
		},
	}, nil
}

// listenUDP opens the sockets. A machine without IPv6 has none to hear when all
// addresses were meant.
func (p *post) listenUDP(ctx context.Context, s *sensor.Sensor) error {
	for _, at := range p.Listen {
		err := s.Listen(ctx, []netip.AddrPort{at})
		switch {
		case err == nil:
		case at.Addr() == netip.IPv6Unspecified() && noIPv6(err):
			p.log.Warn("this machine has no IPv6")
		default:
			p.hint = whyNot(err)
			return err
		}
	}
	return nil
}

// listenTCP opens the doors of the print service, at the ports that UDP has: a
// port of 0 was chosen by then.
func (p *post) listenTCP(ctx context.Context, s *sensor.Sensor) ([]net.Listener, error) {
	if p.Persona == "none" {
		return nil, nil
	}
	var doors []net.Listener
	for _, at := range s.Listens() {
		network := "tcp4"
		if at.Addr().Is6() {
			network = "tcp6"
		}
		var cfg net.ListenConfig
		l, err := cfg.Listen(ctx, network, at.String())
		if err != nil {
			for _, open := range doors {
				_ = open.Close()
			}
			p.hint = whyNot(err) + "; --persona none hears UDP alone"
			return nil, fmt.Errorf("listen at %s/tcp: %w", at, err)
		}
		doors = append(doors, l)
	}
	return doors, nil
}
