package desk

import (
	"strconv"
	"strings"

	"ippwatch/wire/ipp"
)

// readPPDs reads the drivers that a cupsd offers to who would add a queue.
func readPPDs() ([][]ipp.Attribute, error) {
	text, err := attributeFile("ppds.txt")
	if err != nil {
		return nil, err
	}
	var all [][]ipp.Attribute
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if strings.HasPrefix(line, "#") || len(f) != 9 {
			continue
		}
		model, err := strconv.Atoi(f[8])
		if err != nil {
			return nil, err
		}
		all = append(all, []ipp.Attribute{
			ipp.Strings(ipp.TagName, "ppd-name", f[0]), ipp.Strings(ipp.TagLanguage, "ppd-natural-language", f[1]),
			ipp.Strings(ipp.TagText, "ppd-make", f[2]), ipp.Strings(ipp.TagText, "ppd-make-and-model", f[3]),
			ipp.Strings(ipp.TagText, "ppd-device-id", f[4]), ipp.Strings(ipp.TagText, "ppd-product", strings.Split(f[5], "~")...),
			ipp.Strings(ipp.TagText, "ppd-psversion", strings.Split(f[6], "~")...), ipp.Strings(ipp.TagKeyword, "ppd-type", f[7]),
			ipp.Integers(ipp.TagInteger, "ppd-model-number", model),
		})
	}
	return all, nil
}

// listPPDs answers as cups-driverd does, which speaks IPP 1.1 whatever it is
// asked in.
func (k *cupsClerk) listPPDs(q *Request) Answer {
	a := q.reply(ipp.StatusOK, "")
	a.Version = ipp.Version11
	a.Groups[0].Attributes[1] = ipp.Strings(ipp.TagLanguage, "attributes-natural-language", "en-US")
	limit, _ := q.number("limit")
	want := Want(q.asked(), everything)
	for i, ppd := range k.ppds {
		if limit > 0 && i >= limit {
			break
		}
		var attrs []ipp.Attribute
		for _, one := range ppd {
			if want.Has(one.Name) {
				attrs = append(attrs, one)
			}
		}
		a.add(ipp.TagPrinter, attrs)
	}
	return a
}

// settable are the attributes that may be set, as Get-Printer-Supported-Values
// tells.
func settable() []ipp.Attribute {
	var all []ipp.Attribute
	for _, name := range []string{"printer-geo-location", "printer-info", "printer-location", "printer-organization", "printer-organizational-unit"} {
		all = append(all, ipp.OutOfBand(tagAdminDefine, name))
	}
	return all
}

// tagAdminDefine says that an administrator defines the values (RFC 3380,
// section 8.3).
const tagAdminDefine ipp.Tag = 0x17
