package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Secrets are the Secrets of one namespace. client-go's typed client is one.
type Secrets interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error)
	List(ctx context.Context, o metav1.ListOptions) (*corev1.SecretList, error)
	Create(ctx context.Context, s *corev1.Secret, o metav1.CreateOptions) (*corev1.Secret, error)
	Update(ctx context.Context, s *corev1.Secret, o metav1.UpdateOptions) (*corev1.Secret, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// ClusterStorage keeps what certmagic stores in Secrets of one namespace, shared by all replicas, with Leases as its locks.
//
// A value is one Secret, named by a hash of its key, which may hold characters that names may not. The Secret holds the key and the
// compressed value; a value over the limit of a Secret is split: its parts are Secrets of their own, with new names for each version, written
// before the Secret that names them and removed after it changes. So a reader sees one whole value, the old or the new. A label for
// each folder above the key makes listing a folder one small request.
//
// A write names the resourceVersion it has read, and is refused if the lock it was made under has been lost: see Lock.
type ClusterStorage struct {
	secrets  Secrets
	leases   Leases
	identity string // of this replica
	term     time.Duration
	poll     time.Duration

	mu   sync.Mutex
	held map[string]*heldLock // by the lock's name
}

var _ certmagic.Storage = (*ClusterStorage)(nil)

// NewClusterStorage makes a storage of Secrets and Leases. identity tells this replica from the others.
func NewClusterStorage(secrets Secrets, leases Leases, identity string) *ClusterStorage {
	return &ClusterStorage{secrets: secrets, leases: leases, identity: identity, term: lockTerm, poll: lockPoll, held: map[string]*heldLock{}}
}

// mostAttempts is how often a write is tried against others who write the same key.
const mostAttempts = 8

// firstPause bounds the pause after the first attempt that met another writer; the bound doubles each time.
const firstPause = 20 * time.Millisecond

// Store puts value at key, over what is there.
func (s *ClusterStorage) Store(ctx context.Context, key string, value []byte) error {
	packed, err := pack(value)
	if err != nil {
		return fmt.Errorf("storing %s: %w", key, err)
	}
	for attempt := range mostAttempts {
		err = s.storeOnce(ctx, key, packed)
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
		select { // for a moment that others do not choose too
		case <-ctx.Done():
		case <-time.After(mathrand.N(firstPause << attempt)):
		}
	}
	if err != nil {
		return fmt.Errorf("storing %s: %w", key, err)
	}
	return nil
}

func (s *ClusterStorage) storeOnce(ctx context.Context, key string, value packed) error {
	old, err := s.secrets.Get(ctx, secretName(key), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	found := err == nil
	if found && string(old.Data[dataKey]) != key {
		return fmt.Errorf("secret %s holds the key %q, want %q: it was not written by this storage", old.Name, old.Data[dataKey], key)
	}
	fence, err := s.fence(key)
	if err != nil {
		return err
	}
	if found && fence.before(old.Annotations[fenceAnnotation]) {
		return fmt.Errorf("%w: a later holder wrote Secret %s", ErrLockLost, old.Name)
	}
	head, parts := value.secrets(key)
	head.Annotations[fenceAnnotation] = fence.String()
	if err := s.write(ctx, old, head, parts); err != nil {
		return errors.Join(err, s.deleteParts(context.WithoutCancel(ctx), head))
	}
	if !found {
		return nil
	}
	return s.deleteParts(ctx, old)
}

// write writes the parts and then the head, in place of old if that has a version.
func (s *ClusterStorage) write(ctx context.Context, old, head *corev1.Secret, parts []*corev1.Secret) error {
	for _, part := range parts {
		if _, err := s.secrets.Create(ctx, part, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if old == nil || old.ResourceVersion == "" {
		_, err := s.secrets.Create(ctx, head, metav1.CreateOptions{})
		return err
	}
	head.ResourceVersion = old.ResourceVersion
	_, err := s.secrets.Update(ctx, head, metav1.UpdateOptions{})
	return err
}

// deleteParts removes the parts of a Secret.
func (s *ClusterStorage) deleteParts(ctx context.Context, head *corev1.Secret) error {
	for _, name := range partNames(head) {
		if err := s.secrets.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// Load gets the value at key; fs.ErrNotExist if there is none.
func (s *ClusterStorage) Load(ctx context.Context, key string) ([]byte, error) {
	var err error
	for range mostAttempts {
		var value []byte
		if value, err = s.loadOnce(ctx, key); err == nil || !errors.Is(err, errPartGone) {
			return value, err
		}
	}
	return nil, err
}

// errPartGone is what a reader sees whose value was replaced while it read the parts.
var errPartGone = errors.New("a part of the value is gone")

func (s *ClusterStorage) loadOnce(ctx context.Context, key string) ([]byte, error) {
	head, err := s.head(ctx, key)
	if err != nil {
		return nil, err
	}
	compressed := slices.Clip(head.Data[dataValue])
	for _, name := range partNames(head) {
		part, err := s.secrets.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("loading %s: %w: Secret %s", key, errPartGone, name)
		}
		if err != nil {
			return nil, fmt.Errorf("loading %s: %w", key, err)
		}
		compressed = append(compressed, part.Data[dataValue]...)
	}
	value, err := unpack(compressed)
	if err != nil {
		return nil, fmt.Errorf("loading %s from Secret %s: %w", key, head.Name, err)
	}
	return value, nil
}

// head gets the Secret of a key.
func (s *ClusterStorage) head(ctx context.Context, key string) (*corev1.Secret, error) {
	head, err := s.secrets.Get(ctx, secretName(key), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("loading %s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", key, err)
	}
	if string(head.Data[dataKey]) != key {
		return nil, fmt.Errorf("loading %s: secret %s holds the key %q", key, head.Name, head.Data[dataKey])
	}
	return head, nil
}

// Delete removes a key, or all keys below a folder. It is no error if there is nothing.
func (s *ClusterStorage) Delete(ctx context.Context, key string) error {
	below, err := s.below(ctx, key, 0)
	if err != nil {
		return err
	}
	head, err := s.head(ctx, key)
	if err == nil {
		below = append(below, *head)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i := range below {
		if err := s.secrets.Delete(ctx, below[i].Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting %s: %w", below[i].Data[dataKey], err)
		}
		if err := s.deleteParts(ctx, &below[i]); err != nil {
			return fmt.Errorf("deleting %s: %w", below[i].Data[dataKey], err)
		}
	}
	return nil
}

// Exists reports whether key is there, as a value or a folder.
func (s *ClusterStorage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List lists the keys in a folder, sorted: with recursive all values and folders below it, otherwise those right in it.
func (s *ClusterStorage) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	below, err := s.below(ctx, folder, 0)
	if err != nil {
		return nil, err
	}
	if len(below) == 0 {
		return nil, fmt.Errorf("listing %s: %w", folder, fs.ErrNotExist)
	}
	found := map[string]bool{}
	for i := range below {
		rest := strings.Trim(strings.TrimPrefix(string(below[i].Data[dataKey]), folder), "/")
		steps := strings.Split(rest, "/")
		if !recursive {
			steps = steps[:1]
		}
		for n := range steps {
			found[path.Join(folder, path.Join(steps[:n+1]...))] = true
		}
	}
	var keys []string
	for key := range found {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, nil
}

// below gets the Secrets of all keys below a folder; at most limit, if that is not 0.
func (s *ClusterStorage) below(ctx context.Context, folder string, limit int64) ([]corev1.Secret, error) {
	selector := storageLabel + "=" + labelValue
	if folder = strings.Trim(folder, "/"); folder != "" {
		selector += "," + folderLabel(folder)
	}
	list, err := s.secrets.List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", folder, err)
	}
	return list.Items, nil
}

// Stat tells what is at key.
func (s *ClusterStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	head, err := s.head(ctx, key)
	if err == nil {
		return keyInfo(key, head), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	below, failed := s.below(ctx, key, 1)
	if failed != nil {
		return certmagic.KeyInfo{}, failed
	}
	if len(below) == 0 {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key}, nil
}
