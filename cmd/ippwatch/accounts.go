package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ippwatch/access"
	"ippwatch/answer"
	"ippwatch/config"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) accountsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accounts",
		Short: "Say who may log in to the pages",
		Long: `An account has a name, a password and a role:

  constituent   sees the hosts of its constituent, and may answer for them
  analyst       sees all, and works on cases
  operator      sees all, and runs all, accounts and keys included
  auditor       sees all and the audit log, and changes nothing

A password is read from the terminal, from stdin or from a file, never from the
command line, where others could see it. Five wrong ones lock an account for half a
minute, more of them for up to a quarter of an hour; enable unlocks it at once.`,
	}
	cmd.AddCommand(s.addAccountCommand(), s.listAccountsCommand(), s.passwordCommand(),
		s.accountChange("disable NAME", "Shut an account and end its sessions", "%s may not log in any more; its sessions are over", (*store.Store).Disable),
		s.accountChange("enable NAME", "Open an account again, also one that is locked", "%s may log in", (*store.Store).Enable),
		s.accountChange("remove NAME", "Remove an account; what it did stays in the audit log", "%s is removed; its sessions are over", (*store.Store).RemoveAccount),
	)
	return group(cmd)
}

func (s *street) addAccountCommand() *cobra.Command {
	var role, constituent, file string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add an account",
		Example: `  ippwatch accounts add ann --role operator
  ippwatch accounts add noc@example.net --role constituent --constituent customer-a --password-file noc.txt`,
		Args: wants("NAME"),
	}
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		if role == "" {
			return usage("accounts add needs --role: constituent, analyst, operator or auditor")
		}
		r, err := access.ParseRole(role)
		if err != nil {
			return usage("--role: %w", err)
		}
		return s.with(ctx, func(h *house) error {
			if err := s.constituentExists(ctx, h, constituent); err != nil {
				return err
			}
			password, err := s.password(file, true)
			if err != nil {
				return err
			}
			a := store.Account{Name: args[0], Role: r, Constituent: constituent}
			if err := s.badAccount(args[0], h.store.AddAccount(ctx, a, password, whoami(), s.now())); err != nil {
				return err
			}
			s.Note("%s may log in as %s", store.AccountName(args[0]), roleText(r, constituent))
			return nil
		})
	})
	cmd.Flags().StringVar(&role, "role", "", "constituent, analyst, operator or auditor")
	cmd.Flags().StringVar(&constituent, "constituent", "", "whose hosts the role constituent sees")
	passwordFile(cmd, &file)
	s.completeRoles(cmd)
	return cmd
}

func passwordFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "password-file", "", "file with the password, mode 0600; default: the terminal, or stdin")
	_ = cmd.MarkFlagFilename("password-file")
}

func (s *street) completeRoles(cmd *cobra.Command) {
	var roles []string
	for _, r := range access.Named {
		roles = append(roles, string(r))
	}
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("constituent", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.constituentWords(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	})
}

func roleText(r access.Role, constituent string) string {
	if constituent == "" {
		return string(r)
	}
	return string(r) + " " + constituent
}

// constituentExists refuses a constituent that is not known: its account would
// see nothing, and nobody would know why.
func (s *street) constituentExists(ctx context.Context, h *house, name string) error {
	if name == "" {
		return nil
	}
	k, err := h.people.Find(ctx, s.view(), name)
	if err == nil && len(k.Networks) == 0 && len(k.ASNs)+len(k.Countries) > 0 {
		s.Note("%s has no networks: what is its by AS number or country only is not shown to it", name)
	}
	return s.advised(err)
}

// badAccount makes a wrong use of what cannot be.
func (s *street) badAccount(name string, err error) error {
	if _, bad := errors.AsType[store.BadAccountError](err); bad {
		return answer.Misuse(err)
	}
	switch {
	case errors.Is(err, store.ErrTaken):
		return hint(fmt.Errorf("add account %s: %w", store.AccountName(name), store.ErrTaken), "%s sets its password", s.again("accounts password %s", shellWord(store.AccountName(name))))
	case errors.Is(err, store.ErrNoAccount):
		return hint(fmt.Errorf("%s: %w", store.AccountName(name), store.ErrNoAccount), "%s lists who has one", s.again("accounts list"))
	}
	return err
}

// maxPasswordLine bounds what is read.
const maxPasswordLine = 4096

// password reads a password: from the file, from the terminal without showing
// it, twice if it is new, or the first line of stdin.
func (s *street) password(file string, twice bool) (string, error) {
	if file != "" {
		b, err := config.Secret(file, "")
		if err != nil {
			return "", err
		}
		return string(b), nil
	}
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		first, err := s.ask(f, "password: ")
		if err != nil || !twice {
			return first, err
		}
		again, err := s.ask(f, "again: ")
		if err == nil && first != again {
			err = errors.New("the two passwords differ")
		}
		return first, err
	}
	line, err := bufio.NewReader(io.LimitReader(s.in, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", hint(usage("no password on stdin"), "type it at a terminal, or name a file with --password-file")
	}
	return line, nil
}

func (s *street) ask(f *os.File, prompt string) (string, error) {
	fmt.Fprint(s.Err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.Err)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(b), nil
}

func (s *street) passwordCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:               "password NAME",
		Short:             "Set the password of an account and end its sessions",
		Example:           `  ippwatch accounts password ann`,
		Args:              wants("NAME"),
		ValidArgsFunction: s.completeAccounts,
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error {
				password, err := s.password(file, true)
				if err != nil {
					return err
				}
				if err := s.badAccount(args[0], h.store.SetPassword(ctx, args[0], password, whoami(), s.now())); err != nil {
					return err
				}
				s.Note("%s has a new password; its sessions are over", store.AccountName(args[0]))
				return nil
			})
		}),
	}
	passwordFile(cmd, &file)
	return cmd
}

// accountChange is a command that does one thing to an account.
func (s *street) accountChange(use, short, done string, change func(st *store.Store, ctx context.Context, name, who string, at time.Time) error) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Example:           "  ippwatch accounts " + strings.Replace(use, "NAME", "ann", 1),
		Args:              wants("NAME"),
		ValidArgsFunction: s.completeAccounts,
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error {
				if err := s.badAccount(args[0], change(h.store, ctx, args[0], whoami(), s.now())); err != nil {
					return err
				}
				s.Note(done, store.AccountName(args[0]))
				return nil
			})
		}),
	}
}

func (s *street) completeAccounts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
			rows, err := h.store.Accounts(cmd.Context(), s.view())
			for _, a := range rows {
				words = append(words, a.Name+"\t"+roleText(a.Role, a.Constituent))
			}
			return err
		})
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (s *street) listAccountsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List who may log in",
		Example: `  ippwatch accounts list --format json`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error {
				rows, err := h.store.Accounts(ctx, s.view())
				if err != nil {
					return err
				}
				return screen.Listing[store.Account]{
					Columns: []string{"name", "role", "constituent", "state", "last_login"},
					Empty:   "nobody may log in",
					Cells: func(a store.Account) []string {
						return []string{a.Name, string(a.Role), a.Constituent, s.accountState(a), s.Stamp(a.LastLogin)}
					},
				}.Show(&s.Screen, rows)
			})
		}),
	}
}

func (s *street) accountState(a store.Account) string {
	switch {
	case !a.Disabled.IsZero():
		return "disabled"
	case s.now().Before(a.Locked):
		return "locked"
	}
	return "open"
}
