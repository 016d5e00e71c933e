package shadowserver

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/report"
	"ippwatch/store"
)

// A listed is a report that can be downloaded. Clients make the address from
// "https://HOST/" and the id, or take the url.
type listed struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	File   string `json:"file"`
	Report string `json:"report"`
	Day    string `json:"timestamp"`
	URL    string `json:"url"`
}

// lookBack is how many days before today are listed when none are named.
const lookBack = 2

func (s *server) list(c *call) (any, error) {
	from, to, err := c.ask.days(c.v.At, lookBack)
	if err != nil {
		return nil, err
	}
	lists, err := s.wanted(c)
	if err != nil {
		return nil, err
	}
	kinds := c.ask.kinds()
	secret, err := s.Store.Secret(linkPurpose)
	if err != nil {
		return nil, err
	}
	all := []listed{}
	for _, day := range over(from, to, c.v.At) {
		issues, err := s.shelf.of(c.ctx, holderOf(c.v), day)
		if err != nil {
			return nil, err
		}
		for _, i := range issues.all {
			switch {
			case !slices.Contains(lists, i.list), !slices.Contains(kinds, i.kind):
				continue
			case len(all) == c.ask.limit():
				return all, nil
			}
			token, err := link{key: c.v.Key.ID, list: i.list, kind: i.kind, day: day, over: linkEnd(day, c.v.At)}.seal(secret)
			if err != nil {
				return nil, err
			}
			all = append(all, listed{
				ID: strings.TrimPrefix(linkPath, "/") + token, Type: string(i.kind), File: i.file, Report: i.list,
				Day: day.Format(time.DateOnly), URL: s.base(c) + linkPath + token,
			})
		}
	}
	return all, nil
}

// over are the days of the window that are over: a report of a day that goes on
// would be taken once, and what is found later never.
func over(from, to, now time.Time) []time.Time {
	var days []time.Time
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		if day.AddDate(0, 0, 1).After(now.UTC()) {
			break
		}
		days = append(days, day)
	}
	return days
}

// base is how the client came here.
func (s *server) base(c *call) string {
	if s.Gate.Config.URL != "" {
		return strings.TrimSuffix(s.Gate.Config.URL, "/")
	}
	if c.v.Secure {
		return "https://" + c.r.Host
	}
	return "http://" + c.r.Host
}

// download gives a report to whoever has its link. The key that listed it must
// still be good, and what its holder sees is asked anew.
func (s *server) download(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	w.Header().Set("Referrer-Policy", "no-referrer")
	secret, err := s.Store.Secret(linkPurpose)
	if err != nil {
		return err
	}
	l, err := openLink(secret, r.PathValue("token"))
	if errors.Is(err, errLink) {
		return gate.NotFound
	}
	if err != nil {
		return err
	}
	if !v.At.Before(l.over) {
		return &gate.Problem{Status: http.StatusGone, Code: "gone", Detail: "the link is over: reports/list gives another"}
	}
	h, err := s.holder(r, v, l.key)
	if err != nil {
		return err
	}
	issues, err := s.shelf.of(r.Context(), h, l.day)
	if err != nil {
		return err
	}
	i, ok := issues.find(l.list, l.kind)
	if !ok {
		return gate.NotFound
	}
	err = s.Store.Record(r.Context(), store.Action{At: v.At, Who: "key " + l.key, What: "look", Detail: "GET report " + i.file})
	if err != nil {
		return err
	}
	return give(w, r, i)
}

// holder is who has the key, or gate.NotFound when it is not good any more.
func (s *server) holder(r *http.Request, v *gate.Visit, id string) (holder, error) {
	keys, err := s.Store.APIKeys(r.Context(), access.CLI(v.At))
	if err != nil {
		return holder{}, err
	}
	at := slices.IndexFunc(keys, func(k store.APIKey) bool { return k.ID == id })
	if at < 0 || keys[at].Kind != store.KeyHMAC || !keys[at].Holds(v.At) || !slices.Contains(keys[at].Scopes, access.Read) {
		return holder{}, gate.NotFound
	}
	k := keys[at]
	view, err := s.Gate.Views(r.Context(), k.Role, k.Constituent, "key "+k.ID, v.At)
	return holder{k.Constituent, view}, err
}

func give(w http.ResponseWriter, r *http.Request, i issue) error {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+i.file+`"`) // letters, digits, hyphens: see report.FileName
	h.Set("Cache-Control", gate.Private)
	h.Add("Vary", "Accept-Encoding")
	if gate.TakesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		return gate.SendRaw(w, r, http.StatusOK, i.body)
	}
	z, err := gzip.NewReader(bytes.NewReader(i.body))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	return gate.SendRaw(w, r, http.StatusOK, body)
}

// stats counts events by day and type, yesterday's when no day is named.
func (s *server) stats(c *call) (any, error) {
	if c.ask.Date == "" {
		c.ask.Date = c.v.At.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	}
	from, to, err := c.ask.days(c.v.At, 0)
	if err != nil {
		return nil, err
	}
	lists, err := s.wanted(c)
	if err != nil {
		return nil, err
	}
	kinds := c.ask.kinds()
	table := [][]any{{"date", "type", "events"}}
	for day := from; !day.After(to) && !day.After(c.v.At); day = day.AddDate(0, 0, 1) {
		issues, err := s.shelf.of(c.ctx, holderOf(c.v), day)
		if err != nil {
			return nil, err
		}
		for _, t := range report.Types {
			if !slices.Contains(kinds, t) {
				continue
			}
			n := issues.total[t]
			if len(c.ask.lists()) > 0 { // of several lists, a host of two is two events
				n = 0
				for _, list := range lists {
					i, _ := issues.find(list, t)
					n += i.rows
				}
			}
			if n > 0 {
				table = append(table, []any{day.Format(time.DateOnly), string(t), n})
			}
		}
	}
	return table, nil
}
