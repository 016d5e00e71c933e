package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/access"
	"ippwatch/answer"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Give programs a key to the API",
		Long: `A key has a role, as an account has, and scopes: which of the role's rights it has
(read, answer, change, administer, audit). It is sent as Authorization: Bearer KEY.
A key of the kind hmac signs requests as clients of Shadowserver's reports API do:
it has an id (their "key") and a secret. A secret is shown once.`,
	}
	cmd.AddCommand(s.addKeyCommand(), s.listKeysCommand(), s.revokeKeyCommand())
	return group(cmd)
}

// A shownKey is a key with its secret, as it is shown once.
type shownKey struct {
	store.APIKey
	Secret string `json:"secret"`
}

func (s *street) addKeyCommand() *cobra.Command {
	var role, constituent, kind, expires string
	var scopes []string
	cmd := &cobra.Command{
		Use:   "add LABEL",
		Short: "Make a key, and show its secret this once",
		Example: `  ippwatch keys add "SIEM of customer A" --role constituent --constituent customer-a --expires 90d
  ippwatch keys add intelmq --role analyst --kind hmac
  ippwatch keys add ticketing --role analyst --scope read --scope change`,
		Args: wants("LABEL"),
	}
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		k := store.APIKey{Kind: store.KeyKind(kind), Label: args[0], Constituent: constituent}
		if role == "" {
			return usage("keys add needs --role: constituent, analyst, operator or auditor")
		}
		var err error
		if k.Role, err = access.ParseRole(role); err != nil {
			return usage("--role: %w", err)
		}
		if k.Scopes, err = access.ParseRights(scopes); err != nil {
			return usage("--scope: %w", err)
		}
		if k.Expires, err = parseExpiry(expires, s.now()); err != nil {
			return usage("--expires %q: %w", expires, err)
		}
		return s.with(ctx, func(h *house) error {
			if err := s.constituentExists(ctx, h, constituent); err != nil {
				return err
			}
			k, secret, err := h.store.AddKey(ctx, k, whoami(), s.now())
			if _, bad := errors.AsType[store.BadAccountError](err); bad {
				return answer.Misuse(err)
			}
			if err != nil {
				return err
			}
			s.Note("the secret is shown this once; nobody can show it again")
			if s.Format == "table" { // which would cut the secret short
				fmt.Fprintf(s.Out, "id       %s\nsecret   %s\nexpires  %s\n", k.ID, secret, expiry(&s.Screen, k))
				return nil
			}
			return screen.Listing[shownKey]{
				Columns: []string{"id", "secret", "expires"},
				Cells:   func(k shownKey) []string { return []string{k.ID, k.Secret, expiry(&s.Screen, k.APIKey)} },
			}.Show(&s.Screen, []shownKey{{k, secret}})
		})
	})
	cmd.Flags().StringVar(&role, "role", "", "constituent, analyst, operator or auditor")
	cmd.Flags().StringVar(&constituent, "constituent", "", "whose hosts the role constituent sees")
	cmd.Flags().StringVar(&kind, "kind", string(store.KeyBearer), "bearer, or hmac for clients of Shadowserver's API")
	cmd.Flags().StringSliceVar(&scopes, "scope", []string{string(access.Read)}, "what of the role's rights it has; repeats")
	cmd.Flags().StringVar(&expires, "expires", "365d", "how long it is good, such as 90d, or a day, or never")
	s.completeRoles(cmd)
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"bearer", "hmac"}, cobra.ShellCompDirectiveNoFileComp))
	var words []string
	for _, r := range access.Rights {
		words = append(words, string(r))
	}
	_ = cmd.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// maxExpiry is in days: a key that nobody renews in ten years is forgotten.
const maxExpiry = 3650

// parseExpiry reads 90d, a day, or never, which is the zero time.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil && day.Before(now.AddDate(0, 0, maxExpiry)) {
		return day.AddDate(0, 0, 1), nil // the day is its last
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); err != nil || n != 1 || fmt.Sprintf("%dd", days) != text || days < 1 || days > maxExpiry {
		return time.Time{}, fmt.Errorf("want days such as 90d (up to %dd), a day such as 2027-01-31, or never", maxExpiry)
	}
	return now.AddDate(0, 0, days).UTC(), nil
}

func expiry(s *screen.Screen, k store.APIKey) string {
	if k.Expires.IsZero() {
		return "never"
	}
	return s.Stamp(k.Expires)
}

func (s *street) listKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys; no secret is among it",
		Example: `  ippwatch keys list --format json`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error {
				rows, err := h.store.APIKeys(ctx, s.view())
				if err != nil {
					return err
				}
				return screen.Listing[store.APIKey]{
					Columns: []string{"id", "label", "kind", "role", "constituent", "scopes", "state", "expires", "used"},
					Empty:   "there is no key",
					Cells: func(k store.APIKey) []string {
						var scopes []string
						for _, r := range k.Scopes {
							scopes = append(scopes, string(r))
						}
						return []string{
							k.ID, k.Label, string(k.Kind), string(k.Role), k.Constituent, strings.Join(scopes, " "), s.keyState(k),
							expiry(&s.Screen, k), s.Stamp(k.Used),
						}
					},
				}.Show(&s.Screen, rows)
			})
		}),
	}
}

func (s *street) keyState(k store.APIKey) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Holds(s.now()):
		return "over"
	}
	return "good"
}

func (s *street) revokeKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a key for good",
		Example: `  ippwatch keys revoke abcdefghijkl`,
		Args:    wants("ID"),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error {
				err := h.store.RevokeKey(ctx, args[0], whoami(), s.now())
				if errors.Is(err, store.ErrNoKey) {
					return hint(fmt.Errorf("%s: no such key, or it is revoked", args[0]), "%s lists them", s.again("keys list"))
				}
				if err == nil {
					s.Note("the key %s is revoked", args[0])
				}
				return err
			})
		}),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			if len(args) == 0 {
				_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
					rows, err := h.store.APIKeys(cmd.Context(), s.view())
					for _, k := range rows {
						if k.Revoked.IsZero() {
							words = append(words, k.ID+"\t"+screen.Printable(k.Label))
						}
					}
					return err
				})
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
