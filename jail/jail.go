// Package jail takes from a process what it will not need any more: its user,
// its capabilities, sockets, programs, and files.
package jail

// Options are what a process keeps.
type Options struct {
	// User is whom a process of root becomes; of anybody else it stays.
	User string
	// Writable is the one directory in which it may change anything. It should
	// have been entered: who becomes somebody else may not reach it again from
	// above. It is given to User.
	Writable string
}

// A Report says what was taken, and what could not be and why.
type Report struct {
	Taken   []string `json:"taken,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

func (r *Report) took(what string) { r.Taken = append(r.Taken, what) }

// lacks notes what this kernel, or this build, cannot take.
func (r *Report) lacks(what string, err error) {
	r.Missing = append(r.Missing, what+": "+err.Error())
}
