// Package answer is how a command ends: done, failed, or used wrongly, with what
// helps.
package answer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/screen"
)

// Exit codes (DESIGN.md, "What a user types").
const (
	Done    = 0
	Failed  = 1
	Misused = 2
	Found   = 3
)

// ErrFound ends a command that did its work and found something at or above
// --fail-on.
var ErrFound = errors.New("found something at or above --fail-on")

// A failure is an error of a command that was used rightly; everything else
// that reaches [Exit] is a wrong use.
type failure struct{ error }

// Unwrap returns what failed.
func (f failure) Unwrap() error { return f.error }

// Fail marks an error of a command that was used rightly.
func Fail(err error) error { return failure{err} }

type hinted struct {
	error
	hint string
}

// Hint is what the user can do about it.
func (h hinted) Hint() string { return h.hint }

// Unwrap returns what it is about.
func (h hinted) Unwrap() error { return h.error }

// Hint attaches to err what the user can do about it.
func Hint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// A usageError is a wrong use of a command; help names the command whose help
// says the right one.
type usageError struct {
	error
	help string
}

// Unwrap returns what is wrong.
func (u usageError) Unwrap() error { return u.error }

// Usage is a wrong use of a command.
func Usage(format string, args ...any) error {
	return usageError{error: fmt.Errorf(format, args...)}
}

// Misuse marks an error as a wrong use of a command.
func Misuse(err error) error { return usageError{error: err} }

// Do makes a command's function out of f, so that [Exit] can tell a failure from
// a wrong use.
func Do(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		if err == nil {
			return nil
		}
		if _, wrong := errors.AsType[usageError](err); wrong {
			return usageError{err, cmd.CommandPath()}
		}
		return failure{err}
	}
}

// BadFlag says of a flag what it wants, where the flag's package says how it
// failed to read it.
func BadFlag(cmd *cobra.Command, err error) error {
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		wants := map[string]string{
			"int": "a number", "uint16": "a number up to 65535", "uintSlice": "a number", "bool": "true or false",
			"duration": "a time such as 15s or 2m",
		}
		if want, ok := wants[wrong.GetFlag().Value.Type()]; ok {
			err = fmt.Errorf("--%s %q: want %s", wrong.GetFlag().Name, wrong.GetValue(), want)
		}
	}
	return usageError{err, cmd.CommandPath()}
}

// Wants accepts exactly the arguments that are named; a name that ends in "..."
// stands for one or more, one in brackets may be left out.
func Wants(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
		most := len(names)
		if most > 0 && strings.HasSuffix(names[most-1], "...") {
			most = max(most, len(args))
		}
		switch {
		case len(args) < len(names) && !strings.HasPrefix(names[len(args)], "["):
			return usageError{fmt.Errorf("%s: %s is missing", name, names[len(args)]), cmd.CommandPath()}
		case len(args) > most:
			return usageError{fmt.Errorf("%s: %q is one argument too many", name, args[most]), cmd.CommandPath()}
		}
		return nil
	}
}

// Group makes a command of one that has only subcommands: alone it is
// incomplete, and a wrong word is met with the right one.
func Group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := error(usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), cmd.CommandPath()})
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err = Hint(err, "did you mean %s %s?", cmd.CommandPath(), strings.Join(near, " or "))
		}
		return err
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.HasParent() {
			return cmd.Help()
		}
		var words []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				words = append(words, c.Name())
			}
		}
		return usageError{fmt.Errorf("%s needs one of %s", cmd.Name(), strings.Join(words, ", ")), cmd.CommandPath()}
	}
	return cmd
}

// Exit prints what there is to say and returns the exit code.
func Exit(w io.Writer, err error) int {
	if err == nil {
		return Done
	}
	if errors.Is(err, ErrFound) {
		return Found
	}
	hints := Hints(err)
	if errors.Is(err, syscall.EPIPE) && len(hints) == 0 {
		return Failed // the reader of our output has seen enough
	}
	for line := range strings.Lines(strings.TrimRight(err.Error(), "\n")) {
		fmt.Fprintf(w, "ippwatch: %s\n", screen.Printable(strings.TrimRight(line, "\n")))
	}
	for _, h := range hints {
		fmt.Fprintf(w, "ippwatch: hint: %s\n", screen.Printable(h))
	}
	if _, ok := errors.AsType[failure](err); ok {
		return Failed
	}
	if len(hints) == 0 {
		help := "ippwatch"
		if wrong, ok := errors.AsType[usageError](err); ok && wrong.help != "" {
			help = wrong.help
		}
		fmt.Fprintf(w, "ippwatch: hint: see %s --help\n", help)
	}
	return Misused
}

// Hints returns the hints in an error, the innermost last.
func Hints(err error) []string { return gather(err, nil) }

func gather(err error, hints []string) []string {
	if h, ok := err.(interface{ Hint() string }); ok && !slices.Contains(hints, h.Hint()) {
		hints = append(hints, h.Hint())
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			hints = gather(inner, hints)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			hints = gather(inner, hints)
		}
	}
	return hints
}

// A Faithful writer remembers the first error, so that a listing that could not
// be written is never taken for one that was.
type Faithful struct {
	W   io.Writer
	Err error
}

// Write writes.
func (f *Faithful) Write(b []byte) (int, error) {
	n, err := f.W.Write(b)
	if err != nil && f.Err == nil {
		f.Err = err
	}
	return n, err
}

// Join puts what could not be written together with how the command ended.
func (f *Faithful) Join(err error) error {
	if f.Err != nil && !errors.Is(err, f.Err) {
		return Fail(errors.Join(f.Err, err))
	}
	return err
}
