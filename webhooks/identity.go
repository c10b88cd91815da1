package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// marks are what a cluster is known by, in words: its kubeconfig, its API server's URL, its UID, or that it is the
// hub. Two references with a mark in common lead to the same cluster.
type marks []string

// shared returns a mark of both, or nothing.
func (m marks) shared(other marks) string {
	for _, mark := range m {
		if slices.Contains(other, mark) {
			return mark
		}
	}
	return ""
}

// identifier finds the marks of references.
type identifier struct {
	reader client.Reader
	known  map[string]found // by Secret and key
	uids   map[string]marks // UIDs of the clusters that a mark was seen at
}

type found struct {
	marks   marks
	problem string
}

func newIdentifier(reader client.Reader) *identifier {
	return &identifier{reader: reader, known: map[string]found{}, uids: map[string]marks{}}
}

// learn remembers the UID that a connected member has reported: it tells that two URLs are one cluster.
func (i *identifier) learn(ctx context.Context, m *meshv1alpha1.MeshMember) error {
	if m.Status.ClusterUID == "" {
		return nil
	}
	f, err := i.direct(ctx, m.Namespace, m.Spec.ClusterRef)
	for _, mark := range f.marks {
		i.uids[mark] = append(i.uids[mark], "cluster UID "+m.Status.ClusterUID)
	}
	return err
}

// marks returns the marks of a reference, and why there may be more of them later.
func (i *identifier) marks(ctx context.Context, namespace string, ref meshv1alpha1.ClusterRef) (marks, string, error) {
	f, err := i.direct(ctx, namespace, ref)
	all := slices.Clone(f.marks)
	for _, mark := range f.marks {
		all = append(all, i.uids[mark]...)
	}
	return all, f.problem, err
}

// direct reads the reference itself. A Secret that is missing or cannot be read as a kubeconfig is a problem for the
// member's conditions, not for admission: GitOps tools apply in any order.
func (i *identifier) direct(ctx context.Context, namespace string, ref meshv1alpha1.ClusterRef) (found, error) {
	if ref.Local != nil {
		return found{marks: marks{"the hub itself"}}, nil
	}
	if ref.KubeconfigSecret == nil {
		return found{}, nil
	}
	name, key := ref.KubeconfigSecret.Name, cmp.Or(ref.KubeconfigSecret.Key, "value")
	secretMark := fmt.Sprintf("Secret %s/%s, key %s", namespace, name, key)
	if f, ok := i.known[secretMark]; ok {
		return f, nil
	}
	f := found{marks: marks{secretMark}}
	secret := &corev1.Secret{}
	err := i.reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	if err != nil && !apierrors.IsNotFound(err) {
		return found{}, fmt.Errorf("read Secret %q: %w", name, err)
	}
	if data := secret.Data[key]; err != nil || len(data) == 0 {
		f.problem = fmt.Sprintf("Secret %q with key %q does not exist yet; the member waits for it", name, key)
	} else if server := serverOf(data); server == "" {
		f.problem = fmt.Sprintf("key %q of Secret %q is not a usable kubeconfig; the member's conditions will say why", key, name)
	} else {
		f.marks = append(f.marks, "API server "+server)
	}
	i.known[secretMark] = f
	return f, nil
}

// serverOf returns the URL of the current context's API server in one spelling, or nothing. Behind a proxy, or a load
// balancer that routes by the TLS server name, one URL stands for several clusters.
func serverOf(kubeconfig []byte) string {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return ""
	}
	kctx := config.Contexts[config.CurrentContext]
	if kctx == nil || config.Clusters[kctx.Cluster] == nil {
		return ""
	}
	cluster := config.Clusters[kctx.Cluster]
	server, err := url.Parse(cluster.Server)
	if err != nil || server.Host == "" {
		return ""
	}
	host := net.JoinHostPort(strings.ToLower(strings.TrimSuffix(server.Hostname(), ".")), cmp.Or(server.Port(), "443"))
	text := "https://" + host + strings.TrimRight(server.Path, "/")
	if cluster.TLSServerName != "" {
		text += " as " + cluster.TLSServerName
	}
	if proxy, err := url.Parse(cluster.ProxyURL); err == nil && proxy.Host != "" {
		text += " through " + proxy.Host
	}
	return text
}
