package policy

import (
	"regexp"
	"strings"
)

// Snippets are never executed. One that says who gets in closes what it stands on all the same, like every other restriction that
// cannot be honoured; the others are skipped.

// restricting finds nginx's directives that keep requests out, where a directive can stand.
var restricting = regexp.MustCompile(`(?:^|[;{}\n])\s*(deny|auth_basic|auth_request|auth_jwt|limit_except|ssl_verify_client|secure_link|valid_referers|` +
	`internal|modsecurity|access_by_lua\w*|return\s+(?:401|403|444))\s*([^;{\s]*)`)

var snippetComment = regexp.MustCompile(`(?m)(?:^|\s)#.*$`)

// restriction is the first directive of a snippet that keeps requests out, as it is written there; "" if it has none.
func restriction(snippet string) string {
	for _, found := range restricting.FindAllStringSubmatch(snippetComment.ReplaceAllString(snippet, ""), -1) {
		if directive, value := found[1], found[2]; value != "off" {
			return strings.TrimSpace(directive + " " + value)
		}
	}
	return ""
}

func isSnippet(key *Key) bool {
	return key.Support == Refused && strings.HasSuffix(key.ID(), "-snippet")
}
