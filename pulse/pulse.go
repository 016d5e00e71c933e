// Package pulse tells machines how the daemon is: metrics for Prometheus, and
// whether it is alive and ready.
package pulse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Server answers for the daemon. New is inert.
type Server struct {
	Metrics *Metrics
	// Ready returns what keeps the daemon from its work, a sentence each.
	Ready func(ctx context.Context) []string
	Log   *slog.Logger
}

// patience bounds each answer.
const patience = 10 * time.Second

// readiness is the answer of /readyz.
type readiness struct {
	Ready    bool     `json:"ready"`
	Problems []string `json:"problems"`
}

// Handler answers /metrics, /healthz (the process runs) and /readyz (it can work).
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Metrics.registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{s.Log}, ErrorHandling: promhttp.ContinueOnError, Timeout: patience, MaxRequestsInFlight: 4,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("alive\n")) // who asks may have gone
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		problems := s.Ready(ctx)
		w.Header().Set("Content-Type", "application/json")
		if len(problems) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			problems = []string{}
		}
		_ = json.NewEncoder(w).Encode(readiness{len(problems) == 0, problems}) // as above
	})
	return mux
}

// Run answers on the listener until the context ends.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: 2 * patience,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(ending) // what is still asked then is not answered
		close(stopped)
	})()
	err := server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return fmt.Errorf("serve metrics at %s: %w", l.Addr(), err)
}

type scrapeLog struct{ *slog.Logger }

func (l scrapeLog) Println(v ...any) { l.Warn("scrape", "err", fmt.Sprint(v...)) }
