package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/exposure"
	"ippwatch/feed"
)

func (s *street) ingestZGrab2Command() *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:   "zgrab2 FILE...",
		Short: "Take in the output of zgrab2's module ipp",
		Long: `Zgrab2 takes in the lines that zgrab2 ipp writes, one JSON object each. A line whose
status is not success is about a host that did not answer in IPP, and passed over.`,
		Example: `  zgrab2 ipp -f hosts.txt | ippwatch ingest zgrab2 -`,
		Args:    wants("FILE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.ingestFiles(ctx, exposure.ZGrab2, where, args, []string{".json", ".ndjson", ".jsonl"}, feed.ZGrab2)
		}),
	}
	where.add(cmd.Flags())
	return cmd
}

func (s *street) ingestNmapCommand() *cobra.Command {
	var where whereFlags
	cmd := &cobra.Command{
		Use:   "nmap FILE...",
		Short: "Take in nmap's XML with cups-info and cups-queue-info",
		Long: `Nmap takes in the XML that nmap writes with -oX. A port at which cups-info or
cups-queue-info were answered counts as answering strangers. A print service that
-sV recognised is kept with its version; a mere name from nmap's table of ports says
nothing. Names of jobs and of their owners are not kept.`,
		Example: `  nmap -p 631 -sV --script cups-info -oX scan.xml 198.51.100.0/24
  ippwatch ingest nmap scan.xml`,
		Args: wants("FILE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.ingestFiles(ctx, exposure.Nmap, where, args, []string{".xml"}, feed.Nmap)
		}),
	}
	where.add(cmd.Flags())
	return cmd
}

func (s *street) ingestCSVCommand() *cobra.Command {
	var where whereFlags
	var columns []string
	var day string
	cmd := &cobra.Command{
		Use:   "csv FILE...",
		Short: "Take in a table of hosts, with a mapping of its columns",
		Long: `Csv takes in a table that has a header and a row for each host that was seen. A row
over TCP says that the port answered in IPP, one over UDP that the host called back.
--column FIELD=COLUMN says which column holds what; columns that are called like the
field need none. Fields: ` + strings.Join(feed.Fields, ", ") + `,
and any attribute of a printer, such as printer-location.`,
		Example: `  ippwatch ingest csv hosts.csv --column ip=Address --column time="Seen at"
  ippwatch ingest csv hosts.csv --day 2026-11-22`,
		Args: wants("FILE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			m, err := feed.ParseMapping(columns)
			if err != nil {
				return answer.Misuse(err)
			}
			var at time.Time
			if day != "" {
				if at, err = time.Parse(time.DateOnly, day); err != nil {
					return usage("--day %q: want a day such as 2026-11-23", day)
				}
			}
			return s.ingestFiles(ctx, exposure.CSV, where, args, []string{".csv", ".tsv"}, feed.CSV(m, at))
		}),
	}
	cmd.Flags().StringArrayVar(&columns, "column", nil, "FIELD=COLUMN: which column holds what; repeats")
	cmd.Flags().StringVar(&day, "day", "", "day on which all was seen, for a table without times")
	where.add(cmd.Flags())
	_ = cmd.RegisterFlagCompletionFunc("column", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var words []string
		for _, field := range feed.Fields {
			words = append(words, field+"=")
		}
		return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("day", cobra.NoFileCompletions)
	return cmd
}

// ingestFiles takes in files of one source.
func (s *street) ingestFiles(ctx context.Context, source exposure.Source, where whereFlags, args, extensions []string, parse feed.Parser) error {
	files := &feed.Files{Stdin: s.in, Wants: func(name string) bool {
		for _, ext := range extensions {
			if strings.HasSuffix(strings.ToLower(name), ext) {
				return true
			}
		}
		return false
	}}
	return s.with(ctx, func(h *house) error {
		err := s.takeIn(ctx, h, source, where, files.Open(ctx, args), parse, func() string {
			return "no file was found there: names end in " + strings.Join(extensions, ", ") + "; what is named itself is read whatever its name"
		})
		s.passed(files)
		return err
	})
}
