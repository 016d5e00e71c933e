package form

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
)

// A Shape is how the bytes of a stable part, a body, are stored.
type Shape int64

// The numbers are stored and never change their meaning.
const (
	Plain   Shape = 0
	Deflate Shape = 1 // RFC 1951
	Delta   Shape = 2 // against the plain body of a base; see delta.go
)

const (
	packFrom = 96      // shorter bodies stay plain: nothing is won
	maxBody  = 1 << 26 // of a plain body; the observer's own limits are far below

	// MaxBase is the length of the longest body that is a base.
	MaxBase = 1 << 16
)

// A Packer makes bodies small. The zero Packer is ready, for one goroutine.
type Packer struct {
	w     *flate.Writer
	out   bytes.Buffer
	delta Sink
}

// Pack returns the smallest form of a body, good until the next call. The base
// may be nil. One that is no help is not used: it would be read for nothing.
func (p *Packer) Pack(body []byte, base *Base) ([]byte, Shape, error) {
	if len(body) < packFrom {
		return body, Plain, nil
	}
	if base != nil {
		if p.delta = base.delta(p.delta[:0], body); len(p.delta) < len(body)/4 {
			return p.delta, Delta, nil
		}
	}
	if p.w == nil {
		var err error
		if p.w, err = flate.NewWriter(io.Discard, flate.DefaultCompression); err != nil {
			return nil, Plain, fmt.Errorf("start compressor: %w", err)
		}
	}
	p.out.Reset()
	p.w.Reset(&p.out)
	if _, err := p.w.Write(body); err != nil {
		return nil, Plain, err
	}
	if err := p.w.Close(); err != nil {
		return nil, Plain, err
	}
	if p.out.Len() < len(body) {
		return p.out.Bytes(), Deflate, nil
	}
	return body, Plain, nil
}

// Unpack is the way back from any shape. The base is the plain body of a delta's.
func Unpack(stored []byte, how Shape, base []byte) ([]byte, error) {
	switch how {
	case Plain:
		return stored, nil
	case Delta:
		return undelta(base, stored)
	case Deflate:
		body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(stored)), maxBody+1))
		if err != nil {
			return nil, err
		}
		if len(body) <= maxBody {
			return body, nil
		}
	}
	return nil, ErrTorn
}
