package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"ippwatch/access"
	"ippwatch/answer"
	"ippwatch/api/shadowserver"
	"ippwatch/dashboard"
	"ippwatch/gate"
	"ippwatch/office"
	"ippwatch/outreach"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/plant"
	"ippwatch/rule"
	"ippwatch/web"
)

// checkWeb checks what --listen says; config checks what the file says.
func (s *street) checkWeb() error {
	var all []error
	s.config.Web.Check(func(key string, err error) { all = append(all, fmt.Errorf("web.%s: %w", key, err)) })
	if err := errors.Join(all...); err != nil {
		return answer.Misuse(err)
	}
	return nil
}

// newSite returns the door with all that is behind it.
func (s *street) newSite(h *house, log *slog.Logger) (*gate.Gate, error) {
	g, err := gate.New(gate.Options{
		Config: s.config.Web, Keeper: h.store, Now: s.now, Log: log,
		Views: func(ctx context.Context, role access.Role, constituent, who string, at time.Time) (access.View, error) {
			return h.people.View(ctx, role, constituent, who, leases(h, at), at)
		},
	})
	if err != nil {
		return nil, err
	}
	_, err = s.parts(h, g)
	return g, err
}

// parts puts the pages together. A part of the site has a line here.
func (s *street) parts(h *house, g *gate.Gate) (*web.Site, error) {
	site, err := web.New(web.Options{Store: h.store, Gate: g, Version: version(), Texts: s.config.Web.Texts, Generated: generated(s.data)})
	if err != nil {
		return nil, err
	}
	for _, add := range []func() error{
		func() error { return s.addAPI(h, site) },
		func() error {
			return dashboard.Add(site, dashboard.Options{Store: h.store, Archive: h.archive, Web: s.config.Web, Tags: rule.IDs()})
		},
		func() error {
			return shadowserver.Add(shadowserver.Options{Gate: g, Store: h.store, Archive: h.archive, People: h.people})
		},
		func() error { return s.addOwner(site, h, g) },
		func() error { return office.Add(site, s.officeOptions(h)) },
		func() (err error) { s.plant, err = plant.Add(site, s.works(h, g.Log)); return err },
	} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	return site, site.Close()
}

// officeOptions are what the pages for cases and people need.
func (s *street) officeOptions(h *house) office.Options {
	return office.Options{
		Store: h.store, Archive: h.archive, Tracker: h.tracker(), People: h.people,
		Outreach: func(ctx context.Context, mail bool) (*outreach.Office, error) {
			switch {
			case mail && len(s.config.Outreach.Rules) == 0:
				return nil, office.ErrNoRules
			case mail && s.config.Mail.Host == "":
				return nil, office.ErrNoMail
			}
			return s.bareOffice(ctx, h, &officeFlags{}, mail)
		},
	}
}

// leases tells what a constituent has as a customer.
func leases(h *house, at time.Time) people.Leases {
	return func(ctx context.Context, customer string) ([]access.Window, error) {
		return lease.Windows(ctx, h.store, access.CLI(at), customer)
	}
}

// openWeb listens for the pages; nil when none are served.
func (d *daemonry) openWeb(ctx context.Context) (net.Listener, error) {
	if d.gate == nil {
		return nil, nil //nolint:nilnil // none are wanted
	}
	if err := d.gate.Ready(); err != nil {
		return nil, hint(fmt.Errorf("serve pages: %w", err), "web.tls.cert and web.tls.key name files in PEM that this user can read")
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", d.config.Web.Listen)
	if err != nil {
		return nil, hint(fmt.Errorf("serve pages: %w", err), "is another ippwatch serve running? --listen or web.listen names another address")
	}
	scheme := "http"
	if d.gate.Secure() {
		scheme = "https"
	}
	d.log.Info("listens", "web", scheme+"://"+l.Addr().String()+"/")
	return l, nil
}
