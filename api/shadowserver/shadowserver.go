// Package shadowserver serves our daily reports as Shadowserver's reports API
// serves theirs, so that a collector takes them when its host name is changed.
//
// What clients ask and what they expect stands in facts/shadowserver.md 2 and in
// testdata. A key sees what its holder sees: a constituent's its own list, the
// others' every list. A report is listed when its day is over: a collector takes
// a file of one name once.
package shadowserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/edition"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/report"
	"ippwatch/store"
)

// Options are what the API needs.
type Options struct {
	Gate    *gate.Gate
	Store   *store.Store
	Archive edition.Archive
	People  *people.Registry
}

// A server answers.
type server struct {
	Options
	shelf *shelf
}

// most is how much one answer has: theirs has no more (facts/shadowserver.md 2).
const most = 10_000

// maxAsk is the size of a request.
const maxAsk = 64 << 10

// Add adds the API to the gate.
func Add(o Options) error {
	s := &server{Options: o}
	s.shelf = newShelf(s.bind)
	var routes []gate.Route
	for _, m := range []struct {
		name     string
		personal bool
		serve    func(*call) (any, error)
	}{
		{"test/ping", false, s.ping},
		{"key/info", false, s.keyInfo},
		{"reports/subscribed", false, s.subscribed},
		{"reports/types", false, s.types},
		{"reports/list", false, s.list},
		{"reports/query", true, s.query},
		{"reports/stats", false, s.stats},
		{"reports/schema", false, s.schema},
		{"{method...}", false, s.none},
	} {
		routes = append(routes, gate.Route{
			Method: http.MethodPost, Pattern: "/api2/" + m.name, Kind: gate.Signed, Roles: access.Named, Personal: m.personal,
			Written: "nothing: it reads", MaxBody: maxAsk, Serve: answered(m.serve), Fail: fail,
		})
	}
	return o.Gate.Add(append(routes, gate.Route{
		Method: http.MethodGet, Pattern: linkPath + "{token}", Kind: gate.API, Roles: access.Roles, Serve: s.download, Fail: fail,
	})...)
}

// A call is one request, read.
type call struct {
	ctx context.Context
	r   *http.Request
	v   *gate.Visit
	ask ask
}

// answered reads the request, and sends the answer as JSON.
func answered(f func(*call) (any, error)) gate.Handler {
	return func(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		c := &call{ctx: r.Context(), r: r, v: v}
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&c.ask); err != nil {
			return gate.Bad("the request: %v", err)
		}
		answer, err := f(c)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(answer); err != nil {
			return err
		}
		return gate.Send(w, r, http.StatusOK, "application/json", gate.Private, b.Bytes())
	}
}

// fail writes a problem as their clients read it: an object with "error", and a
// status that is not 200.
func fail(w http.ResponseWriter, _ *http.Request, _ *gate.Visit, p *gate.Problem) {
	body, err := json.Marshal(map[string]string{"error": p.Error()})
	if err != nil {
		body = []byte(`{"error":""}`) // it is a string
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // who is gone needs none
}

func (s *server) ping(c *call) (any, error) {
	return map[string]string{"pong": c.v.At.UTC().Format(time.DateTime) + "Z"}, nil
}

// A keyInfo has the names that their answer has. The counts are strings there.
type keyInfo struct {
	Key    string   `json:"apikey"`
	Label  string   `json:"label"`
	User   string   `json:"user"`
	Status string   `json:"status"`
	Access []string `json:"access"`
	Count  string   `json:"query_count"`
	Limit  string   `json:"query_limit"` // 0: there is none
}

func (s *server) keyInfo(c *call) (any, error) {
	k := c.v.Key
	user := k.Constituent
	if user == "" {
		user = string(k.Role)
	}
	return []keyInfo{{k.ID, k.Label, user, "active", []string{"reports"}, "0", "0"}}, nil
}

// none says of a method that there is none.
func (s *server) none(c *call) (any, error) {
	name := c.r.PathValue("method")
	detail := fmt.Sprintf("there is no method %.60q", name)
	if name == "reports/download" {
		detail = `reports/download is gone: get the "url" that reports/list gives, without a signature`
	}
	return nil, &gate.Problem{Status: http.StatusNotFound, Code: "not-found", Detail: detail}
}

// lists are the names of the lists that the holder of a key may read.
func (s *server) lists(ctx context.Context, h holder) ([]string, error) {
	if h.constituent != "" {
		return []string{h.constituent}, nil
	}
	d, err := s.People.Directory(ctx, access.CLI(h.view.At))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, share := range edition.Shares(nil, d) {
		names = append(names, share.Name)
	}
	return names, nil
}

func (s *server) subscribed(c *call) (any, error) { return s.lists(c.ctx, holderOf(c.v)) }

// wanted are the lists that a request names, all when it names none. A list that
// the key may not read is told: their users search for days when nothing comes.
func (s *server) wanted(c *call) ([]string, error) {
	has, err := s.lists(c.ctx, holderOf(c.v))
	if err != nil {
		return nil, err
	}
	names := c.ask.lists()
	for _, name := range names {
		if !slices.Contains(has, name) {
			return nil, gate.Bad("%s: the key is not subscribed to %.60q; reports/subscribed lists what it may read", noFilters, name)
		}
	}
	if len(names) == 0 {
		return has, nil
	}
	return names, nil
}

// theirs are the types that consumers of Shadowserver's reports know. Our own
// has the hosts of special once more, and their parsers stumble over a type that
// they do not know: it is given to who names it.
var theirs = []report.Type{report.ScanIPP, report.Scan6IPP, report.Special}

// A detailedType is a type with what it is.
type detailedType struct {
	Type        string   `json:"type"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	URL         string   `json:"url"`
	Fields      []string `json:"fields"`
}

// types returns the types of which the lists have had a report in the days, the
// last two weeks when none are named.
func (s *server) types(c *call) (any, error) {
	from, to, err := c.ask.days(c.v.At, 14)
	if err != nil {
		return nil, err
	}
	lists, err := s.wanted(c)
	if err != nil {
		return nil, err
	}
	had := make(map[report.Type]bool)
	for day := from; !day.After(to) && len(had) < len(report.Types); day = day.AddDate(0, 0, 1) {
		issues, err := s.shelf.of(c.ctx, holderOf(c.v), day)
		if err != nil {
			return nil, err
		}
		for _, i := range issues.all {
			if slices.Contains(lists, i.list) {
				had[i.kind] = true
			}
		}
	}
	names, detailed := []string{}, []detailedType{}
	for _, t := range report.Types {
		if had[t] {
			names = append(names, string(t))
			detailed = append(detailed, detailedType{string(t), titles[t], abouts[t], urls[t], t.Columns(false)})
		}
	}
	if c.ask.Detail {
		return detailed, nil
	}
	return names, nil
}
