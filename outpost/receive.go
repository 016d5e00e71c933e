package outpost

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/courier"
)

var errReadOnly = errors.New("the journal of a sensor is written by the sensor")

type receiveFlags struct {
	listen string
	keys   courier.Keys
}

func (h *Host) receiveCommand() *cobra.Command {
	f := &receiveFlags{}
	cmd := &cobra.Command{
		Use:   "receive",
		Short: "Take in what sensors elsewhere heard, over mutual TLS",
		Long: `Receive keeps what sensors send with --forward. A sensor is known by its certificate,
which the CA must have signed, and may tell only of itself: the name in its events is the
one in the certificate. What comes twice is kept once.`,
		Example: `  ippwatch sensor receive --listen :6310 --cert central.crt --key central.key --ca sensors-ca.crt`,
		Args:    answer.Wants(),
		RunE:    answer.Do(func(ctx context.Context, _ []string) error { return h.receive(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.listen, "listen", ":6310", "address and port, TCP")
	fl.StringVar(&f.keys.Certificate, "cert", "", "our certificate, in PEM")
	fl.StringVar(&f.keys.Key, "key", "", "its key, in PEM")
	fl.StringVar(&f.keys.CA, "ca", "", "CA by which sensors are known, in PEM")
	_ = cmd.RegisterFlagCompletionFunc("listen", cobra.NoFileCompletions)
	return cmd
}

func (h *Host) receive(ctx context.Context, f *receiveFlags) error {
	if f.keys.Certificate == "" || f.keys.Key == "" || f.keys.CA == "" {
		return answer.Hint(answer.Usage("receive needs --cert, --key and --ca"), "docs/sensor.md shows how to make them")
	}
	kept, err := h.Open(ctx)
	if err != nil {
		return err
	}
	defer kept.Close()
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return answer.Hint(err, "--listen names another address")
	}
	h.Screen.Note("sensors are heard at %s", l.Addr())
	r := &courier.Receiver{
		Archive: kept, Where: kept.Where, Now: h.Now,
		Log: slog.New(slog.NewTextHandler(&notes{h.Screen}, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
		Heard: func(sensor string, got courier.Receipt) {
			if got.Kept > 0 {
				h.Screen.Note("%s: %s kept", sensor, plural(int64(got.Kept), "event", "events"))
			}
		},
	}
	return r.Run(ctx, l, f.keys)
}
