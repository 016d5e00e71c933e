package outpost

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"ippwatch/answer"
	"ippwatch/courier"
	"ippwatch/exposure"
	"ippwatch/jail"
	"ippwatch/journal"
	"ippwatch/screen"
	"ippwatch/soc"
)

const (
	patience = 10 * time.Second // for the other process to end, and for what is left to be delivered
	glance   = 200 * time.Millisecond
	// slowReader is how long whoever reads our output may take for the rest.
	slowReader = 3 * time.Second
)

var errSlowReader = errors.New("not all was shown: whoever reads our output does not go on; all of it is kept, see ippwatch sensor report")

// liveFormats are those in which events can be followed.
var liveFormats = []string{"table", "ndjson"}

// run runs a sensor: this process keeps, shows and forwards; the other one hears.
func (h *Host) run(ctx context.Context, f *flags) error {
	o, err := f.orders(h)
	if err != nil {
		return err
	}
	if format := h.Screen.Format; format != "table" && format != "ndjson" {
		return answer.Usage("--format %q: want %s; ippwatch sensor report has others", format, strings.Join(liveFormats, ", "))
	}
	if err := h.furnish(&o); err != nil {
		return err
	}
	free, err := lock(filepath.Join(h.outer(), "lock"))
	if err != nil {
		return answer.Hint(fmt.Errorf("use %s: %w", h.outer(), err), "another sensor uses it; each has a --data of its own, or one sensor listens at several addresses")
	}
	defer free()
	couriers, done, err := h.couriers(ctx, f)
	if err != nil {
		return err
	}
	defer done()
	view, err := h.newView(o.Dir)
	if err != nil {
		return err
	}
	p, err := h.startPost(o)
	if err != nil {
		return err
	}
	if err := jail.Shrink(); err != nil {
		h.Screen.Note("cannot give up privileges: %s", screen.Printable(err.Error()))
	}
	stop := context.AfterFunc(ctx, func() {
		h.tellSystemd(daemon.SdNotifyStopping)
		p.dismiss()
	})
	defer stop()
	if err := h.announce(p, &o, f); err != nil {
		return err
	}

	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	viewed := make(chan error, 1)
	go func() {
		err := view.run(working)
		if err != nil {
			p.dismiss() // nobody reads us any more
		}
		viewed <- errors.Join(err, view.rest())
	}()
	var work sync.WaitGroup
	for _, c := range couriers {
		work.Go(func() {
			if err := c.Run(working); err != nil {
				h.Screen.Note("%s", screen.Printable(err.Error()))
			}
		})
	}
	died := p.wait()
	end()
	work.Wait()
	h.drain(couriers)
	var shown error
	select {
	case shown = <-viewed:
	case <-time.After(slowReader):
		// Whoever reads our output has stopped to. All of it is on the disk.
		shown = errSlowReader
	}
	if died != nil && ctx.Err() == nil {
		return errors.Join(fmt.Errorf("the process that hears strangers ended: %w", died), shown)
	}
	return shown
}

// furnish makes the directories, and a seed that stays.
func (h *Host) furnish(o *orders) error {
	for _, dir := range []string{h.outer(), h.inner()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return answer.Hint(err, "name a directory of yours with --data")
		}
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil || o.Seed != "" {
		return err
	}
	file := filepath.Join(h.outer(), "seed")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		var b [16]byte
		_, _ = rand.Read(b[:]) // it never fails
		text = []byte(hex.EncodeToString(b[:]) + "\n")
		err = os.WriteFile(file, text, 0o600)
	}
	o.Seed = strings.TrimSpace(string(text))
	return err
}

// couriers are who carries events away: to a central ippwatch, or to the archive
// beside the sensor, if this program has one.
func (h *Host) couriers(ctx context.Context, f *flags) (all []*courier.Courier, done func(), err error) {
	log := slog.New(slog.NewTextHandler(&notes{h.Screen}, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	add := func(name string, deliver func(context.Context, courier.Parcel) error) {
		all = append(all, &courier.Courier{Dir: h.inner(), Cursor: filepath.Join(h.outer(), name), Deliver: deliver, Log: log})
	}
	if f.forward != "" {
		r, err := courier.NewRemote(f.forward, f.keys)
		if err != nil {
			return nil, nil, answer.Usage("%v", err)
		}
		r.Log = log
		add("forwarded.json", r.Deliver)
		return all, func() {}, nil
	}
	if h.Open == nil {
		return nil, func() {}, nil
	}
	kept, err := h.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	add("archived.json", func(ctx context.Context, p courier.Parcel) error {
		_, err := courier.Keep(ctx, kept, kept.Where, p)
		return err
	})
	return all, func() {
		if err := kept.Close(); err != nil {
			h.Screen.Note("%s", screen.Printable(err.Error()))
		}
	}, nil
}

// drain delivers what is left, for a while: the rest is delivered when the
// sensor runs again.
func (h *Host) drain(couriers []*courier.Courier) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range couriers {
		if err := c.Drain(ctx); err != nil {
			h.Screen.Note("not all is delivered; the rest goes when the sensor runs again: %s", screen.Printable(err.Error()))
		}
	}
}

// tellSystemd tells the manager of the service how we are, if there is one.
func (h *Host) tellSystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		h.Screen.Note("cannot tell systemd: %s", screen.Printable(err.Error()))
	}
}

// notes turns a log into notes.
type notes struct{ screen *screen.Screen }

func (n *notes) Write(b []byte) (int, error) {
	n.screen.Note("%s", screen.Printable(strings.TrimSpace(string(b))))
	return len(b), nil
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// A process is the one that hears strangers.
type process struct {
	cmd    *exec.Cmd
	leash  *os.File // it ends when this is closed
	out    *bufio.Reader
	ended  chan error
	closed sync.Once
}

// startPost starts it.
func (h *Host) startPost(o orders) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// Not CommandContext: it is told to end, and writes down what it has.
	cmd := exec.Command(self, "sensor", postWord) //nolint:noctx // as above
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stderr = theirs, h.Screen.Err
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the process that hears strangers: %w", err), ours.Close())
	}
	p := &process{cmd: cmd, leash: ours, out: bufio.NewReader(out), ended: make(chan error, 1)}
	if err := json.NewEncoder(ours).Encode(o); err != nil {
		p.dismiss()
		return nil, errors.Join(fmt.Errorf("tell the process that hears strangers what to do: %w", err), p.wait())
	}
	return p, nil
}

// dismiss tells it to end.
func (p *process) dismiss() { p.closed.Do(func() { _ = p.leash.Close() }) }

// wait waits for its end; when it was dismissed, not for ever.
func (p *process) wait() error {
	go func() {
		_, _ = p.out.WriteTo(discard{})
		p.ended <- p.cmd.Wait()
	}()
	defer p.dismiss()
	return <-p.ended
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// announce says what is heard, and what was given up, or why nothing is.
func (h *Host) announce(p *process, o *orders, f *flags) error {
	line, err := p.out.ReadBytes('\n')
	var s status
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		p.dismiss()
		return errors.Join(errors.New("the process that hears strangers did not begin"), p.wait())
	}
	if s.Error != "" {
		p.dismiss()
		_ = p.wait() // it has said why
		err := errors.New(s.Error)
		if s.Hint != "" {
			return answer.Hint(err, "%s", s.Hint)
		}
		return err
	}
	note := h.Screen.Note
	note("sensor %s listens at %s", o.Name, strings.Join(s.Listens, ", "))
	if s.Persona != "" {
		note("over TCP it plays %s", s.Persona)
	}
	if len(s.Jail.Taken) > 0 {
		note("the process that hears strangers gave up: %s", strings.Join(s.Jail.Taken, "; "))
	}
	if len(s.Jail.Missing) > 0 {
		note("it keeps, because this system cannot take it: %s", strings.Join(s.Jail.Missing, "; "))
	}
	if want := 2 * o.Buffer; s.Buffer > 0 && s.Buffer < want {
		note("the kernel holds %d kB for each socket, not %d; sysctl net.core.rmem_max=%d allows it", s.Buffer/1024, want/1024, want)
	}
	if s.Blind {
		note("this system does not tell how many packets it drops: no loss is shown where there may be some")
	}
	where := "kept below " + h.outer()
	if f.forward != "" {
		where += " and forwarded to " + f.forward
	}
	note("events are %s", where)
	h.tellSystemd(daemon.SdNotifyReady)
	return nil
}

// A view shows events as they come. It reads them from the disk, so that a slow
// reader of ours makes nobody wait who hears strangers.
type view struct {
	h      *Host
	visits journal.Reader
	counts journal.Reader
}

// newView begins behind what is there already.
func (h *Host) newView(dir string) (*view, error) {
	v := &view{h: h, visits: journal.Reader{Dir: dir, Name: courier.Visits}, counts: journal.Reader{Dir: dir, Name: courier.Counts}}
	var err error
	if v.visits.At, err = journal.End(dir, courier.Visits); err != nil {
		return nil, err
	}
	v.counts.At, err = journal.End(dir, courier.Counts)
	return v, err
}

func (v *view) run(ctx context.Context) error {
	t := time.NewTicker(glance)
	defer t.Stop()
	for {
		if _, err := v.show(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// rest shows what is left.
func (v *view) rest() error {
	for {
		n, err := v.show(context.Background())
		if err != nil || n == 0 {
			return err
		}
	}
}

// show shows what has come, and says how much it was.
func (v *view) show(ctx context.Context) (n int, err error) {
	lost := v.visits.Lost
	for ctx.Err() == nil {
		lines, err := v.visits.Read(100)
		if err != nil {
			return n, err
		}
		if more := v.visits.Lost - lost; more > 0 {
			v.h.Screen.Note("%s not shown: removed before they could be", plural(more, "visit was", "visits were"))
			lost = v.visits.Lost
		}
		for _, line := range lines {
			if err := v.line(line); err != nil {
				return n, err
			}
		}
		n += len(lines)
		if len(lines) == 0 {
			break
		}
	}
	return n, v.losses()
}

// line shows one visit.
func (v *view) line(line []byte) error {
	var visit exposure.Visit
	if err := json.Unmarshal(line, &visit); err != nil {
		v.h.Screen.Note("a visit in the journal cannot be read: %s", screen.Printable(err.Error()))
		return nil
	}
	if v.h.Screen.Format == "ndjson" {
		b, err := soc.NDJSON(visit, soc.Options{})
		if err != nil {
			return err
		}
		_, err = v.h.Screen.Machine().Write(append(b, '\n'))
		return err
	}
	_, err := fmt.Fprintln(v.h.Screen.Out, brief(&visit))
	return err
}

// brief is a visit as a line for people.
func brief(v *exposure.Visit) string {
	what := ""
	switch {
	case v.Callback != nil:
		what = fmt.Sprintf("call %s (%s)", screen.Clip(v.Callback.URL, 60), v.Callback.Relation)
	case v.Print != nil && v.Print.Operation != "":
		what = v.Print.Operation
	case v.Method != "":
		what = v.Method + " " + v.URL
	case len(v.Evidence) > 0:
		what = v.Evidence[0]
	}
	text := fmt.Sprintf("%s  %-6s  %-21s  %s -> %s  %s", screen.Stamp(v.Observed), v.Severity, v.Class, netip.AddrPortFrom(v.Addr, v.Port), netip.AddrPortFrom(v.Dst, v.Door), what)
	if v.Count > 1 {
		text += fmt.Sprintf("  x%d", v.Count)
	}
	return screen.Clip(screen.Printable(text), 400)
}

// losses tells what the sensor lost: one that hides its loss lies.
func (v *view) losses() error {
	lines, err := v.counts.Read(1000)
	if err != nil {
		return err
	}
	var sum exposure.Health
	for _, line := range lines {
		var c exposure.Census
		if json.Unmarshal(line, &c) == nil && c.Health != nil {
			sum.Dropped += c.Health.Dropped
			sum.Unwritten += c.Health.Unwritten
			sum.Shed += c.Health.Shed
			sum.Refused += c.Health.Refused
		}
	}
	if sum.Dropped > 0 {
		v.h.Screen.Note("lost: the kernel dropped %s before the sensor could read", plural(sum.Dropped, "packet", "packets"))
	}
	if sum.Refused > 0 {
		v.h.Screen.Note("lost: %s refused, above the limits of the print service", plural(sum.Refused, "connection was", "connections were"))
	}
	if sum.Unwritten > 0 {
		v.h.Screen.Note("lost: the disk had no room for %s; they are counted", plural(sum.Unwritten, "visit", "visits"))
	}
	if sum.Shed > 0 {
		v.h.Screen.Note("%s removed to keep to --keep; they are counted", plural(sum.Shed, "visit was", "visits were"))
	}
	return nil
}
