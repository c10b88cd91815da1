package envtest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const rootKey = "root-cert.pem"

// istiods does what every istiod that is rolled out does: it publishes the root and arms the webhooks of its revision.
// Without cacerts it does nothing, where a real one would make a root of its own.
func (s *stage) istiods(ctx context.Context) error {
	list := &appsv1.DeploymentList{}
	err := s.cluster.admin.List(ctx, list, client.InNamespace(controlPlaneNamespace), client.MatchingLabels{"app": "istiod"})
	if err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		d := &list.Items[i]
		if revision := d.Labels["istio.io/rev"]; revision != "" && isRolledOut(d) && d.DeletionTimestamp.IsZero() {
			errs = append(errs, s.istiod(ctx, revision))
		}
	}
	return errors.Join(errs...)
}

func (s *stage) istiod(ctx context.Context, revision string) error {
	secret := &corev1.Secret{}
	err := s.cluster.admin.Get(ctx, client.ObjectKey{Namespace: controlPlaneNamespace, Name: "cacerts"}, secret)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	root := secret.Data[rootKey]
	return errors.Join(s.publish(ctx, root), s.armInjection(ctx, revision, root), s.armValidation(ctx, revision, root))
}

func (s *stage) publish(ctx context.Context, root []byte) error {
	cm := &corev1.ConfigMap{}
	err := s.cluster.admin.Get(ctx, client.ObjectKey{Namespace: controlPlaneNamespace, Name: "istio-ca-root-cert"}, cm)
	switch {
	case apierrors.IsNotFound(err):
		return s.cluster.admin.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: controlPlaneNamespace, Name: "istio-ca-root-cert"},
			Data:       map[string]string{rootKey: string(root)},
		})
	case err != nil || cm.Data[rootKey] == string(root):
		return err
	}
	cm.Data = map[string]string{rootKey: string(root)}
	return s.cluster.admin.Update(ctx, cm)
}

func (s *stage) armInjection(ctx context.Context, revision string, root []byte) error {
	list := &admissionregistrationv1.MutatingWebhookConfigurationList{}
	if err := s.cluster.admin.List(ctx, list, client.MatchingLabels{"istio.io/rev": revision}); err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		errs = append(errs, s.arm(ctx, &list.Items[i], func() {
			for j := range list.Items[i].Webhooks {
				list.Items[i].Webhooks[j].ClientConfig.CABundle = root
			}
		}))
	}
	return errors.Join(errs...)
}

// armValidation makes the webhooks fail closed, too: from then on the API server needs istiod to admit configuration.
func (s *stage) armValidation(ctx context.Context, revision string, root []byte) error {
	list := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	if err := s.cluster.admin.List(ctx, list, client.MatchingLabels{"istio.io/rev": revision}); err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		errs = append(errs, s.arm(ctx, &list.Items[i], func() {
			for j := range list.Items[i].Webhooks {
				w := &list.Items[i].Webhooks[j]
				w.ClientConfig.CABundle, w.FailurePolicy = root, new(admissionregistrationv1.Fail)
			}
		}))
	}
	return errors.Join(errs...)
}

// arm writes a configuration if mutate has changed it.
func (s *stage) arm(ctx context.Context, configuration client.Object, mutate func()) error {
	before := configuration.DeepCopyObject()
	mutate()
	if equality.Semantic.DeepEqual(before, configuration) {
		return nil
	}
	return s.cluster.admin.Update(ctx, configuration)
}

// playedIstiod answers for an istiod of the member that a configuration leads to.
type playedIstiod struct{ *suite }

// memberAt is the member that a configuration leads to.
func (s playedIstiod) memberAt(config *rest.Config) (*cluster, error) {
	for _, c := range s.clusters() {
		if _, port, _ := strings.Cut(c.server(), "127.0.0.1:"); strings.HasSuffix(config.Host, ":"+port) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("no member at %s", config.Host)
}

// Proxies are none: nobody plays one.
func (playedIstiod) Proxies(context.Context, *rest.Config, string, string) ([]istiod.Proxy, error) {
	return nil, nil
}

// ProxiesIn are none: nobody plays one.
func (playedIstiod) ProxiesIn(context.Context, *rest.Config, string, string, string) ([]istiod.Proxy, error) {
	return nil, nil
}

// SigningEnd is the end of the certificate in the member's cacerts: kubelet and istiod take no time.
func (s playedIstiod) SigningEnd(ctx context.Context, config *rest.Config, namespace, _ string) (time.Time, error) {
	here, err := s.memberAt(config)
	if err != nil {
		return time.Time{}, err
	}
	secret := &corev1.Secret{}
	if err := here.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "cacerts"}, secret); err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(secret.Data["cert-chain.pem"])
	if block == nil {
		return time.Time{}, errors.New("cacerts has no certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return certificate.NotAfter, nil
}

// ClusterEndpoints are none: no gate gets as far as to ask for them.
func (playedIstiod) ClusterEndpoints(context.Context, *rest.Config, string, string, string) (map[string][]string, error) {
	return nil, nil
}

// Addresses are the endpoints of a Service in every cluster whose remote secret is there.
func (s playedIstiod) Addresses(ctx context.Context, config *rest.Config, namespace, pod, name string) (map[string][]string, error) {
	clusters, err := s.Clusters(ctx, config, namespace, pod)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, c := range clusters {
		at := slices.IndexFunc(s.clusters(), func(one *cluster) bool { return one.name == c.ID })
		if at < 0 || c.SyncStatus != "synced" {
			continue
		}
		list := &discoveryv1.EndpointSliceList{}
		if err := s.clusters()[at].admin.List(ctx, list, client.InNamespace(namespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: name}); err != nil {
			return nil, err
		}
		for i := range list.Items {
			for _, e := range list.Items[i].Endpoints {
				found[c.ID] = append(found[c.ID], e.Addresses...)
			}
		}
	}
	return found, nil
}

// Gateways are the announced gateways of every member whose remote secret is there.
func (s playedIstiod) Gateways(ctx context.Context, config *rest.Config, namespace, pod string) ([]istiod.NetworkGateway, error) {
	clusters, err := s.Clusters(ctx, config, namespace, pod)
	if err != nil {
		return nil, err
	}
	var gateways []istiod.NetworkGateway
	for _, c := range clusters {
		at := slices.IndexFunc(s.clusters(), func(one *cluster) bool { return one.name == c.ID })
		if at < 0 {
			continue
		}
		services := &corev1.ServiceList{}
		if err := s.clusters()[at].admin.List(ctx, services, client.InNamespace(namespace), client.HasLabels{charts.NetworkLabel}); err != nil {
			return nil, err
		}
		for i := range services.Items {
			for _, ingress := range services.Items[i].Status.LoadBalancer.Ingress {
				gateways = append(gateways, istiod.NetworkGateway{Network: services.Items[i].Labels[charts.NetworkLabel], Cluster: c.ID, Addr: ingress.IP})
			}
		}
	}
	return gateways, nil
}

// Clusters are its own cluster, and one for each remote secret. A peer is synced when what istiod reads can be read
// with the secret's credential.
func (s playedIstiod) Clusters(ctx context.Context, config *rest.Config, namespace, _ string) ([]istiod.RemoteCluster, error) {
	here, err := s.memberAt(config)
	if err != nil {
		return nil, err
	}
	secrets := &corev1.SecretList{}
	if err := here.admin.List(ctx, secrets, client.InNamespace(namespace), client.MatchingLabels{"istio/multiCluster": "true"}); err != nil {
		return nil, err
	}
	clusters := []istiod.RemoteCluster{{ID: here.name, SyncStatus: "synced"}}
	for i := range secrets.Items {
		for id, kubeconfig := range secrets.Items[i].Data {
			clusters = append(clusters, istiod.RemoteCluster{
				ID: id, SecretName: namespace + "/" + secrets.Items[i].Name, SyncStatus: here.syncPeer(ctx, id, kubeconfig),
			})
		}
	}
	return clusters, nil
}

// syncPeer reads a peer with the token that the file of the kubeconfig has, as the Secrets that are mounted there say.
func (c *cluster) syncPeer(ctx context.Context, peer string, kubeconfig []byte) string {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil || config.BearerTokenFile != path.Join(mesh.ReaderTokensPath, peer) {
		return "closed"
	}
	tokens := &corev1.Secret{}
	if err := c.admin.Get(ctx, client.ObjectKey{
		Namespace: controlPlaneNamespace, Name: mesh.ReaderTokensSecretName(mesh.ReaderTokensShard(peer)),
	}, tokens); err != nil {
		return "syncing"
	}
	config.BearerTokenFile, config.BearerToken = "", string(tokens.Data[peer])
	return readPeer(ctx, config)
}

func readPeer(ctx context.Context, config *rest.Config) string {
	peer, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return "timeout"
	}
	for _, list := range []client.ObjectList{
		&corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}, &corev1.PodList{}, &corev1.NodeList{}, &corev1.NamespaceList{},
	} {
		if err := peer.List(ctx, list); err != nil {
			return "syncing"
		}
	}
	return "synced"
}
