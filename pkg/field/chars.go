package field

// The classes of bytes. A byte outside a class where one is required ends the
// message: nothing is repaired.
const (
	TokenChar  uint8 = 1 << iota // tchar of RFC 9110 5.6.2: methods and field names
	ValueChar                    // field-vchar, SP and HTAB of RFC 9110 5.5
	TargetChar                   // what may stand raw in a request target
	PlainChar                    // what url.URL.EscapedPath leaves as it is
	HostChar                     // what may stand in a registered name
	HexChar
)

// class maps a byte to the classes it is in. It is never written.
var class = Classes()

// Classes maps each byte to the classes it is in.
func Classes() (t [256]uint8) {
	mark := func(bits uint8, set string) {
		for i := 0; i < len(set); i++ {
			t[set[i]] |= bits
		}
	}
	for c := '0'; c <= '9'; c++ {
		t[c] |= TokenChar | PlainChar | HostChar | HexChar
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= TokenChar | PlainChar | HostChar
		t[c-'a'+'A'] |= TokenChar | PlainChar | HostChar
	}
	mark(HexChar, "abcdefABCDEF")
	mark(TokenChar, "!#$%&'*+-.^_`|~")
	mark(PlainChar, "-_.~$&+,/:;=@")
	mark(HostChar, "-._~")
	for c := 0x20; c < 0x100; c++ {
		t[c] |= ValueChar
	}
	t['\t'] |= ValueChar
	t[0x7f] &^= ValueChar
	// Browsers send more than RFC 3986 allows ("|", "{", "^" ...); what
	// matters is that nobody sees the end of the target elsewhere.
	for c := 0x21; c < 0x7f; c++ {
		t[c] |= TargetChar
	}
	t['#'] &^= TargetChar
	return t
}

// IsToken reports whether s is a token of RFC 9110 section 5.6.2.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]]&TokenChar == 0 {
			return false
		}
	}
	return len(s) > 0
}
