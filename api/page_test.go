package api

import (
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
)

func TestPlaces(t *testing.T) {
	for _, place := range [][]string{{"a"}, {""}, {"198.51.100.10", "tcp", "631", "open-ipp"}, {`"`, "\x00", "ü", "<>"}} {
		got, err := parsePlace("list", formatPlace("list", place))
		if diff := cmp.Diff(place, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", place, err, diff)
		}
		if _, err := parsePlace("other", formatPlace("list", place)); err == nil {
			t.Errorf("%q is a place in another list", place)
		}
	}
	if got, err := parsePlace("list", ""); got != nil || err != nil {
		t.Errorf("nothing is %q, %v, want the beginning", got, err)
	}
	for _, bad := range []string{"x", "=", "WyJsaXN0Il0", "bnVsbA", "WzFd", "WyJsaXN0IiwgImEiXQ", "e30"} {
		if got, err := parsePlace("list", bad); err == nil {
			t.Errorf("%s is a place: %q", bad, got)
		}
	}
}

// FuzzPlace holds that what is read is what was written, and nothing else is.
func FuzzPlace(f *testing.F) {
	f.Add("")
	f.Add("bnVsbA")
	f.Add(formatPlace("list", []string{"198.51.100.10", "tcp", "631", "open-ipp"}))
	f.Add(formatPlace("list", []string{"1", "id"}))
	f.Fuzz(func(t *testing.T, s string) {
		place, err := parsePlace("list", s)
		if err != nil || s == "" {
			return
		}
		if got := formatPlace("list", place); got != s {
			t.Errorf("parsePlace(%q) = %q, which is written %q", s, place, got)
		}
		// What lists make of it must not panic.
		if k, err := keyOf(place); err == nil {
			if again, err := keyOf(placeOf(k)); err != nil || again != k {
				t.Errorf("keyOf(%q) = %v, again %v, %v", place, k, again, err)
			}
		}
		_, _ = numberOf(place)
	})
}

func TestPageOf(t *testing.T) {
	items := func(n int) iter.Seq2[entry[int], error] {
		return func(yield func(entry[int], error) bool) {
			for i := range n {
				if !yield(entry[int]{i, []string{fmt.Sprint(i)}}, nil) {
					return
				}
			}
		}
	}
	for n, want := range map[int]v1.Page[int]{
		0: {Items: []int{}}, 2: {Items: []int{0, 1}}, 3: {Items: []int{0, 1}, Next: formatPlace("x", []string{"1"})},
	} {
		got, err := pageOf("x", items(n), 2)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("of %d: %v (-want +got):\n%s", n, err, diff)
		}
	}
}

// TestKept goes on where a thing was that is gone.
func TestKept(t *testing.T) {
	key := func(s *string) string { return *s }
	for _, test := range []struct {
		name  string
		all   []string
		less  func(a, b string) bool
		place []string
		want  []string
	}{
		{"from the beginning", []string{"a", "b"}, rising, nil, []string{"a", "b"}},
		{"behind one that is there", []string{"a", "b", "c"}, rising, []string{"b"}, []string{"c"}},
		{"behind one that is gone", []string{"a", "c"}, rising, []string{"b"}, []string{"c"}},
		{"behind the last one", []string{"a", "b"}, rising, []string{"b"}, nil},
		{"the newest first", []string{"c", "b", "a"}, falling, []string{"b"}, []string{"a"}},
	} {
		var got []string
		for e, err := range kept(test.all, key, test.less, test.place) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.item)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestWantsLines(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "application/x-ndjson": true, "application/x-ndjson;q=0.9, */*": true,
		"application/json, application/x-ndjson": false, "APPLICATION/X-NDJSON": true, "text/html,application/xhtml+xml": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		if got := wantsLines(r); got != want {
			t.Errorf("Accept: %s: %t", accept, got)
		}
	}
}

func TestSuppress(t *testing.T) {
	count := func(country string, n int64) v1.Count {
		return v1.Count{Day: "d", Country: country, Addresses: &n, Observations: &n}
	}
	for _, test := range []struct {
		name string
		in   map[string]int64
		want string
	}{
		{"none is small", map[string]int64{"a": 5, "b": 9}, "a=5 b=9"},
		{"one is small, and the next tells it", map[string]int64{"a": 4, "b": 9, "c": 30}, "a b c=30"},
		{"two are small", map[string]int64{"a": 4, "b": 1, "c": 9}, "a b c=9"},
		{"one is all there is", map[string]int64{"a": 1}, "a"},
	} {
		var items []v1.Count
		for _, c := range []string{"a", "b", "c"} {
			if n, ok := test.in[c]; ok {
				items = append(items, count(c, n))
			}
		}
		suppress(items, 5)
		var got []string
		for _, c := range items {
			word := c.Country
			if c.Addresses != nil {
				word += fmt.Sprintf("=%d", *c.Addresses)
			}
			if (c.Addresses == nil) != (c.Observations == nil) {
				t.Errorf("%s: half of %s is shown", test.name, c.Country)
			}
			got = append(got, word)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNext(t *testing.T) {
	for _, s := range States {
		if s.About == "" || strings.ToLower(s.Word) != s.Word {
			t.Errorf("state %q: %q", s.Word, s.About)
		}
	}
	if got := Next(&exposure.Exposure{Condition: exposure.Reported}); !strings.HasPrefix(got, "a feed says so") {
		t.Errorf("Next = %s", got)
	}
}
