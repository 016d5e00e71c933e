package feed

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readAll(t testing.TB, text string) (rows []Record) {
	t.Helper()
	r := NewCSVReader(NewBuffer(strings.NewReader(text)), ',')
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, rec)
	}
}

func TestCSVReader(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []Record
	}{
		{"nothing", "", nil},
		{"quoted and bare", `"a",1,,"b, c"` + "\n", []Record{{Line: 1, Fields: []string{"a", "1", "", "b, c"}}}},
		{"a quote in a value", `"a""b","""",""` + "\n", []Record{{Line: 1, Fields: []string{`a"b`, `"`, ""}}}},
		{"BOM and CRLF", "\xef\xbb\xbf\"a\",b\r\nc,d\r\n", []Record{{Line: 1, Fields: []string{"a", "b"}}, {Line: 2, Fields: []string{"c", "d"}}}},
		{"a value of two lines", "\"a\nb\",c\nd,e\n", []Record{{Line: 1, Fields: []string{"a\nb", "c"}}, {Line: 3, Fields: []string{"d", "e"}}}},
		{"no line end at the end", "a,b", []Record{{Line: 1, Fields: []string{"a", "b"}}}},
		{"an empty last field", "a,\n", []Record{{Line: 1, Fields: []string{"a", ""}}}},
		{"empty lines", "\n\r\na\n\x00\x00\n", []Record{{Line: 3, Fields: []string{"a"}}}},
		{"NUL in a value", "a\x00b,c\n", []Record{{Line: 1, Fields: []string{"a\x00b", "c"}}}},
		{"a quote that does not end loses one line", "a,\"b\nc,d\ne,f\n", []Record{
			{Line: 1, Broken: "a quote does not end"}, {Line: 2, Fields: []string{"c", "d"}}, {Line: 3, Fields: []string{"e", "f"}},
		}},
		{"two such lines lose two", "a,\"b\nc,d\ne,\"f\ng,h\n", []Record{
			{Line: 1, Broken: "a quote does not end"},
			{Line: 2, Fields: []string{"c", "d"}},
			{Line: 3, Broken: "a quote does not end"},
			{Line: 4, Fields: []string{"g", "h"}},
		}},
		{"text after a quote", "\"a\"b,c\nd\n", []Record{{Line: 1, Broken: "text follows a quoted value"}, {Line: 2, Fields: []string{"d"}}}},
		{"a quote in a bare value", "a\"b\"c,d\ne\n", []Record{{Line: 1, Broken: "a quote stands inside a bare value"}, {Line: 2, Fields: []string{"e"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := readAll(t, tt.in)
			for i := range got {
				got[i].Raw = ""
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rows of %q (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestCSVReaderIsBounded(t *testing.T) {
	long := strings.Repeat("x", 3*MaxRow)
	for _, tt := range []struct {
		name, in string
		last     []string
	}{
		{"a line that is too long", long + "\na,b\n", []string{"a", "b"}},
		{"a quoted line that is too long", `"` + long + "\"\na,b\n", []string{"a", "b"}},
		{"many lines in a quote", `"` + strings.Repeat("y\n", MaxRow) + "\"\na,b\n", []string{"a", "b"}},
		{"columns without end", strings.Repeat(",", MaxColumns) + "\na,b\n", []string{"a", "b"}},
	} {
		rows := readAll(t, tt.in)
		if rows[0].Broken == "" {
			t.Errorf("%s: the first row is not broken", tt.name)
		}
		if diff := cmp.Diff(tt.last, rows[len(rows)-1].Fields); diff != "" {
			t.Errorf("%s: the last row (-want +got):\n%s", tt.name, diff)
		}
	}
}

// FuzzCSV holds that what encoding/csv reads strictly is read alike, and that no
// bytes make the reader lose its place or its bounds.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"\"a\",1\n", "a,\"b\nc,d\n", "\xef\xbb\xbfa\r\n", "a\x00,\"\"\"\"\n", "\"a\nb\",c", ",,\n", "a\"b\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows := readAll(t, text)
		line := 0
		for _, r := range rows {
			if r.Line <= line {
				t.Fatalf("line %d after %d", r.Line, line)
			}
			line = r.Line
			if (r.Broken == "") != (r.Fields != nil) || len(r.Raw) > MaxRow {
				t.Fatalf("row %+v", r)
			}
		}
		if strings.ContainsAny(text, "\r\x00\t ") || strings.HasPrefix(text, "\xef\xbb\xbf") {
			return // encoding/csv has its own ways with these
		}
		strict := csv.NewReader(strings.NewReader(text))
		strict.FieldsPerRecord = -1
		want, err := strict.ReadAll()
		if err != nil {
			return
		}
		var got [][]string
		for _, r := range rows {
			got = append(got, r.Fields)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows of %q (-encoding/csv +got):\n%s", text, diff)
		}
	})
}
