// Package alarm tells an operator once when something is wrong that needs a
// person, and once when it is over.
package alarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Store keeps alerts and what was told of them.
type Store interface {
	// Raise keeps an alert. Of one whose name is open it keeps what is said when
	// its level has risen.
	Raise(ctx context.Context, a exposure.Alert) error
	// Clear ends the open alert of the name, if there is one.
	Clear(ctx context.Context, name string, at time.Time) error
	Alerts(ctx context.Context, v access.View, since time.Time) ([]exposure.Alert, error)
	// Untold returns beginnings, rises and ends that via has not told; an end is
	// an alert that has one, a rise has Again set.
	Untold(ctx context.Context, via string) ([]exposure.Alert, error)
	Told(ctx context.Context, a exposure.Alert, via string, at time.Time) error
}

// An Alerter is one way to tell. It is asked again until it returns nil.
type Alerter interface {
	Name() string // is remembered: a new one tells what is open
	Alert(ctx context.Context, a exposure.Alert) error
}

// A Check looks for one kind of trouble. What it returns is there now; names
// that begin with its own and are not among them are over. It returns an error
// when it cannot tell, and then nothing changes.
type Check struct {
	Name string // the first word of its alerts' names
	Look func(ctx context.Context, now time.Time) ([]exposure.Alert, error)
}

// A Board knows what is wrong. New is inert.
type Board struct {
	Store    Store
	Alerters []Alerter
	Checks   []Check
	Now      func() time.Time
	Log      *slog.Logger

	mu     sync.Mutex // one round at a time
	failed map[string]string
}

// every is how often a Board looks.
const every = time.Minute

// Run looks and tells until the context ends.
func (b *Board) Run(ctx context.Context) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		b.Round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Round looks once, and tells what was not told.
func (b *Board) Round(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.Checks {
		b.complain("check "+c.Name, b.look(ctx, c))
	}
	for _, a := range b.Alerters {
		b.complain("tell by "+a.Name(), b.tell(ctx, a))
	}
}

// complain writes a failure into the log when it begins, changes and ends.
func (b *Board) complain(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if b.failed == nil {
		b.failed = make(map[string]string)
	}
	if was := b.failed[what]; was == text || errors.Is(err, context.Canceled) {
		return
	}
	if b.failed[what] = text; err != nil {
		b.Log.Error("cannot "+what, "err", text)
	} else {
		b.Log.Info("can " + what + " again")
	}
}

func (b *Board) look(ctx context.Context, c Check) error {
	now := b.Now()
	found, err := c.Look(ctx, now)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(found))
	for _, a := range found {
		there[a.Name] = true
		if err := b.raise(ctx, a, now); err != nil {
			return err
		}
	}
	open, err := b.Store.Alerts(ctx, access.View{Who: "alarm", Tier: access.Operator, At: now}, now)
	if err != nil {
		return err
	}
	for _, a := range open {
		if Kind(a.Name) == c.Name && a.Ended.IsZero() && !there[a.Name] {
			if err := b.Store.Clear(ctx, a.Name, now); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Board) raise(ctx context.Context, a exposure.Alert, now time.Time) error {
	if a.Began.IsZero() {
		a.Began = now
	}
	return b.Store.Raise(ctx, a)
}

// Kind is the first word of an alert's name.
func Kind(name string) string {
	for i := range name {
		if name[i] == ' ' {
			return name[:i]
		}
	}
	return name
}

func (b *Board) tell(ctx context.Context, via Alerter) error {
	untold, err := b.Store.Untold(ctx, via.Name())
	if err != nil {
		return err
	}
	for _, a := range untold {
		if err := via.Alert(ctx, a); err != nil {
			return err // in their order: the end never comes before the beginning
		}
		if err := b.Store.Told(ctx, a, via.Name(), b.Now()); err != nil {
			return err
		}
	}
	return nil
}

// Text says an alert to people.
func Text(a exposure.Alert) string {
	if !a.Ended.IsZero() {
		return fmt.Sprintf("over after %s: %s", a.Ended.Sub(a.Began).Round(time.Second), a.Name)
	}
	worse := ""
	if a.Again {
		worse = "worse: "
	}
	return fmt.Sprintf("%s%s: %s\nNext: %s", worse, a.Name, a.Detail, a.Step)
}

func phase(a exposure.Alert) string {
	switch {
	case !a.Ended.IsZero():
		return "ended"
	case a.Again:
		return "rose"
	}
	return "began"
}

// private takes the URL out of an error of net/http: it may be a secret.
func private(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
