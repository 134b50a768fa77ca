package policy

// ACME asks for certificates of the hosts in an Ingress's TLS section.
type ACME struct{ On bool }

func acmeKeys() []Key {
	return []Key{
		{Name: "acme", Values: "bool", Default: "false", Scope: ScopeHost, Bad: UseDefault,
			Doc: "Order a certificate by ACME for each host of the TLS section whose Secret does not exist, and renew it. Needs --acme-email. " +
				"kubernetes.io/tls-acme: \"true\" means the same where this annotation is not written. Usher's own.",
			parse: func(s *Set, v string) (err error) { s.ACME.On, err = parseBool(v); return err }},
	}
}
