package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Names of certificates, in the form of nginx's $ssl_client_s_dn, which is OpenSSL's for RFC 2253:
//
//	CN=jane,OU=Web+L=Here,O=Example\, Inc.,C=SE      the last part first; parts of one set joined by "+"
//	1.2.3.4=#0C0178                                  an attribute that has no short name, in hex of its encoding
//
// Go's pkix.Name.String is close, and differs in names of attributes, in escapes and in which parts it prints. Applications compare
// these texts as wholes, so they must not differ.

// DN gives the text of a name in DER, as x509.Certificate.RawSubject is. It has printable ASCII only. A name that cannot be read, which
// crypto/x509 would not have let through, gives "".
func DN(raw []byte) string {
	attributes, ok := readName(raw)
	if !ok {
		return ""
	}
	var b strings.Builder
	for i := len(attributes) - 1; i >= 0; i-- {
		a := &attributes[i]
		switch {
		case i == len(attributes)-1:
		case attributes[i+1].set == a.set:
			b.WriteByte('+')
		default:
			b.WriteByte(',')
		}
		a.write(&b)
	}
	return b.String()
}

// CommonNames are the values of CN in the subject of a certificate.
func CommonNames(c *x509.Certificate) []string {
	attributes, _ := readName(c.RawSubject)
	var out []string
	for i := range attributes {
		if attributes[i].name() != "CN" {
			continue
		}
		if text, ok := attributes[i].text(); ok {
			out = append(out, string(text))
		}
	}
	return out
}

// attribute is one part of a name.
type attribute struct {
	set   int // which of the sets it is in
	oid   asn1.ObjectIdentifier
	tag   cbasn1.Tag
	der   []byte // of the value
	value []byte // its contents
}

// readName reads a Name: a sequence of sets of attributes (RFC 5280 section 4.1.2.4).
func readName(raw []byte) (out []attribute, ok bool) {
	in := cryptobyte.String(raw)
	var sets cryptobyte.String
	if !in.ReadASN1(&sets, cbasn1.SEQUENCE) {
		return nil, false
	}
	for n := 0; !sets.Empty(); n++ {
		var set cryptobyte.String
		if !sets.ReadASN1(&set, cbasn1.SET) {
			return nil, false
		}
		for !set.Empty() {
			a := attribute{set: n}
			var pair, element cryptobyte.String
			if !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&a.oid) || !pair.ReadAnyASN1Element(&element, &a.tag) {
				return nil, false
			}
			a.der = element
			var tag cbasn1.Tag
			var value cryptobyte.String
			if !element.ReadAnyASN1(&value, &tag) {
				return nil, false
			}
			a.value = value
			out = append(out, a)
		}
	}
	return out, true
}

func (a *attribute) write(b *strings.Builder) {
	name := a.name()
	text, ok := a.text()
	if name == "" || !ok {
		if name == "" {
			name = a.oid.String()
		}
		fmt.Fprintf(b, "%s=#%X", name, a.der)
		return
	}
	b.WriteString(name)
	b.WriteByte('=')
	for i := range text {
		last := i == len(text)-1
		writeEscaped(b, text[i], i == 0 && !last, last)
	}
}

// writeEscaped writes a byte of a value. A single one counts as the last, as in OpenSSL.
func writeEscaped(b *strings.Builder, c byte, first, last bool) {
	switch {
	case c < ' ' || c >= 0x7f:
		fmt.Fprintf(b, "\\%02X", c)
		return
	case strings.IndexByte(`,+"\<>;`, c) >= 0, first && (c == '#' || c == ' '), last && c == ' ':
		b.WriteByte('\\')
	}
	b.WriteByte(c)
}

// text is the value in UTF-8; false for what is no text.
func (a *attribute) text() ([]byte, bool) {
	switch a.tag {
	case cbasn1.UTF8String:
		return a.value, true
	case cbasn1.PrintableString, cbasn1.IA5String, cbasn1.T61String, tagNumeric, tagVisible, cbasn1.UTCTime, cbasn1.GeneralizedTime:
		return latin1(a.value), true
	case tagBMP:
		if len(a.value)%2 != 0 {
			return nil, false
		}
		units := make([]uint16, len(a.value)/2)
		for i := range units {
			units[i] = uint16(a.value[2*i])<<8 | uint16(a.value[2*i+1])
		}
		return []byte(string(utf16.Decode(units))), true
	}
	return nil, false
}

const (
	tagNumeric = cbasn1.Tag(18)
	tagVisible = cbasn1.Tag(26)
	tagBMP     = cbasn1.Tag(30)
)

func latin1(value []byte) []byte {
	out := make([]byte, 0, len(value))
	for _, c := range value {
		if c < 0x80 {
			out = append(out, c)
			continue
		}
		out = append(out, 0xc0|c>>6, 0x80|c&0x3f)
	}
	return out
}

// name is OpenSSL's short name of the attribute, or "".
func (a *attribute) name() string {
	oid := a.oid.String()
	if rest, ok := strings.CutPrefix(oid, "2.5.4."); ok {
		return x520Names[rest]
	}
	return otherNames[oid]
}

// x520Names are the attributes below 2.5.4. Never written.
var x520Names = map[string]string{
	"3": "CN", "4": "SN", "5": "serialNumber", "6": "C", "7": "L", "8": "ST", "9": "street", "10": "O", "11": "OU", "12": "title",
	"13": "description", "15": "businessCategory", "16": "postalAddress", "17": "postalCode", "18": "postOfficeBox",
	"20": "telephoneNumber", "41": "name", "42": "GN", "43": "initials", "44": "generationQualifier", "45": "x500UniqueIdentifier",
	"46": "dnQualifier", "65": "pseudonym", "72": "role", "97": "organizationIdentifier",
}

// otherNames are the others that certificates have. Never written.
var otherNames = map[string]string{
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.3": "mail",
	"1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName", "1.2.840.113549.1.9.8": "unstructuredAddress",
	"1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}
