package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	v1 "ippwatch/api/v1"
	"ippwatch/enrich"
	"ippwatch/screen"
	"ippwatch/space"
)

// about is what ippwatch says of itself and of the data that it carries.
type about = v1.Version

func aboutUs() about {
	return about{
		Version: version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Countries: enrich.Date().Format(time.DateOnly), Registries: space.SpecialDate(),
	}
}

// inShort is the short form, which --version prints.
func inShort(a about) string { return fmt.Sprintf("ippwatch %s, %s, %s", a.Version, a.Go, a.System) }

func (s *street) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "version",
		Annotations: readsNoConfig,
		Short:       "Show the version and the date of the embedded data",
		Args:        wants(),
		RunE: do(func(context.Context, []string) error {
			a := aboutUs()
			if s.Format != "table" {
				return screen.Listing[about]{
					Columns: []string{"version", "go", "system", "countries", "registries"},
					Cells:   func(a about) []string { return []string{a.Version, a.Go, a.System, a.Countries, a.Registries} },
				}.ShowOne(&s.Screen, a)
			}
			fmt.Fprintln(s.Out, inShort(a))
			fmt.Fprintf(s.Out, "countries   %s, IP Geolocation by DB-IP, https://db-ip.com (CC BY 4.0)\n", a.Countries)
			fmt.Fprintf(s.Out, "registries  %s, IANA special-purpose addresses\n", a.Registries)
			return nil
		}),
	}
}
