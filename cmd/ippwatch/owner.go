package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/notify"
	"ippwatch/outreach"
	"ippwatch/owner"
	"ippwatch/screen"
	"ippwatch/verify"
	"ippwatch/web"
)

// addOwner adds the pages of the links in mails.
func (s *street) addOwner(site *web.Site, h *house, g *gate.Gate) error {
	words, err := texts(s.config.Outreach.Template)
	if err != nil {
		return err
	}
	return owner.Add(site, owner.Options{
		Store: h.store, Tracker: h.tracker(), Registry: h.people, Texts: words, Sender: s.config.Outreach.Sender,
		Office: func(ctx context.Context, mail bool) (*outreach.Office, error) {
			return s.ownerOffice(ctx, h, mail)
		},
		Observed: func(ctx context.Context, v access.View, e exposure.Exposure) (exposure.Observation, bool, error) {
			row, ok, err := h.observe(ctx, v, e)
			return row.Observation, ok, err
		},
		Check: func(ctx context.Context, cases []exposure.Exposure) ([]verify.Result, error) {
			return s.checkAgain(ctx, h, g.Log, cases)
		},
		Opened: s.optOuts(g.Log), Limits: owner.Limits(s.config.Web.Checks), Now: s.now, Log: g.Log,
	})
}

// ownerOffice is an office that knows whose cases are at this moment; with mail,
// it can send.
func (s *street) ownerOffice(ctx context.Context, h *house, mail bool) (*outreach.Office, error) {
	o := &outreach.Office{Store: h.store, Tracker: h.tracker(), Rules: &s.config.Outreach, View: s.view(), Now: s.now, Pages: s.pages(), Texts: reading()}
	var err error
	if o.Directory, err = h.people.Directory(ctx, s.view()); err != nil {
		return nil, err
	}
	if o.Statuses, err = h.people.Statuses(ctx, s.view()); err != nil || !mail {
		return o, err
	}
	o.Writer, o.Mailer, err = s.config.Letters().Open(os.Getenv)
	return o, err
}

// optOuts returns the mail whose opt-out a token is. The secret is read each time:
// it may come when the daemon runs already.
func (s *street) optOuts(log *slog.Logger) func(token string) (string, bool) {
	return func(token string) (string, bool) {
		if s.config.Mail.Host == "" {
			return "", false
		}
		w, _, err := s.config.Letters().Open(os.Getenv)
		if err != nil {
			log.Error("an opt-out cannot be read", "err", err.Error())
			return "", false
		}
		id, ok := w.Secret.Open(notify.ForUnsubscribe, token)
		return string(id), ok
	}
}

// checkAgain looks at the cases of one door as ippwatch verify does, with what
// the configuration says: within the scope, at our pace, with a control.
func (s *street) checkAgain(ctx context.Context, h *house, log *slog.Logger, cases []exposure.Exposure) ([]verify.Result, error) {
	inner := *s
	inner.in, inner.elsewhere, inner.configured = strings.NewReader(""), true, false
	inner.Screen = screen.Screen{Out: io.Discard, Format: "ndjson", Err: logLines{func(line string) { log.Info(line) }}}
	cmd, f := inner.newVerifyCommand()
	if err := inner.setDefaults("verify", cmd.Flags()); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return inner.verifyCases(ctx, h, f, cases, true)
}
