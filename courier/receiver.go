package courier

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"ippwatch/exposure"
)

// An Archive keeps what sensors heard; package archive does.
type Archive interface {
	AppendVisits(ctx context.Context, visits []exposure.Visit) (added int, err error)
	AppendCensuses(ctx context.Context, censuses []exposure.Census) (added int, err error)
}

// A Receiver takes parcels of sensors, each known by its certificate.
type Receiver struct {
	Archive Archive
	// Where is where an address is and whose; nil knows nothing.
	Where func(netip.Addr) exposure.Where
	Now   func() time.Time
	Log   *slog.Logger
	// Heard is told of each parcel; it may be nil.
	Heard func(sensor string, r Receipt)

	open atomic.Int32 // parcels
}

// Bounds of a parcel. A sensor may have been taken over by a stranger.
const (
	maxPacked   = 16 << 20
	maxUnpacked = 64 << 20
	maxLine     = 1 << 20
	maxEvents   = 20_000
	maxOpen     = 8 // at once: each may be maxUnpacked
	oldest      = 400 * 24 * time.Hour
	future      = 48 * time.Hour
)

// Run receives until the context ends.
func (r *Receiver) Run(ctx context.Context, l net.Listener, k Keys) error {
	own, pool, err := k.load()
	if err != nil {
		return errors.Join(fmt.Errorf("receive: %w", err), l.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+Path, r)
	server := &http.Server{
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13},
		// A day's outage is taken in in many parcels; each is small.
		ReadTimeout: time.Minute, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    slog.NewLogLogger(r.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(l, "", "") }()
	select {
	case err := <-ended:
		return fmt.Errorf("receive: %w", err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = server.Shutdown(closing)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// SensorName is the name by which a certificate says who its owner is.
func SensorName(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	leaf := state.PeerCertificates[0]
	if leaf.Subject.CommonName != "" {
		return leaf.Subject.CommonName
	}
	if len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return ""
}

// ServeHTTP takes a parcel.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name := SensorName(req.TLS)
	if name == "" {
		http.Error(w, "the certificate has no name", http.StatusForbidden)
		return
	}
	defer r.open.Add(-1)
	if r.open.Add(1) > maxOpen {
		http.Error(w, "too many at once; try again", http.StatusServiceUnavailable)
		return
	}
	p, receipt, err := r.unpack(req, name)
	if err != nil {
		r.Log.Warn("a parcel cannot be read", "sensor", name, "err", err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// Who tells of another is told so, and tries again when its certificate is
	// right. What else is refused would never be right: the sensor goes on.
	if p.Empty() && p.alien > 0 {
		r.Log.Warn("a parcel is refused", "sensor", name, "why", receipt.Reason)
		http.Error(w, receipt.Reason, http.StatusForbidden)
		return
	}
	if receipt.Kept, err = Keep(req.Context(), r.Archive, r.Where, p); err != nil {
		r.Log.Error("a parcel cannot be kept", "sensor", name, "err", err.Error())
		http.Error(w, "it cannot be kept now", http.StatusServiceUnavailable)
		return
	}
	if receipt.Refused > 0 {
		r.Log.Warn("some events are refused", "sensor", name, "events", receipt.Refused, "why", receipt.Reason)
	}
	if r.Heard != nil {
		r.Heard(name, receipt)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(receipt) // who does not hear it sends again
}

// Keep puts a parcel into the archive, and says how much of it was new.
func Keep(ctx context.Context, a Archive, where func(netip.Addr) exposure.Where, p Parcel) (int, error) {
	if where != nil {
		for i := range p.Visits {
			p.Visits[i].Where = where(p.Visits[i].Addr)
		}
	}
	n, err := a.AppendCensuses(ctx, p.Censuses)
	if err != nil {
		return n, err
	}
	m, err := a.AppendVisits(ctx, p.Visits)
	return n + m, err
}

// unpack reads a parcel of the sensor. What is wrong with one event is no reason
// to lose the others; what is wrong with the parcel is an error.
func (r *Receiver) unpack(req *http.Request, sensor string) (p Parcel, receipt Receipt, err error) {
	var body io.Reader = http.MaxBytesReader(nil, req.Body, maxPacked)
	if req.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return p, receipt, err
		}
	}
	now := r.Now().UTC()
	limited := &io.LimitedReader{R: body, N: maxUnpacked}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if n > maxEvents {
			return p, receipt, fmt.Errorf("more than %d events", maxEvents)
		}
		if why := p.take(lines.Bytes(), sensor, now); why != "" {
			if receipt.Refused++; receipt.Refused == 1 {
				receipt.Reason = fmt.Sprintf("line %d: %s", n, why)
			}
		}
	}
	if limited.N <= 0 {
		return p, receipt, fmt.Errorf("more than %d bytes", maxUnpacked)
	}
	return p, receipt, lines.Err()
}

// classy reports whether a class can be one: a sensor may be newer than we are.
func classy(c exposure.Class) bool {
	return c != "" && len(c) <= 40 && strings.Trim(string(c), "abcdefghijklmnopqrstuvwxyz_") == ""
}

// take adds one line, or says why not.
func (p *Parcel) take(line []byte, sensor string, now time.Time) string {
	var e envelope
	if err := json.Unmarshal(line, &e); err != nil {
		return err.Error()
	}
	plausible := func(t time.Time) bool { return t.After(now.Add(-oldest)) && t.Before(now.Add(future)) }
	switch {
	case e.Visit != nil:
		v := e.Visit
		switch {
		case v.Sensor != sensor:
			p.alien++
			return fmt.Sprintf("the certificate is of %q, the event of %q", sensor, v.Sensor)
		case v.Source != exposure.Sensor || v.ID != exposure.NewVisitID(v) || !v.Addr.IsValid() || v.Feed != nil:
			return "not a visit as sensors tell it"
		case !classy(v.Class):
			return fmt.Sprintf("class %.40q", v.Class)
		case !plausible(v.Observed):
			return fmt.Sprintf("the sensor's clock is wrong: %s", v.Observed.Format(time.RFC3339))
		}
		v.Received = now
		p.Visits = append(p.Visits, *v)
	case e.Census != nil:
		c := e.Census
		switch {
		case c.Sensor != sensor:
			p.alien++
			return fmt.Sprintf("the certificate is of %q, the census of %q", sensor, c.Sensor)
		case c.ID != exposure.NewCensusID(c) || c.Class != "" && !classy(c.Class):
			return "not a census as sensors tell it"
		case !plausible(c.Began):
			return fmt.Sprintf("the sensor's clock is wrong: %s", c.Began.Format(time.RFC3339))
		}
		p.Censuses = append(p.Censuses, *c)
	default:
		return "neither a visit nor a census"
	}
	return ""
}
