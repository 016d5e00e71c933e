package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/outreach"
	"ippwatch/screen"
	"ippwatch/store"
)

func (s *street) linksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "links",
		Short: "List, revoke and send the links to owners' pages",
		Long: `With web.url in the configuration, every mail about cases has a link to a page: it
shows its contact the cases of that mail and no others, how to close them, and a
button to have them looked at again. A link works for web.links (14 days), and only
as long as the address, the time and the contact still fit. Nobody can show a link
again; a new one can be sent, to the contact alone.`,
	}
	cmd.AddCommand(s.listLinksCommand(), s.revokeLinksCommand(), s.sendLinkCommand())
	return group(cmd)
}

// contactKey is how the store names a contact that a person types.
func contactKey(address string) string {
	r := exposure.Recipient{Medium: exposure.ByMail, Address: address}
	if strings.Contains(address, "://") {
		r.Medium = exposure.ByWebhook
	}
	return r.Key()
}

func (s *street) listLinksCommand() *cobra.Command {
	var contact string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the links, the newest first; none of them opens anything",
		Example: `  ippwatch links list
  ippwatch links list --contact noc@example.net --format json`,
		Args: wants(),
	}
	cmd.RunE = do(func(ctx context.Context, _ []string) error {
		return s.read(ctx, func(h *house) error {
			key := ""
			if contact != "" {
				key = contactKey(contact)
			}
			rows, err := h.store.Links(ctx, s.view(), key, 1000)
			if err != nil {
				return err
			}
			return screen.Listing[store.Link]{
				Columns: []string{"id", "contact", "constituent", "cases", "message", "state", "expires", "uses", "used"},
				Empty:   "there is no link",
				Cells: func(l store.Link) []string {
					_, address, _ := strings.Cut(l.Contact, ":")
					return []string{
						l.ID, address, l.Constituent, fmt.Sprint(len(l.Cases)), l.Message, linkState(&l, s.now()),
						s.Stamp(l.Expires), fmt.Sprint(l.Uses), s.Stamp(l.Used),
					}
				},
			}.Show(&s.Screen, rows)
		})
	})
	cmd.Flags().StringVar(&contact, "contact", "", "only those of this contact")
	return cmd
}

func linkState(l *store.Link, now time.Time) string {
	switch {
	case !l.Revoked.IsZero():
		return "revoked"
	case l.Over(now):
		return "over"
	}
	return "good"
}

func (s *street) revokeLinksCommand() *cobra.Command {
	var contact string
	cmd := &cobra.Command{
		Use:   "revoke [ID]",
		Short: "End a link for good, or all links of a contact",
		Example: `  ippwatch links revoke abcdefghijkl
  ippwatch links revoke --contact noc@example.net`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		if (contact == "") == (len(args) == 0) {
			return usage("links revoke: want an ID, or --contact ADDRESS")
		}
		return s.read(ctx, func(h *house) error {
			if contact != "" {
				if err := h.store.RevokeLinksOf(ctx, contactKey(contact), whoami(), s.now()); err != nil {
					return err
				}
				s.Note("no link of %s opens anything any more", screen.Printable(contact))
				return nil
			}
			err := h.store.RevokeLink(ctx, args[0], whoami(), s.now())
			if errors.Is(err, store.ErrNoLink) {
				return hint(fmt.Errorf("%s: no such link, or it is revoked", args[0]), "%s lists them", s.again("links list"))
			}
			if err == nil {
				s.Note("the link %s is revoked", args[0])
			}
			return err
		})
	})
	cmd.Flags().StringVar(&contact, "contact", "", "all links of this contact")
	cmd.ValidArgsFunction = s.completeLink
	return cmd
}

func (s *street) completeLink(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
			rows, err := h.store.Links(cmd.Context(), s.view(), "", 100)
			for _, l := range rows {
				if !l.Over(s.now()) {
					words = append(words, l.ID+"\t"+screen.Printable(l.Contact))
				}
			}
			return err
		})
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (s *street) sendLinkCommand() *cobra.Command {
	f := &officeFlags{}
	cmd := &cobra.Command{
		Use:   "send ID|MESSAGE",
		Short: "Send a new link to the contact of a link, or of a message",
		Long: `Send mails the contact of a link, or of a message of the outbox, a new link to its own
page: to the address that the contact has, for those of the cases that are its own
now. Neither the operator nor anybody else is shown the link.`,
		Example: `  ippwatch links send abcdefghijkl --config ippwatch.yaml
  ippwatch links send M-4C8B0F6E52A1 --config ippwatch.yaml`,
		Args: wants("ID|MESSAGE"),
	}
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		if s.config.Web.URL == "" {
			return hint(usage("links send: web.url is missing: no page is served"), "name it in ippwatch.yaml, and that file with --config")
		}
		if f.mail == "" && s.config.Mail.Host == "" {
			return hint(usage("--mail-config is missing: it says how mail leaves"), "mail in ippwatch.yaml says it, too; docs/outreach.md has one to begin with")
		}
		return s.read(ctx, func(h *house) error {
			o, err := s.newOffice(ctx, h, f, true)
			if err != nil {
				return err
			}
			l, err := sendLink(ctx, o, h, args[0], s)
			switch {
			case errors.Is(err, store.ErrNoLink), errors.Is(err, store.ErrNoMessage):
				return hint(fmt.Errorf("%s: no such link and no such message", screen.Printable(args[0])), "%s lists links, %s messages", s.again("links list"), s.again("notify outbox"))
			case errors.Is(err, outreach.ErrNotOwn):
				return hint(fmt.Errorf("%s: %w", args[0], err), "%s tells who answers for an address", s.again("constituents who ADDRESS"))
			case err != nil:
				return err
			}
			_, address, _ := strings.Cut(l.Contact, ":")
			s.Note("the link %s is on its way to %s; it is over at %s UTC", l.ID, screen.Printable(address), screen.Stamp(l.Expires))
			return nil
		})
	})
	fl := cmd.Flags()
	fl.StringVar(&f.rules, "rules", "", "file that says who writes, and in whose texts: the section outreach of ippwatch.yaml")
	fl.StringVar(&f.mail, "mail-config", "", "file that says how mail leaves")
	for _, name := range []string{"rules", "mail-config"} {
		_ = cmd.MarkFlagFilename(name, "yaml", "yml")
	}
	return cmd
}

func sendLink(ctx context.Context, o *outreach.Office, h *house, name string, s *street) (store.Link, error) {
	if strings.HasPrefix(name, "M-") {
		return o.SendLinkOf(ctx, name, whoami())
	}
	former, err := h.store.Link(ctx, s.view(), name)
	if err != nil {
		return former, err
	}
	return o.SendLink(ctx, &former, whoami())
}
