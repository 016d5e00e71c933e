package shadowserver_test

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	feed "ippwatch/feed/shadowserver"
	"ippwatch/feed/shadowserver/fake"
)

// A seen is all that our own client can learn from an API.
type seen struct {
	Key        feed.Key
	Subscribed []string
	Types      []string
	Files      []string // day, type, list, name
	Bodies     []string
	WhyNone    string
	Wrong      int // status with a wrong secret
}

func look(t *testing.T, id, secret, uri string) (s seen) {
	t.Helper()
	c, err := feed.NewClient(feed.NewCredentials(id, secret, uri))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Key, err = c.KeyInfo(ctx)
	check(err)
	s.Subscribed, err = c.Subscribed(ctx)
	check(err)
	s.Types, err = c.Types(ctx, day)
	check(err)
	w := feed.Window{From: day.AddDate(0, 0, -1), To: day.AddDate(0, 0, 1), Lists: []string{"customer-a"}, Types: []string{"scan_ipp", "scan6_ipp", "special", "device_id"}}
	listed, err := c.List(ctx, w)
	check(err)
	for _, l := range listed {
		s.Files = append(s.Files, l.Day+" "+l.Type+" "+l.Report+" "+l.File)
		doc, body, err := c.Download(ctx, l)
		check(err)
		text, err := io.ReadAll(doc.Reader)
		check(errors.Join(err, body.Close()))
		if doc.Name != l.File {
			t.Errorf("%s is called %s", l.File, doc.Name)
		}
		s.Bodies = append(s.Bodies, string(text))
	}
	w.From, w.To = day.AddDate(-1, 0, 0), day.AddDate(-1, 0, 1)
	none, err := c.List(ctx, w)
	check(err)
	if len(none) != 0 {
		t.Errorf("a year before: %v", none)
	}
	s.WhyNone, err = c.WhyNone(ctx, w)
	check(err)
	wrong, err := feed.NewClient(feed.NewCredentials(id, "wrong", uri))
	check(err)
	_, err = wrong.Subscribed(ctx)
	if e, ok := errors.AsType[*feed.APIError](err); ok {
		s.Wrong = e.Status
	}
	return s
}

// TestTheFakeIsLikeTheServer holds that what the tests of our client learn from
// the fake is what the server tells.
func TestTheFakeIsLikeTheServer(t *testing.T) {
	p := open(t)
	ours := look(t, p.keys["a"].id, p.keys["a"].secret, p.server.URL+"/api2/")
	if len(ours.Files) != 3 || ours.Wrong != 401 {
		t.Fatalf("%+v", ours)
	}
	f := fake.New()
	defer f.Close()
	f.Subscribed = []string{"customer-a"}
	f.Types = slices.Clone(ours.Types)
	for i, kind := range []string{"scan_ipp", "scan6_ipp", "special"} {
		f.Reports = append(f.Reports, fake.Report{
			Day: day.Format(time.DateOnly), Type: kind, List: "customer-a", File: "2026-11-22-" + kind + "-customer-a.csv", Body: []byte(ours.Bodies[i]),
		})
	}
	if diff := cmp.Diff(look(t, fake.Key, fake.Secret, f.URI()), ours); diff != "" {
		t.Errorf("the fake (-) and the server (+) differ:\n%s", diff)
	}
	if wrong := f.Wrong(); len(wrong) > 0 {
		t.Error(wrong)
	}
}
