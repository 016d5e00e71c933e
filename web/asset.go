package web

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"ippwatch/gate"
)

// An asset is a file that browsers keep for ever: another content has another
// name.
type asset struct {
	kind    string
	body    []byte
	gzipped []byte // nil when that is no smaller
	path    string
}

// kindsOf says what files are, whatever the system thinks.
var kindsOf = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json",
	".woff2": "font/woff2", ".png": "image/png", ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8",
}

func (s *Site) readAssets(fsys fs.FS) error {
	return fs.WalkDir(fsys, "assets", func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == "assets" {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(fsys, file)
		if err != nil {
			return fmt.Errorf("read asset: %w", err)
		}
		name := strings.TrimPrefix(file, "assets/")
		if _, twice := s.assets[name]; twice {
			return fmt.Errorf("read asset %s: there are two of this name", name)
		}
		ext := path.Ext(name)
		kind, ok := kindsOf[ext]
		if !ok {
			if kind = mime.TypeByExtension(ext); kind == "" {
				kind = "application/octet-stream"
			}
		}
		sum := sha256.Sum256(body)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a := &asset{kind: kind, body: body, path: "/assets/" + hashed}
		if z := gate.Gzip(body); len(z) < len(body)*9/10 {
			a.gzipped = z
		}
		s.assets[name], s.hashed[hashed] = a, a
		return nil
	})
}

// Asset is the address of a file of ours, by its name under assets.
func (s *Site) Asset(name string) (string, error) {
	a, ok := s.assets[name]
	if !ok {
		return "", fmt.Errorf("no asset %s", name)
	}
	return a.path, nil
}

func (s *Site) serveAsset(w http.ResponseWriter, r *http.Request, _ *gate.Visit) error {
	a, ok := s.hashed[r.PathValue("file")]
	if !ok {
		return gate.NotFound
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", gate.Immutable)
	h.Set("Vary", "Accept-Encoding")
	body := a.body
	if a.gzipped != nil && gate.TakesGzip(r) {
		body = a.gzipped
		h.Set("Content-Encoding", "gzip")
	}
	return gate.SendRaw(w, r, http.StatusOK, body)
}
