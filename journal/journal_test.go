package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func events(from, n int) (all [][]byte) {
	for i := range n {
		all = append(all, fmt.Appendf(nil, `{"n":%d}`, from+i))
	}
	return all
}

func open(t *testing.T, o Options) *Journal {
	t.Helper()
	o.Name = "visits"
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func write(t *testing.T, j *Journal, all [][]byte) {
	t.Helper()
	if n, err := j.Append(all); err != nil || n != len(all) {
		t.Fatalf("Append = %d, %v, want %d", n, err, len(all))
	}
}

func readAll(t *testing.T, r *Reader) (all []string) {
	t.Helper()
	for {
		got, err := r.Read(7)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return all
		}
		for _, e := range got {
			all = append(all, string(e))
		}
	}
}

func texts(all [][]byte) (s []string) {
	for _, e := range all {
		s = append(s, string(e))
	}
	return s
}

func TestReaderFollowsOverFilesAndRestarts(t *testing.T) {
	dir := t.TempDir()
	r := &Reader{Dir: dir, Name: "visits"}
	if got := readAll(t, r); got != nil {
		t.Fatalf("an empty journal has %v", got)
	}
	var want, got []string
	for round := range 5 {
		j := open(t, Options{Dir: dir, Segment: 100})
		all := events(round*20, 20)
		write(t, j, all)
		want = append(want, texts(all)...)
		got = append(got, readAll(t, r)...)
		// The cursor is all that has to be remembered.
		r = &Reader{Dir: dir, Name: "visits", At: r.At}
		if err := errors.Join(j.Sync(), j.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || r.Lost != 0 {
		t.Errorf("lost %d, (-want +got):\n%s", r.Lost, diff)
	}
}

// TestCutAnywhere cuts the file at every byte, as a crash may, and goes on.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	first := events(0, 5)
	write(t, j, first)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path(1))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(path(dir, "visits", 1), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		kept := bytes.Count(whole[:cut], []byte("\n"))
		// A reader that was there before the crash loses its place to nobody.
		r := &Reader{Dir: dir, Name: "visits"}
		got := readAll(t, r)
		j := open(t, Options{Dir: dir})
		write(t, j, events(100, 2))
		got = append(got, readAll(t, r)...)
		want := append(texts(first[:kept]), texts(events(100, 2))...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
		}
		if diff := cmp.Diff(want, readAll(t, &Reader{Dir: dir, Name: "visits"})); diff != "" {
			t.Fatalf("cut at %d, read from the beginning (-want +got):\n%s", cut, diff)
		}
	}
}

func TestDamageIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	write(t, j, events(0, 5))
	text, err := os.ReadFile(j.path(1))
	if err != nil {
		t.Fatal(err)
	}
	text[bytes.Index(text, []byte(`"n":2`))] ^= 1
	if err := os.WriteFile(j.path(1), text, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &Reader{Dir: dir, Name: "visits"}
	if diff := cmp.Diff([]string{`{"n":0}`, `{"n":1}`, `{"n":3}`, `{"n":4}`}, readAll(t, r)); diff != "" || r.Lost != 1 {
		t.Errorf("lost %d, want 1 (-want +got):\n%s", r.Lost, diff)
	}
}

func TestOldestGoFirst(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, Cap: 2000, Segment: 200})
	r := &Reader{Dir: dir, Name: "visits"}
	write(t, j, events(0, 5))
	if got := readAll(t, r); len(got) != 5 {
		t.Fatalf("read %d", len(got))
	}
	write(t, j, events(5, 500))
	total := int64(0)
	files, err := filepath.Glob(filepath.Join(dir, "visits-*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 2000+200 {
		t.Errorf("%d bytes in %d files, the cap is 2000", total, len(files))
	}
	got := readAll(t, r)
	if len(got) == 0 || got[len(got)-1] != `{"n":504}` || r.Lost != int64(500-len(got)) {
		t.Errorf("read %d, lost %d, the last %s", len(got), r.Lost, got[len(got)-1])
	}
	if shed := j.TakeShed(); shed < r.Lost || j.TakeShed() != 0 {
		t.Errorf("shed %d, and the reader missed %d", shed, r.Lost)
	}
	write(t, j, events(505, 1))
	if got := readAll(t, r); len(got) != 1 {
		t.Errorf("then read %v", got)
	}
}

// A disk has so much room for all files together.
type disk struct {
	room  int64
	files []*diskFile
}

type diskFile struct {
	*os.File
	d    *disk
	size int64
}

func (d *disk) create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	df := &diskFile{File: f, d: d}
	d.files = append(d.files, df)
	return df, nil
}

// free is what is left; removed files take nothing.
func (d *disk) free() int64 {
	room := d.room
	for _, f := range d.files {
		if _, err := os.Stat(f.Name()); err == nil {
			room -= f.size
		}
	}
	return room
}

func (f *diskFile) Write(b []byte) (int, error) {
	if free := f.d.free(); int64(len(b)) > free {
		n, err := f.File.Write(b[:max(free, 0)])
		f.size += int64(n)
		return n, errors.Join(err, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC})
	}
	n, err := f.File.Write(b)
	f.size += int64(n)
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	f.size = size
	return f.File.Truncate(size)
}

func TestDiskFull(t *testing.T) {
	t.Run("the oldest make room", func(t *testing.T) {
		d := &disk{room: 1000}
		dir := t.TempDir()
		j := open(t, Options{Dir: dir, Cap: 1 << 20, Segment: 200, create: d.create})
		write(t, j, events(0, 300))
		got := readAll(t, &Reader{Dir: dir, Name: "visits"})
		if len(got) < 15 || got[len(got)-1] != `{"n":299}` {
			t.Errorf("kept %d, to %s", len(got), got[len(got)-1])
		}
	})
	t.Run("without a cap nothing is removed", func(t *testing.T) {
		d := &disk{room: 500}
		dir := t.TempDir()
		j := open(t, Options{Dir: dir, Segment: 200, create: d.create})
		n := 0
		var err error
		for ; err == nil; n++ {
			_, err = j.Append(events(n, 1))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Append on a full disk: %v", err)
		}
		n-- // that failed
		// When there is room again, it goes on, and nothing is there in half.
		d.room = 1 << 20
		write(t, j, events(n, 3))
		if diff := cmp.Diff(texts(events(0, n+3)), readAll(t, &Reader{Dir: dir, Name: "visits"})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestEventsThatAreNoLine(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	for _, e := range [][]byte{[]byte("a\nb"), bytes.Repeat([]byte("x"), maxLine)} {
		if n, err := j.Append([][]byte{e}); err == nil || n != 0 {
			t.Errorf("Append(%.10q) = %d, %v", e, n, err)
		}
	}
}

const writer = "IPPWATCH_TEST_JOURNAL_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writer); dir != "" {
		j, err := Open(Options{Dir: dir, Name: "visits", Segment: 1 << 16})
		if err != nil {
			panic(err)
		}
		for i := 0; ; i++ {
			e := fmt.Appendf(nil, `{"round":%q,"n":%d,"fill":%q}`, os.Getenv(writer+"_ROUND"), i, strings.Repeat("x", i%5000))
			if _, err := j.Append([][]byte{e}); err != nil {
				panic(err)
			}
			fmt.Println(i) // it is whole in the file
		}
	}
	os.Exit(m.Run())
}

// TestKilledInTheMiddleOfAWrite kills a writer with SIGKILL, again and again: what
// it said to be written is there, and nothing in half.
func TestKilledInTheMiddleOfAWrite(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writer+"="+dir, fmt.Sprintf("%s_ROUND=%d", writer, round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := -1
		for lines.Scan() {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if last == 200+round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		r := &Reader{Dir: dir, Name: "visits"}
		var got []string
		for _, e := range readAll(t, r) {
			if strings.HasPrefix(e, fmt.Sprintf(`{"round":"%d",`, round)) {
				got = append(got, e)
			}
		}
		// One more may have been written than was said.
		if len(got) < last+1 || len(got) > last+2 || r.Lost != 0 {
			t.Errorf("round %d: %d events are there, %d were said to be, lost %d", round, len(got), last+1, r.Lost)
		}
		for n, e := range got {
			if want := fmt.Sprintf(`{"round":"%d","n":%d,"fill":%q}`, round, n, strings.Repeat("x", n%5000)); e != want {
				t.Fatalf("event %.60s, want %.60s", e, want)
			}
		}
		j := open(t, Options{Dir: dir})
		write(t, j, events(0, 1))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzReader(f *testing.F) {
	line := appendLine(nil, 1, []byte(`{"n":0}`))
	f.Add(line)
	f.Add(append(line, "e3069283 17 {"...))
	f.Add([]byte("\n\n00000000 1 {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(path(dir, "visits", 1), text, 0o600); err != nil {
			t.Fatal(err)
		}
		before := readAll(t, &Reader{Dir: dir, Name: "visits"})
		j := open(t, Options{Dir: dir})
		write(t, j, events(7, 1))
		after := readAll(t, &Reader{Dir: dir, Name: "visits"})
		if diff := cmp.Diff(append(before, `{"n":7}`), after); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	j, err := Open(Options{Dir: b.TempDir(), Name: "visits"})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	batch := events(0, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Append(batch); err != nil {
			b.Fatal(err)
		}
	}
}
