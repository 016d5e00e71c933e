package main

import (
	"archive/zip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ippwatch/feed/shadowserver"
	"ippwatch/feed/shadowserver/fake"
)

type apiOnStage struct{}

// playAPI plays Shadowserver's API with the files as today's reports, and
// writes shadowserver.api, which has the key. "broken" lets it fail, "none"
// takes all subscriptions away.
func playAPI(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(apiOnStage{}).(*apiStage)
	s.clear()
	s.Server = fake.New()
	for _, arg := range args {
		switch arg {
		case "broken":
			s.breaks()
			continue
		case "none":
			s.Subscribed = nil
			continue
		}
		typ, _ := shadowserver.FileType(arg)
		s.Reports = append(s.Reports, fake.Report{
			Day: time.Now().UTC().Format(time.DateOnly), Type: typ, File: filepath.Base(arg), List: "example", Body: []byte(ts.ReadFile(arg)),
		})
	}
	text := fmt.Sprintf("[api]\nkey = %s\nsecret = %s\nuri = %s\n", fake.Key, fake.Secret, s.URI())
	ts.Check(os.WriteFile(ts.MkAbs("shadowserver.api"), []byte(text), 0o600))
	for n := range s.Reports {
		ts.Setenv(fmt.Sprintf("LINK%d", n), s.Link(n))
	}
}

// zipped packs files: zipped OUT FILE...
func zipped(ts *testscript.TestScript, _ bool, args []string) {
	out, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	z := zip.NewWriter(out)
	for _, name := range args[1:] {
		w, err := z.Create(name)
		ts.Check(err)
		_, err = w.Write([]byte(ts.ReadFile(filepath.Base(name))))
		ts.Check(err)
	}
	ts.Check(z.Close())
	ts.Check(out.Close())
}

// An apiStage is the API of one script.
type apiStage struct{ *fake.Server }

func (s *apiStage) clear() {
	if s.Server != nil {
		s.Close()
		s.Server = nil
	}
}

// breaks lets every question fail.
func (s *apiStage) breaks() {
	s.Fail = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"the key has expired"}`)) // the client has gone
		return true
	}
}
