package archive

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// Sizes of the memories of one writer, in entries.
const (
	recentFaces  = 1 << 15
	recentPlaces = 1 << 14
	recentOthers = 1 << 10
	recentBases  = 1 << 7
)

// hashesAsked is how many faces one query looks up.
const hashesAsked = 64

// A runRow is what the writer knows of a run.
type runRow struct{ id, base int64 }

// A writer is the one connection that writes, its statements, and what it
// remembers of the dictionaries. Entries of dictionaries are never changed, and
// only a prune removes them, which raises the epoch: so what it remembers stays
// true whatever other processes do.
type writer struct {
	conn         *sql.Conn
	batch        int
	preparers    []preparer
	ready, spare []row // batches; their memory is used again and again
	packer       form.Packer

	runs    *recent[string, runRow]
	doors   *recent[door, int64]
	kinds   *recent[kind, int64]
	places  *recent[exposure.Where, int64]
	tagsets *recent[string, int64]
	seen    *recent[hash, int64] // faces
	bases   *recent[int64, baseRow]

	observations, newFaces, newContents *multi

	statements map[string]*sql.Stmt // prepared, by their text
	epoch      int64                // of what is remembered; see prune.go
}

// A baseRow is a content that others of its stem are written against.
type baseRow struct {
	id   int64
	base *form.Base
}

func newWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{
		conn:       conn,
		batch:      firstBatch,
		preparers:  make([]preparer, runtime.GOMAXPROCS(0)),
		runs:       newRecent[string, runRow](recentOthers),
		doors:      newRecent[door, int64](recentOthers),
		kinds:      newRecent[kind, int64](recentOthers),
		places:     newRecent[exposure.Where, int64](recentPlaces),
		tagsets:    newRecent[string, int64](recentOthers),
		seen:       newRecent[hash, int64](recentFaces),
		bases:      newRecent[int64, baseRow](recentBases),
		statements: make(map[string]*sql.Stmt),
	}
	w.observations = newMulti(w, `observation (run, key, observed, face, pack)`, ` ON CONFLICT DO NOTHING`)
	w.newFaces = newMulti(w, `face (id, hash, content, place, kind, tags)`, ``)
	w.newContents = newMulti(w, `content (id, hash, stem, base, form, body)`, ``)
	return w, nil
}

// statement returns a prepared statement, the same for the same text: texts are
// constants.
func (w *writer) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := w.statements[text]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, text)
	if err == nil {
		w.statements[text] = s
	}
	return s, err
}

func (w *writer) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := w.statement(ctx, text) //nolint:sqlclosecheck // writer.close closes it
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// scan reads the one row that a query finds.
func (w *writer) scan(ctx context.Context, text string, args []any, to ...any) error {
	s, err := w.statement(ctx, text) //nolint:sqlclosecheck // writer.close closes it
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(to...)
}

func (w *writer) close() error {
	errs := make([]error, 0, len(w.statements)+1)
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// immediately runs f in a transaction that holds the right to write from its
// beginning, waiting for other writers. Its statements are not cancelled one by
// one: it is short, and ends as a whole.
func (w *writer) immediately(ctx context.Context, f func(context.Context) error) error {
	begin := func() error {
		_, err := w.exec(ctx, `BEGIN IMMEDIATE`)
		return err
	}
	if err := patiently(ctx, begin); err != nil {
		return err
	}
	whole := context.WithoutCancel(ctx)
	err := w.learnEpoch(whole)
	if err == nil {
		err = f(whole)
	}
	if err == nil {
		_, err = w.exec(whole, `COMMIT`)
	}
	if err == nil {
		return nil
	}
	// The numbers that it remembers may belong to rows that are gone.
	w.forget()
	if _, failed := w.exec(whole, `ROLLBACK`); failed != nil && !strings.Contains(failed.Error(), "no transaction is active") {
		return errors.Join(err, failed)
	}
	return err
}

func (w *writer) forget() {
	w.runs.forget()
	w.doors.forget()
	w.kinds.forget()
	w.places.forget()
	w.tagsets.forget()
	w.seen.forget()
	w.bases.forget()
	w.observations.forget()
	w.newFaces.forget()
	w.newContents.forget()
}

// entry returns the id of a dictionary's row, making it when it is new: find
// is a SELECT of the id and add an INSERT, with the arguments of each.
func (w *writer) entry(ctx context.Context, find string, by []any, add string, values []any) (int64, error) {
	var id int64
	err := w.scan(ctx, find, by, &id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	r, err := w.exec(ctx, add, values...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

func (w *writer) run(ctx context.Context, name string, observed int64) (runRow, error) {
	if r, ok := w.runs.get(name); ok {
		return r, nil
	}
	if _, err := w.exec(ctx, `INSERT INTO run (name, base, first, last) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		blob(name), observed, observed, observed); err != nil {
		return runRow{}, err
	}
	var r runRow
	err := w.scan(ctx, `SELECT id, base FROM run WHERE name = ?`, []any{blob(name)}, &r.id, &r.base)
	if err == nil {
		w.runs.put(name, r)
	}
	return r, err
}

func (w *writer) door(ctx context.Context, o *exposure.Observation) (int64, error) {
	d := door{o.Port, o.Transport, o.Probe}
	if id, ok := w.doors.get(d); ok {
		return id, nil
	}
	args := []any{d.port, blob(d.transport), blob(d.probe)}
	id, err := w.entry(ctx, `SELECT id FROM door WHERE port = ? AND transport = ? AND probe = ?`, args,
		`INSERT INTO door (port, transport, probe) VALUES (?, ?, ?)`, args)
	if err == nil {
		w.doors.put(d, id)
	}
	return id, err
}

func (w *writer) kind(ctx context.Context, k kind) (int64, error) {
	if id, ok := w.kinds.get(k); ok {
		return id, nil
	}
	args := []any{k.v, blob(k.source), blob(k.vantage), blob(k.transport), blob(k.verdict), k.simulated, k.cups}
	id, err := w.entry(ctx, `SELECT id FROM kind WHERE v = ? AND source = ? AND vantage = ? AND transport = ?
		AND verdict = ? AND simulated = ? AND cups = ?`, args,
		`INSERT INTO kind (v, source, vantage, transport, verdict, simulated, cups) VALUES (?, ?, ?, ?, ?, ?, ?)`, args)
	if err == nil {
		w.kinds.put(k, id)
	}
	return id, err
}

func (w *writer) place(ctx context.Context, p exposure.Where) (int64, error) {
	if id, ok := w.places.get(p); ok {
		return id, nil
	}
	h := hashOf(placeBody(nil, &p))
	id, err := w.entry(ctx, `SELECT id FROM place WHERE hash = ?`, []any{h[:]},
		`INSERT INTO place (hash, country, region, city, asn, as_name, hostname) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		[]any{h[:], blob(p.Country), blob(p.Region), blob(p.City), p.ASN, blob(p.ASName), blob(p.Hostname)})
	if err == nil {
		w.places.put(p, id)
	}
	return id, err
}

func (w *writer) tag(ctx context.Context, name string) (int64, error) {
	args := []any{blob(name)}
	return w.entry(ctx, `SELECT id FROM tag WHERE name = ?`, args, `INSERT INTO tag (name) VALUES (?)`, args)
}

func (w *writer) tagset(ctx context.Context, body string) (int64, error) {
	if id, ok := w.tagsets.get(body); ok {
		return id, nil
	}
	_, rules, err := splitTags(body)
	if err != nil {
		return 0, err
	}
	args := []any{blob(body)}
	id, err := w.entry(ctx, `SELECT id FROM tagset WHERE body = ?`, args, `INSERT INTO tagset (body) VALUES (?)`, args)
	if err != nil {
		return 0, err
	}
	for _, rule := range rules {
		tag, err := w.tag(ctx, rule)
		if err != nil {
			return 0, err
		}
		if _, err := w.exec(ctx, `INSERT INTO tagset_tag (tagset, tag) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, tag); err != nil {
			return 0, err
		}
	}
	w.tagsets.put(body, id)
	return id, nil
}

// faces returns the id of each row's face, and adds those that are new.
func (w *writer) faces(ctx context.Context, rows []row) ([]int64, error) {
	ids := make([]int64, len(rows))
	known := make(map[hash]int64)
	for i := range rows {
		if id, ok := w.seen.get(rows[i].hash); ok {
			ids[i] = id
		} else {
			known[rows[i].hash] = 0
		}
	}
	if err := w.find(ctx, `face`, known); err != nil {
		return nil, err
	}
	contents := make(map[hash]int64)
	for i := range rows {
		if ids[i] == 0 && known[rows[i].hash] == 0 {
			contents[rows[i].content] = 0
		}
	}
	if len(contents) > 0 {
		if err := w.addFaces(ctx, rows, known, contents); err != nil {
			return nil, err
		}
	}
	for i := range rows {
		if ids[i] == 0 {
			ids[i] = known[rows[i].hash]
			w.seen.put(rows[i].hash, ids[i])
		}
	}
	return ids, nil
}

// addFaces adds the faces of rows that are 0 in known, with those of their
// contents that are new, and sets their numbers in both.
func (w *writer) addFaces(ctx context.Context, rows []row, known, contents map[hash]int64) error {
	if err := w.find(ctx, `content`, contents); err != nil {
		return err
	}
	// Nobody else writes in this transaction, so we may number the rows.
	var lastFace, lastContent int64
	err := w.scan(ctx, `SELECT coalesce((SELECT max(id) FROM face), 0), coalesce((SELECT max(id) FROM content), 0)`, nil,
		&lastFace, &lastContent)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if id, asked := known[r.hash]; !asked || id != 0 {
			continue
		}
		if contents[r.content] == 0 {
			lastContent++
			if err := w.addContent(ctx, lastContent, r); err != nil {
				return err
			}
			contents[r.content] = lastContent
		}
		place, err := w.place(ctx, r.o.Where)
		if err != nil {
			return err
		}
		kind, err := w.kind(ctx, r.kind)
		if err != nil {
			return err
		}
		tags, err := w.tagset(ctx, r.tags)
		if err != nil {
			return err
		}
		lastFace++
		if _, err := w.newFaces.add(ctx, lastFace, r.hash[:], contents[r.content], place, kind, tags); err != nil {
			return err
		}
		known[r.hash] = lastFace
	}
	if _, err := w.newContents.flush(ctx); err != nil {
		return err
	}
	_, err = w.newFaces.flush(ctx)
	return err
}

// find sets the numbers of the hashes that the table has.
func (w *writer) find(ctx context.Context, table string, known map[hash]int64) error {
	ask, err := w.statement(ctx, `SELECT hash, id FROM `+table+` WHERE hash IN (?`+strings.Repeat(`, ?`, hashesAsked-1)+`)`)
	if err != nil {
		return err
	}
	hashes := make([]any, 0, len(known))
	for h := range known {
		hashes = append(hashes, h[:])
	}
	for part := range slices.Chunk(hashes, hashesAsked) {
		for len(part) < hashesAsked {
			part = append(part, part[0])
		}
		if err := findPart(ctx, ask, part, known); err != nil {
			return err
		}
	}
	return nil
}

func findPart(ctx context.Context, ask *sql.Stmt, hashes []any, known map[hash]int64) error {
	found, err := ask.QueryContext(ctx, hashes...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var raw sql.RawBytes
		var id int64
		if err := found.Scan(&raw, &id); err != nil {
			return err
		}
		if len(raw) == len(hash{}) {
			known[hash(raw)] = id
		}
	}
	return found.Err()
}

// addContent adds the stable part of a row under the number.
func (w *writer) addContent(ctx context.Context, id int64, r *row) error {
	stem := r.parts.Stem
	b, err := w.base(ctx, stem)
	if err != nil {
		return err
	}
	stored, how, err := w.packer.Pack(r.parts.Stable, b.base)
	if err != nil {
		return err
	}
	base := sql.NullInt64{Int64: b.id, Valid: how == form.Delta}
	_, err = w.newContents.add(ctx, id, r.content[:], stem, base, int64(how), bytes.Clone(stored))
	return err
}

// base returns the first body of the stem, or none.
func (w *writer) base(ctx context.Context, stem int64) (baseRow, error) {
	if b, ok := w.bases.get(stem); ok {
		return b, nil
	}
	if _, err := w.newContents.flush(ctx); err != nil {
		return baseRow{}, err // it may be among them
	}
	var b baseRow
	var how form.Shape
	var stored []byte
	err := w.scan(ctx, `SELECT id, form, body FROM content WHERE stem = ? AND base IS NULL AND length(body) <= ?
		ORDER BY id LIMIT 1`, []any{stem, form.MaxBase}, &b.id, &how, &stored)
	if errors.Is(err, sql.ErrNoRows) {
		return baseRow{}, nil
	}
	if err != nil {
		return baseRow{}, err
	}
	body, err := form.Unpack(stored, how, nil)
	if err != nil {
		return baseRow{}, err
	}
	b.base = form.NewBase(body)
	w.bases.put(stem, b)
	return b, nil
}

// addKnown reports whether the id is new to the archive.
func (w *writer) addKnown(ctx context.Context, id []byte) (bool, error) {
	n, err := inserted(w.exec(ctx, `INSERT INTO known (id) VALUES (?) ON CONFLICT DO NOTHING`, id))
	return n > 0, err
}

// blob binds text that a stranger may have chosen; never NULL.
func blob[T ~string](v T) []byte { return append([]byte{}, v...) }

// dayNumber counts UTC days since 1970-01-01.
func dayNumber(t time.Time) int64 { return floor(t.Unix(), secondsPerDay) }

const secondsPerDay = 24 * 60 * 60

func floor(a, b int64) int64 {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}
