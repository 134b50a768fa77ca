package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/usher-ingress/usher/pkg/certs"
)

func newECH() *cobra.Command {
	return &cobra.Command{
		Use:   "ech PUBLIC-NAME",
		Short: "Make a key of Encrypted Client Hello",
		Long: `Ech makes a key of Encrypted Client Hello and prints it as PEM, for an entry of the Secret that
serve --ech-secret names. Stderr gets the value for the HTTPS records of the hosts to be hidden.

PUBLIC-NAME is what clients ask for in the open. It should be a host of this Usher with a
certificate of its own, which vouches for a new key when a client has an old one.`,
		Example: `  usher ech public.example.com > 2026-11.pem
  kubectl create secret generic ech --from-file=2026-11.pem`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want one public name, got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, record, err := certs.ECHKeys(args[0])
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "in DNS: shop.example.com. HTTPS 1 . alpn=h2 ech=%s\n", record)
			_, err = cmd.OutOrStdout().Write(keys)
			return err
		},
	}
}
