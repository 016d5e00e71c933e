package sensor

import (
	"cmp"
	"fmt"
	"slices"

	"ippwatch/exposure"
)

// mostFrequent is how many are followed. Whatever is more than one in so many of
// all is among them.
const mostFrequent = 128

// cells is how many counters stand before the places: who has none is counted in
// one of them together with others.
const cells = 4096

// frequent follows the most frequent ones by the filtered space-saving algorithm
// (Homem, Carvalho 2010): who is new is counted in a cell by his hash, and takes
// the place of the least frequent when that cell has as many. His count may then
// be too high by what was in the cell. A flood of sources that come once does not
// touch the places.
type frequent[T comparable] struct {
	at    map[T]*place[T]
	least []*place[T] // a heap, the least frequent first
	cells []int64
	keep  func(T) T // what may be remembered of what was lent; nil: itself
}

type place[T comparable] struct {
	what    T
	hash    uint64
	n, over int64
	index   int
}

func (f *frequent[T]) add(what T, hash uint64, n int64) { f.addOver(what, hash, n, 0) }

// addOver adds n, of which over may be others'.
func (f *frequent[T]) addOver(what T, hash uint64, n, over int64) {
	if p := f.at[what]; p != nil {
		p.n += n
		p.over += over
		f.down(p.index)
		return
	}
	if f.at == nil {
		f.at = make(map[T]*place[T], mostFrequent)
		f.cells = make([]int64, cells)
	}
	cell := &f.cells[hash%cells]
	if len(f.least) < mostFrequent {
		p := &place[T]{what: f.kept(what), hash: hash, n: *cell + n, over: *cell + over}
		f.at[p.what] = p
		f.least = append(f.least, p)
		f.up(len(f.least) - 1)
		return
	}
	p := f.least[0]
	if *cell+n < p.n {
		*cell += n
		return
	}
	delete(f.at, p.what)
	before := *cell
	// From now on the cell counts whoever leaves.
	if leaves := &f.cells[p.hash%cells]; *leaves < p.n {
		*leaves = p.n
	}
	p.what, p.hash, p.n, p.over = f.kept(what), hash, before+n, before+over
	f.at[p.what] = p
	f.down(0)
}

func (f *frequent[T]) kept(what T) T {
	if f.keep != nil {
		return f.keep(what)
	}
	return what
}

// merge adds what another followed; the more frequent first, so that they stay.
func (f *frequent[T]) merge(other *frequent[T]) {
	for _, p := range other.sorted() {
		f.addOver(p.what, p.hash, p.n, p.over)
	}
}

func (f *frequent[T]) sorted() []*place[T] {
	all := slices.Clone(f.least)
	slices.SortFunc(all, func(a, b *place[T]) int {
		return cmp.Or(cmp.Compare(b.n-b.over, a.n-a.over), cmp.Compare(b.n, a.n), cmp.Compare(fmt.Sprint(a.what), fmt.Sprint(b.what)))
	})
	return all
}

// list returns the most frequent ones, by what is certain.
func (f *frequent[T]) list(most int) (told []exposure.Frequent) {
	for _, p := range f.sorted() {
		if len(told) == most {
			break
		}
		told = append(told, exposure.Frequent{What: fmt.Sprint(p.what), N: p.n, Over: p.over})
	}
	return told
}

// down moves the place at i to where it belongs after it has become more
// frequent. Package heap does the same through an interface; this is done for
// every packet.
func (f *frequent[T]) down(i int) {
	h := f.least
	p := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].n < h[child].n {
			child++
		}
		if h[child].n >= p.n {
			break
		}
		h[i] = h[child]
		h[i].index = i
		i = child
	}
	h[i] = p
	p.index = i
}

// up moves a new place to where it belongs.
func (f *frequent[T]) up(i int) {
	h := f.least
	p := h[i]
	for i > 0 && h[(i-1)/2].n > p.n {
		h[i] = h[(i-1)/2]
		h[i].index = i
		i = (i - 1) / 2
	}
	h[i] = p
	p.index = i
}
