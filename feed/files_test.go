package feed

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func zipOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// opened reads everything that the names stand for.
func opened(t testing.TB, f *Files, names ...string) (got []string) {
	t.Helper()
	f.Wants = func(name string) bool { return strings.HasSuffix(name, ".csv") }
	for doc, err := range f.Open(t.Context(), names) {
		if err == nil {
			var text []byte
			if text, err = io.ReadAll(doc.Reader); err == nil {
				got = append(got, doc.Name+": "+string(text))
				continue
			}
		}
		got = append(got, fmt.Sprintf("%s! %v", doc.Name, err))
	}
	return got
}

func TestFilesOpensWhatIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole := zipOf(t, "x.csv", "in x", "../../etc/y.csv", "in y", `C:\z.csv`, "in z", "note.txt", "no", "sub/", "", "/abs.csv", "in abs")
	var packed bytes.Buffer
	g := gzip.NewWriter(&packed)
	_, _ = g.Write([]byte("in g"))
	_ = g.Close()
	write("d/a.csv", []byte("in a"))
	write("d/sub/B.CSV", []byte("in b"))
	write("d/read.me", []byte("no"))
	write("d/.hidden.csv", []byte("no"))
	write("d/c.zip", zipOf(t, "c.csv", "in c"))
	write("d/g.csv.gz", packed.Bytes())
	write("whole.zip", whole)
	write("half.zip", whole[:len(whole)/2])
	write("empty.zip", zipOf(t))
	write("odd.name", []byte("in odd"))
	for _, tt := range []struct {
		name   string
		stdin  string
		names  []string
		want   []string
		passed int
	}{
		{"a file, whatever its name", "", []string{"odd.name"}, []string{"odd.name: in odd"}, 0},
		{"a directory with other files", "", []string{"d"}, []string{"d/a.csv: in a", "d/c.zip/c.csv: in c", "d/g.csv: in g", "d/sub/B.CSV: in b"}, 2},
		{"names that lead elsewhere", "", []string{"whole.zip"}, []string{
			"whole.zip/x.csv: in x", "whole.zip/y.csv: in y", "whole.zip/z.csv: in z", "whole.zip/abs.csv: in abs",
		}, 1},
		{"a zip on stdin", string(whole[:]), []string{"-"}, []string{
			"stdin/x.csv: in x", "stdin/y.csv: in y", "stdin/z.csv: in z", "stdin/abs.csv: in abs",
		}, 1},
		{"a text on stdin", "in s", []string{"-"}, []string{"stdin: in s"}, 0},
		{"half a zip, and the rest", "", []string{"half.zip", "d/a.csv"}, []string{"half.zip! " + errTruncated.Error(), "d/a.csv: in a"}, 0},
		{"a zip of nothing", "", []string{"empty.zip"}, nil, 0},
		{"nothing", "", []string{"none.csv"}, []string{"none.csv! stat none.csv: no such file or directory"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &Files{Stdin: strings.NewReader(tt.stdin)}
			if diff := cmp.Diff(tt.want, opened(t, f, tt.names...)); diff != "" {
				t.Errorf("Open (-want +got):\n%s", diff)
			}
			if f.Passed != tt.passed {
				t.Errorf("%d files were passed over, want %d", f.Passed, tt.passed)
			}
		})
	}
	if _, err := os.Stat("../etc"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a name that leads elsewhere was written")
	}
}

func TestBombsAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	bomb := zipOf(t, "bomb.csv", strings.Repeat("\x00", 64<<20), "after.csv", "in after")
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	if err := os.WriteFile("bomb.zip", bomb, 0o600); err != nil {
		t.Fatal(err)
	}
	got := opened(t, &Files{}, "bomb.zip")
	if diff := cmp.Diff([]string{"bomb.zip/bomb.csv! " + errBomb.Error(), "bomb.zip/after.csv: in after"}, got); diff != "" {
		t.Errorf("Open (-want +got):\n%s", diff)
	}
	var many []string
	for i := range maxMembers + 1 {
		many = append(many, fmt.Sprint(i, ".csv"), "")
	}
	if err := os.WriteFile("many.zip", zipOf(t, many...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := opened(t, &Files{}, "many.zip"); len(got) != 1 || !strings.Contains(got[0], errMembers.Error()) {
		t.Errorf("a zip of too many files = %v", got[:1])
	}
}

func TestBoundedIsWholeAtItsBound(t *testing.T) {
	for n, want := range map[int64]error{3: nil, 4: nil, 2: errTooLarge} {
		_, err := io.ReadAll(&bounded{r: strings.NewReader("abc"), left: n, err: errTooLarge})
		if !errors.Is(err, want) {
			t.Errorf("3 bytes within %d: %v, want %v", n, err, want)
		}
	}
}
