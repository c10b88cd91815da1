package istiod

import (
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
	// askTimeout bounds one question.
	askTimeout = 10 * time.Second
	// answerSize bounds one answer. Endpoints of 10,000 pods are about 10 MiB.
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
	var clusters []RemoteCluster
	if err := ask(ctx, cfg, namespace, pod, "/debug/clusterz", &clusters); err != nil {
		return nil, err
	}
	return clusters, nil
}

// Shards are the addresses of one service by cluster.
type Shards map[string][]string

// Endpoints asks an istiod pod for the endpoints that it knows, by host name of the service. A cluster whose shard is
// empty is in the result, with no address.
func Endpoints(ctx context.Context, cfg *rest.Config, namespace, pod string) (map[string]Shards, error) {
	var answer shardz
	if err := ask(ctx, cfg, namespace, pod, "/debug/endpointShardz", &answer); err != nil {
		return nil, err
	}
	return answer.byHost(), nil
}

// ClusterEndpoints asks an istiod pod for the addresses that Kubernetes has in one cluster, by host name of the service. A
// service that the pod knows and that has none there is in the result, without addresses. What the cluster's ServiceEntries
// add is left out: no other cluster reads them.
func ClusterEndpoints(ctx context.Context, cfg *rest.Config, namespace, pod, cluster string) (map[string][]string, error) {
	var answer shardz
	if err := ask(ctx, cfg, namespace, pod, "/debug/endpointShardz", &answer); err != nil {
		return nil, err
	}
	return answer.of(kubernetesRegistry + "/" + cluster), nil
}

// Addresses asks an istiod pod for the addresses of one Service of the pod's own namespace, by cluster. All other hosts are
// passed over while the answer is read.
func Addresses(ctx context.Context, cfg *rest.Config, namespace, pod, name string) (map[string][]string, error) {
	answer := oneHost{prefix: name + "." + namespace + ".svc."}
	if err := ask(ctx, cfg, namespace, pod, "/debug/endpointShardz", &answer); err != nil {
		return nil, err
	}
	return answer.byCluster(kubernetesRegistry), nil
}

// kubernetesRegistry is istiod's name for the registry of a cluster's Services.
const kubernetesRegistry = "Kubernetes"

// shardz is istiod's format: host name, namespace, and `<registry>/<cluster>`.
type shardz map[string]service

// byHost merges the namespaces, which differ only for hosts of ServiceEntries, and the registries.
func (s shardz) byHost() map[string]Shards {
	hosts := make(map[string]Shards, len(s))
	for host, namespaces := range s {
		merged := Shards{}
		for _, service := range namespaces {
			for key, endpoints := range service.Shards {
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
		hosts[host] = merged
	}
	return hosts
}

// of picks one shard of every host.
func (s shardz) of(key string) map[string][]string {
	hosts := make(map[string][]string, len(s))
	for host, namespaces := range s {
		var addresses []string
		for _, service := range namespaces {
			for _, e := range service.Shards[key] {
				addresses = append(addresses, e.Addresses...)
			}
		}
		slices.Sort(addresses)
		hosts[host] = slices.Compact(addresses)
	}
	return hosts
}

// ask gets a debug endpoint of an istiod pod as JSON.
func ask(ctx context.Context, cfg *rest.Config, namespace, pod, path string, into any) error {
	var errs []error
	for _, port := range []int{monitoringPort, httpPort} {
		err := askPort(ctx, cfg, namespace, pod, port, path, func(body []byte) error { return json.Unmarshal(body, into) })
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if status := apierrors.APIStatus(nil); ctx.Err() != nil || errors.As(err, &status) {
			// The API server does not let us through to any port.
			break
		}
	}
	return errors.Join(errs...)
}

func askPort(ctx context.Context, cfg *rest.Config, namespace, pod string, port int, path string, read func([]byte) error) error {
	wrap := func(err error) error { return fmt.Errorf("ask istiod for %s on port %d: %w", path, port, err) }
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return Dial(ctx, cfg, namespace, pod, port)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return wrap(fmt.Errorf("make a request: %w", err))
	}
	body, err := Do(client, req)
	if err != nil {
		return wrap(err)
	}
	if err := read(body); err != nil {
		return wrap(fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

// Do sends a request and returns the body of an answer with status 200, whose size is bounded.
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
