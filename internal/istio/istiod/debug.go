package istiod

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

const (
	// monitoringPort serves the debug endpoints in every configuration of the istiod chart; httpPort serves them
	// unless ENABLE_DEBUG_ON_HTTP is off.
	monitoringPort = 15014
	httpPort       = 8080
	// askTimeout bounds one question. An answer that grows with the mesh has a second more for each MiB, see allowance.
	askTimeout = 10 * time.Second
	// answerSize bounds an answer that does not grow with the mesh.
	answerSize = 64 << 20
)

// RemoteCluster is a cluster that istiod reads. The first one is istiod's own and has no Secret.
type RemoteCluster struct {
	// ID is the Istio cluster ID.
	ID string `json:"id"`
	// SecretName is `<namespace>/<name>` of the remote Secret.
	SecretName string `json:"secretName"`
	// SyncStatus is synced, syncing, timeout or closed.
	SyncStatus string `json:"syncStatus"`
}

// Clusters asks an istiod pod which clusters it reads.
func Clusters(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]RemoteCluster, error) {
	return askList[RemoteCluster](ctx, cfg, namespace, pod, "/debug/clusterz")
}

// Shards are the addresses of one service by cluster.
type Shards map[string][]string

// Endpoints asks an istiod pod for the endpoints that it knows, by host name of the service. A cluster whose shard is
// empty is in the result, with no address.
func Endpoints(ctx context.Context, cfg *rest.Config, namespace, pod string) (map[string]Shards, error) {
	var hosts map[string]Shards
	err := ask(ctx, cfg, namespace, pod, "/debug/endpointShardz", func(d *json.Decoder) error {
		hosts = map[string]Shards{}
		return eachField(d, func(host string, s service) { hosts[host] = shardsOf(s) })
	})
	return hosts, err
}

// ClusterEndpoints asks an istiod pod for the addresses that Kubernetes has in one cluster, by host name of the service. A
// service that the pod knows and that has none there is in the result, without addresses. What the cluster's ServiceEntries
// add is left out: no other cluster reads them.
func ClusterEndpoints(ctx context.Context, cfg *rest.Config, namespace, pod, cluster string) (map[string][]string, error) {
	var hosts map[string][]string
	err := ask(ctx, cfg, namespace, pod, "/debug/endpointShardz", func(d *json.Decoder) error {
		hosts = map[string][]string{}
		return eachField(d, func(host string, s service) { hosts[host] = addressesIn(s, kubernetesRegistry+"/"+cluster) })
	})
	return hosts, err
}

// Addresses asks an istiod pod for the addresses of one Service of the pod's own namespace, by cluster. All other hosts are
// passed over while the answer is read.
func Addresses(ctx context.Context, cfg *rest.Config, namespace, pod, name string) (map[string][]string, error) {
	var answer oneHost
	err := ask(ctx, cfg, namespace, pod, "/debug/endpointShardz", func(d *json.Decoder) error {
		answer = oneHost{prefix: name + "." + namespace + ".svc."}
		return answer.read(d)
	})
	if err != nil {
		return nil, err
	}
	return answer.byCluster(kubernetesRegistry), nil
}

// kubernetesRegistry is istiod's name for the registry of a cluster's Services.
const kubernetesRegistry = "Kubernetes"

// shardsOf merges the namespaces of a host, which differ only for hosts of ServiceEntries, and the registries.
func shardsOf(s service) Shards {
	merged := Shards{}
	for _, namespace := range s {
		for key, endpoints := range namespace.Shards {
			_, cluster, _ := strings.Cut(key, "/")
			addresses := merged[cluster]
			for _, e := range endpoints {
				addresses = append(addresses, e.Addresses...)
			}
			// One address has an endpoint for each port.
			slices.Sort(addresses)
			merged[cluster] = slices.Compact(addresses)
		}
	}
	return merged
}

// addressesIn are the addresses of one shard of a host.
func addressesIn(s service, key string) []string {
	var addresses []string
	for _, namespace := range s {
		for _, e := range namespace.Shards[key] {
			addresses = append(addresses, e.Addresses...)
		}
	}
	slices.Sort(addresses)
	return slices.Compact(addresses)
}

// askList gets a debug endpoint of an istiod pod that answers with a list.
func askList[T any](ctx context.Context, cfg *rest.Config, namespace, pod, path string) ([]T, error) {
	var list []T
	err := ask(ctx, cfg, namespace, pod, path, func(d *json.Decoder) error {
		list = nil
		return eachElement(d, func(e T) { list = append(list, e) })
	})
	return list, err
}

// ask gets a debug endpoint of an istiod pod as JSON. The answer is read piece by piece, from the beginning again when another port is
// tried.
func ask(ctx context.Context, cfg *rest.Config, namespace, pod, path string, read func(*json.Decoder) error) error {
	var errs []error
	for _, port := range []int{monitoringPort, httpPort} {
		err := askPort(ctx, cfg, namespace, pod, port, path, func(body io.Reader) error { return read(json.NewDecoder(body)) })
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if status := apierrors.APIStatus(nil); ctx.Err() != nil || errors.Is(err, errSlow) || errors.As(err, &status) {
			// The API server does not let us through to any port, or there is no time left.
			break
		}
	}
	return errors.Join(errs...)
}

func askPort(ctx context.Context, cfg *rest.Config, namespace, pod string, port int, path string, read func(io.Reader) error) error {
	ctx, limit := newAllowance(ctx)
	defer limit.end()
	wrap := func(err error) error {
		return fmt.Errorf("ask istiod for %s on port %d: %w", path, port, cmp.Or(limit.exceeded(), err))
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return Dial(ctx, cfg, namespace, pod, port)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return wrap(fmt.Errorf("make a request: %w", err))
	}
	resp, err := client.Do(req)
	if err != nil {
		return wrap(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return wrap(fmt.Errorf("HTTP status %d", resp.StatusCode))
	}
	if err := read(limit.of(resp.Body)); err != nil {
		return wrap(fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

// Do sends a request whose answer does not grow with the mesh, and returns the body of an answer with status 200, whose size is bounded.
func Do(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > answerSize {
		return nil, fmt.Errorf("the answer is larger than %d bytes", answerSize)
	}
	return body, nil
}
