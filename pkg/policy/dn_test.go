package policy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// name is a Name in text: a line for each set of it, whose attributes are separated by " + ", as "OID:TAG:VALUE".
func name(lines ...string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, line := range lines {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				for _, part := range strings.Split(line, " + ") {
					words := strings.SplitN(part, ":", 3)
					addAttribute(b, words[0], words[1], words[2])
				}
			})
		}
	})
	return b.BytesOrPanic()
}

func addAttribute(b *cryptobyte.Builder, oid, kind, value string) {
	tags := map[string]cbasn1.Tag{"utf8": cbasn1.UTF8String, "print": cbasn1.PrintableString, "ia5": cbasn1.IA5String, "t61": cbasn1.T61String,
		"bmp": tagBMP, "int": cbasn1.INTEGER, "num": tagNumeric}
	var numbers []int
	for _, number := range strings.Split(oid, ".") {
		n, _ := new(big.Int).SetString(number, 10)
		numbers = append(numbers, int(n.Int64()))
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(numbers)
		b.AddASN1(tags[kind], func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
	})
}

// names are distinguished names and the text that OpenSSL has for them.
var names = []struct {
	raw  []byte
	want string
}{
	{name("2.5.4.6:print:SE", "2.5.4.10:utf8:Example, Inc.", "2.5.4.11:utf8:Web", "2.5.4.3:utf8:jane"), `CN=jane,OU=Web,O=Example\, Inc.,C=SE`},
	{name("2.5.4.11:utf8:Web + 2.5.4.7:utf8:Here", "2.5.4.3:utf8:jane"), `CN=jane,L=Here+OU=Web`},
	{name("2.5.4.3:utf8:Åsa"), `CN=\C3\85sa`},
	{name("2.5.4.3:t61:\xc5sa"), `CN=\C3\85sa`},
	{name("2.5.4.3:bmp:\x00J\x01\x61"), `CN=J\C5\A1`},
	{name(`2.5.4.3:utf8: a"+,;<>\b=#`), `CN=\ a\"\+\,\;\<\>\\b=#`},
	{name("2.5.4.3:utf8:#x ", "2.5.4.10:utf8:#", "2.5.4.11:utf8: ", "2.5.4.7:utf8:"), `L=,OU=\ ,O=#,CN=\#x\ `},
	{name("2.5.4.3:utf8:a\r\nSsl-Client-Verify: SUCCESS\x00\x7f"), `CN=a\0D\0ASsl-Client-Verify: SUCCESS\00\7F`},
	{name("1.2.840.113549.1.9.1:ia5:a@example.com", "0.9.2342.19200300.100.1.25:ia5:example", "0.9.2342.19200300.100.1.1:utf8:7"),
		`UID=7,DC=example,emailAddress=a@example.com`},
	{name("1.2.3.4.5:utf8:x", "2.5.4.5:num:12 34"), `serialNumber=12 34,1.2.3.4.5=#0C0178`},
	{name("2.5.4.4:utf8:Doe", "2.5.4.42:utf8:Jane", "2.5.4.9:utf8:Way 1", "2.5.4.8:utf8:X", "2.5.4.17:utf8:1", "1.3.6.1.4.1.311.60.2.1.3:print:SE", "2.5.4.97:utf8:VAT"),
		`organizationIdentifier=VAT,jurisdictionC=SE,postalCode=1,ST=X,street=Way 1,GN=Jane,SN=Doe`},
	{name(), ``},
}

func TestDN(t *testing.T) {
	for _, c := range names {
		if got := DN(c.raw); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

// TestDNByOpenSSL holds the expectations above to what nginx prints, where there is an openssl to ask.
func TestDNByOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	for _, c := range names {
		cmd := exec.Command("openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253")
		cmd.Stdin = bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified(t, c.raw)}))
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if got := strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n"); got != c.want {
			t.Errorf("openssl says\n%s\nwe expect\n%s", got, c.want)
		}
	}
}

// certified is a certificate for a subject.
func certified(t *testing.T, subject []byte) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: subject, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)},
		&x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCommonNames(t *testing.T) {
	raw := name("2.5.4.10:utf8:CN=admin", "2.5.4.3:utf8:one + 2.5.4.3:t61:\xc5", "2.5.4.3:int:\x07")
	if got := CommonNames(&x509.Certificate{RawSubject: raw}); !slices.Equal(got, []string{"one", "Å"}) {
		t.Errorf("got %q", got)
	}
}

// FuzzDN: whatever a certificate calls itself, its name is a value of a header field.
func FuzzDN(f *testing.F) {
	for _, c := range names {
		f.Add(c.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := DN(raw)
		for i := range len(text) {
			if text[i] < ' ' || text[i] > '~' {
				t.Fatalf("%q has %#x", text, text[i])
			}
		}
		CommonNames(&x509.Certificate{RawSubject: raw})
	})
}
