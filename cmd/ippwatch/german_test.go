package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ippwatch/access"
	"ippwatch/advisory"
	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/notify"
	"ippwatch/people"
	"ippwatch/rule"
	"ippwatch/schedule"
	"ippwatch/store"
	"ippwatch/tally"
	"ippwatch/web"
)

// townSite is the site of a town without a gate in front.
func townSite(t *testing.T, c *town) *web.Site {
	t.Helper()
	g, err := gate.New(gate.Options{Config: gate.Default(), Keeper: c.h.store, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	site, err := (&street{config: config.Default()}).parts(c.h, g)
	if err != nil {
		t.Fatal(err)
	}
	return site
}

// TestWordsHaveTexts holds that every word which machines know has a text: without
// one a page shows the word itself. TestTexts holds that German has what English
// has.
func TestWordsHaveTexts(t *testing.T) {
	site := townSite(t, newTown(t))
	words := map[string][]string{
		"class":     wordsOf(exposure.Classes),
		"source":    wordsOf(exposure.Sources),
		"severity":  wordsOf(exposure.Severities),
		"condition": wordsOf([]exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen, exposure.Fixed, exposure.Filtered, exposure.Lapsed}),
		"contact":   wordsOf([]exposure.Contact{exposure.NotContacted, exposure.Notified, exposure.Undeliverable, exposure.Acknowledged, exposure.Claimed}),
		"verdict":   wordsOf([]exposure.Ruling{exposure.NoRuling, exposure.Accepted, exposure.FalsePositive}),
		"probe":     wordsOf([]exposure.Probe{exposure.ProbeIPP, exposure.ProbeBrowse, exposure.ProbeDevice}),
		"observed": wordsOf([]exposure.Verdict{
			exposure.Answered, exposure.Restricted, exposure.NotIPP, exposure.Malformed, exposure.Tarpit, exposure.Closed, exposure.Unreachable,
			exposure.NoAnswer, exposure.Identified, exposure.CalledBack, exposure.NoCallback, exposure.Interrupted, exposure.NotApplicable,
		}),
		"medium":   wordsOf([]exposure.Channel{exposure.ByMail, exposure.ByWebhook, exposure.ByPhone}),
		"kind":     wordsOf(advisory.Kinds),
		"delivery": wordsOf([]notify.Result{notify.Accepted, notify.Refused, notify.Later, notify.Unsure}),
		"message": wordsOf([]store.MessageState{
			store.MessageHeld, store.MessagePlanned, store.MessageApproved, store.MessageSending, store.MessageDeferred, store.MessageSent,
			store.MessageUncertain, store.MessageFailed, store.MessageBounced, store.MessageCancelled,
		}),
		"relation": wordsOf([]exposure.Relation{exposure.ToSelf, exposure.ToThird, exposure.ToPrivate, exposure.ToLoopback, exposure.ToOwn, exposure.ToName}),
		"rule":     rule.IDs(),
	}
	jobs := schedule.Default().Jobs
	for _, k := range jobs.Kinds() {
		words["job"] = append(words["job"], k.Kind)
	}
	for prefix, all := range words {
		for _, word := range all {
			if !site.Knows("en", prefix, word) {
				t.Errorf("there is no text %s.%s", prefix, word)
			}
		}
	}
	// These are English in another package, and German in a file.
	differ := func(prefix, word string) {
		if en, de := site.Word("en", prefix, word), site.Word("de", prefix, word); en == word || en == de {
			t.Errorf("%s.%s: English %q, German %q", prefix, word, en, de)
		}
	}
	for _, id := range rule.IDs() {
		for _, of := range []string{"", ".about", ".owner", ".provider", ".csirt"} {
			differ("rule", id+of)
		}
	}
	for _, d := range tally.Definitions {
		differ("definition", tally.Key(d)+".text")
	}
}

func wordsOf[T ~string](all []T) []string {
	var words []string
	for _, one := range all {
		words = append(words, string(one))
	}
	return words
}

// TestSentencesHaveForms reads in the source what is said of visits and of messages
// that are not sent, and holds that each has a form in German. That of the rules is
// held by package advisory.
func TestSentencesHaveForms(t *testing.T) {
	site := townSite(t, newTown(t))
	fill := strings.NewReplacer("%s", "x", "%q", `"x"`, "%d", "7", "%g", "7", "%%", "%")
	var files []string
	for _, pattern := range []string{"../../sensor/class/*.go", "../../desk/visit.go", "../../outreach/plan.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	n := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		check := func(x ast.Expr) {
			lit, ok := x.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if text = fill.Replace(text); strings.Count(text, " ") < 2 {
				return // a word, or the verb of a sentence that stands elsewhere
			}
			n++
			if said := site.Say("de", text); said.Lang != "" || said.Text == text {
				t.Errorf("%s: there is no form for %q", fset.Position(lit.Pos()), text)
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.CallExpr:
				called := ""
				switch f := node.Fun.(type) {
				case *ast.Ident:
					called = f.Name
				case *ast.SelectorExpr:
					called = f.Sel.Name
				}
				if (called == "because" || called == "silent") && len(node.Args) > 1 {
					check(node.Args[1])
				}
			case *ast.KeyValueExpr:
				if key, ok := node.Key.(*ast.Ident); ok && key.Name == "sentence" {
					check(node.Value)
				}
			case *ast.ReturnStmt:
				if len(node.Results) == 2 && !strings.Contains(name, "outreach") {
					check(node.Results[1])
					if call, ok := node.Results[1].(*ast.CallExpr); ok && len(call.Args) > 0 {
						check(call.Args[0])
					}
				}
			}
			return true
		})
	}
	if n < 50 {
		t.Errorf("only %d sentences were found: does the test still know how they are written?", n)
	}
}

// englishWords are words that no German sentence has. Where one stands outside of what
// is marked as English, somebody forgot a translation or the mark.
var englishWords = regexp.MustCompile(`(?i)(?:^|[^\w-])(the|of|and|is|are|with|that|which|not|has|have|by|from|for|it|its|this|were|yet|who|because|to|at|or|nothing|nobody|asks|does|seen|been|would|only)(?:$|[^\w-])`)

// untranslated returns the texts of a page in which there is English, and its
// language is not said. Code and what a form holds are nobody's language.
func untranslated(t *testing.T, page string) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	look := func(where, text string) {
		if text = strings.Join(strings.Fields(text), " "); englishWords.MatchString(text) {
			found = append(found, where+": "+text)
		}
	}
	var walk func(n *html.Node, lang string)
	walk = func(n *html.Node, lang string) {
		if n.Type == html.ElementNode {
			if slices.Contains([]string{"code", "pre", "kbd", "script", "style", "textarea"}, n.Data) {
				return
			}
			for _, a := range n.Attr {
				if a.Key == "lang" {
					lang = a.Val
				}
			}
			for _, a := range n.Attr {
				if lang == "de" && slices.Contains([]string{"title", "aria-label", "placeholder", "alt", "data-label"}, a.Key) {
					look(n.Data+" "+a.Key, a.Val)
				}
			}
		}
		if n.Type == html.TextNode && lang == "de" {
			where := ""
			if n.Parent != nil {
				where = n.Parent.Data
			}
			look(where, n.Data)
		}
		for child := range n.ChildNodes() {
			walk(child, lang)
		}
	}
	walk(root, "")
	return found
}

// names are those of things, in whose titles there is English that is no sentence.
var names = regexp.MustCompile(`Linux iptables and ip6tables|pf of OpenBSD, FreeBSD and pfSense|BGP FlowSpec from (BIRD 2|GoBGP)|no-tls|expired-or-weak-certificate|/statistics/\S+|--since`)

// german reads a page in German.
func (c *town) german(path, name string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://ippwatch.test"+path, nil)
	if name != "public" {
		cookie, _ := c.login(name)
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
	}
	r.Header.Set("Accept-Language", "de")
	c.asked++
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.1:4000", c.asked/250, c.asked%250)
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}

// judged puts a case of each rule into the town, as the rules tell of it, and what
// was observed; it returns their pages.
func (c *town) judged() (paths []string) {
	c.t.Helper()
	var cases []exposure.Exposure
	var doors []netip.AddrPort
	var steps []exposure.Transition
	for i, o := range advisory.SampleObservations() {
		o.Addr = netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})
		for _, f := range rule.Judge(&o) {
			e := exposure.Exposure{
				Key:      exposure.Key{Addr: o.Addr, Transport: o.Transport, Port: o.Port, Rule: f.Rule},
				Severity: f.Severity, Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
				FirstSeen: c.now.Add(-48 * time.Hour), LastSeen: c.now.Add(-time.Hour), TimesSeen: 2, Evidence: f.Evidence, Where: exposure.Where{Country: "DE"},
			}
			cases, doors = append(cases, e), append(doors, o.Target())
			paths = append(paths, "/cases/"+e.Case(), "/hosts/"+o.Addr.String())
			for _, why := range []string{"no answer to a complete scan", "not seen for 60 days", "it answers still: " + f.Evidence} {
				steps = append(steps, exposure.Transition{
					Key: e.Key, Axis: exposure.AxisCondition, From: string(exposure.Confirmed), To: string(exposure.NotSeen), Cycle: 1,
					Actor: "scan", Evidence: why, At: c.now.Add(-time.Hour),
				})
			}
		}
	}
	if err := c.h.store.Apply(c.t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return cases, steps
	}); err != nil {
		c.t.Fatal(err)
	}
	return slices.Compact(slices.Sorted(slices.Values(paths)))
}

// ownersPages are those behind a link in a mail about all cases of a constituent.
func (c *town) ownersPages() []string {
	c.t.Helper()
	hand := people.Hand{View: access.CLI(c.now), Who: "j.doe", At: c.now}
	fields := []people.Field{{Key: "role", Value: "technical"}}
	if _, err := people.NewRegistry(c.h.store).SetContact(c.t.Context(), hand, "customer-a", "noc@customer-a.example", true, fields); err != nil {
		c.t.Fatal(err)
	}
	l := store.Link{Contact: "mail:noc@customer-a.example", Constituent: "customer-a", Role: "technical", Expires: c.now.Add(time.Hour)}
	for e, err := range c.h.store.Exposures(c.t.Context(), access.CLI(c.now), store.Filter{Prefix: netip.MustParsePrefix("198.51.100.0/24")}) {
		if err != nil {
			c.t.Fatal(err)
		}
		l.Places = append(l.Places, store.Place{Key: e.Key, Nearest: "customer-a"})
	}
	_, token, err := c.h.store.AddLink(c.t.Context(), l, "outreach", c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	if page := c.german("/o/"+token, "public").Body.String(); !strings.Contains(page, "einem Fremden") {
		c.t.Errorf("the owner's page does not tell what was seen in German:\n%s", page)
	}
	return []string{"/o/" + token, "/o/" + token + "/filter", "/o/" + token + "/filter?platform=nftables"}
}

// TestGermanPagesAreGerman reads every page in German, for each reader, with cases
// of the rules, visits and surges in them. What is English there says so, or is no
// sentence.
func TestGermanPagesAreGerman(t *testing.T) {
	c := newTown(t)
	c.hear(t)
	paths := c.judged()
	for _, page := range plantPages {
		paths = append(paths, page.path)
	}
	for _, route := range c.gate.Routes() {
		if route.Kind == gate.Page {
			paths = append(paths, c.path(route.Pattern, "customer-a"))
		}
	}
	paths = append(paths, c.ownersPages()...)
	for _, view := range []string{"map", "tree", "time-series", "table", "bar"} {
		paths = append(paths, "/statistics/combined/"+view+"/")
	}
	for _, path := range slices.Compact(slices.Sorted(slices.Values(paths))) {
		for _, name := range []string{"operator", "customer-a", "public"} {
			w := c.german(path, name)
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("Location") != "" {
				continue
			}
			if !strings.Contains(w.Body.String(), `<html lang="de"`) || strings.Contains(w.Body.String(), "⟦") {
				t.Errorf("%s for %s is not German, or lacks a text", path, name)
			}
			for _, text := range untranslated(t, w.Body.String()) {
				if englishWords.MatchString(names.ReplaceAllString(text[strings.Index(text, ": "):], "")) {
					t.Errorf("%s for %s, %.300s", path, name, text)
				}
			}
		}
	}
}

// TestUntranslatedIsFound: the test above finds what it is for.
func TestUntranslatedIsFound(t *testing.T) {
	for _, tt := range []struct {
		page string
		n    int
	}{
		{`<html lang="de"><body><p>Das ist der Stand.</p>`, 0},
		{`<html lang="de"><body><p>This is the state.</p>`, 1},
		{`<html lang="de"><body><p title="This is the state">Stand</p>`, 1},
		{`<html lang="de"><body><p>Stand: <span lang="en">This is the state.</span> <code>it is</code></p>`, 0},
		{`<html lang="de"><body><p lang="en">It is <span lang="de">of the</span></p>`, 1},
	} {
		if got := untranslated(t, tt.page); len(got) != tt.n {
			t.Errorf("%s: %q, want %d", tt.page, got, tt.n)
		}
	}
}
