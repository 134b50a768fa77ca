//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

type user = clientcmdapi.AuthInfo

// Account is a ServiceAccount and what it may do.
type Account struct {
	Namespace string // must exist
	Name      string
	Grants    []Grant
}

// Grant gives an account the ClusterRoles and Roles of a manifest.
type Grant struct {
	File      string // YAML, one or more ClusterRole and Role objects
	Namespace string // where its Roles apply; its ClusterRoles apply everywhere
}

// ServiceAccount makes the account with its roles, and returns the path of a
// kubeconfig that authenticates by a token of the account, as a Pod would. The
// token is valid for an hour; the file goes with the cluster.
func (c *Cluster) ServiceAccount(ctx context.Context, account Account) (kubeconfig string, err error) {
	accounts := c.client.CoreV1().ServiceAccounts(account.Namespace)
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account.Name}}
	if _, err := accounts.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	if err := c.Allow(ctx, account); err != nil {
		return "", err
	}
	token, err := accounts.CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(account.Namespace+"."+account.Name, user{Token: token.Status.Token})
}

// Allow gives an account its roles.
func (c *Cluster) Allow(ctx context.Context, account Account) error {
	for _, grant := range account.Grants {
		if err := c.grant(ctx, account, grant); err != nil {
			return fmt.Errorf("%s: %w", grant.File, err)
		}
	}
	return nil
}

func (c *Cluster) grant(ctx context.Context, account Account, grant Grant) error {
	file, err := os.ReadFile(grant.File)
	if err != nil {
		return err
	}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(file), 4096)
	for {
		var role rbacv1.ClusterRole // a Role has the same fields
		if err := documents.Decode(&role); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := c.bind(ctx, account, &role, grant.Namespace); err != nil {
			return fmt.Errorf("%s %q: %w", role.Kind, role.Name, err)
		}
	}
}

// bind creates the role and binds account to it. Roles of the whole cluster may
// exist already, from an account made before.
func (c *Cluster) bind(ctx context.Context, account Account, role *rbacv1.ClusterRole, namespace string) error {
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}
	name := metav1.ObjectMeta{Name: account.Namespace + "-" + account.Name + "-" + role.Name}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.Kind, Name: role.Name}
	switch role.Kind {
	case "ClusterRole":
		_, err := c.client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: name, RoleRef: ref, Subjects: []rbacv1.Subject{subject}}
		_, err = c.client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
		return err
	case "Role":
		local := &rbacv1.Role{ObjectMeta: role.ObjectMeta, Rules: role.Rules}
		_, err := c.client.RbacV1().Roles(namespace).Create(ctx, local, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		binding := &rbacv1.RoleBinding{ObjectMeta: name, RoleRef: ref, Subjects: []rbacv1.Subject{subject}}
		_, err = c.client.RbacV1().RoleBindings(namespace).Create(ctx, binding, metav1.CreateOptions{})
		return err
	}
	return errors.New("want a ClusterRole or a Role")
}

// Identity returns the path of a kubeconfig of a user, in a group unless that is empty, as the cluster's authority vouches for it:
// "system:kube-proxy", or "admin" in "system:masters". It goes with the cluster.
func (c *Cluster) Identity(name, group string) (kubeconfig string, err error) {
	pair, err := c.authority.Client(name, group)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(strings.ReplaceAll(name, ":", "-"), user{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key})
}

func (c *Cluster) writeKubeconfig(name string, who user) (path string, err error) {
	const entry = "e2e"
	config := clientcmdapi.NewConfig()
	config.Clusters[entry] = &clientcmdapi.Cluster{Server: apiServerURL, CertificateAuthorityData: c.authority.PEM()}
	config.AuthInfos[entry] = &who
	config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: entry}
	config.CurrentContext = entry
	path = c.file(name + ".kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}
