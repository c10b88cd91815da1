package mesh

import (
	"hash/fnv"
	"strconv"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// ReaderTokensPath is where istiod finds the tokens of its peers, one file for each, named like the peer.
	ReaderTokensPath = "/var/run/secrets/meshfleet/readers"
	// ReaderTokensSecrets is the number of Secrets among which tokens are spread. One holds 1 MiB, which 1,000 tokens exceed.
	ReaderTokensSecrets = 4
	// DiscoveryMarkerName is the name of the Service by whose endpoint peers see that they receive what is new in a member.
	DiscoveryMarkerName = "meshfleet-discovery"
	// RestartAnnotation on istiod's pod template has the time of the restart that was ordered last.
	RestartAnnotation = "mesh.meshfleet.io/restarted-at"
)

// ReaderTokensSecretName is the name of one of the Secrets in a member that have the tokens of its peers.
func ReaderTokensSecretName(shard int) string {
	return "meshfleet-reader-tokens-" + strconv.Itoa(shard)
}

// ReaderTokensShard says in which of these Secrets the token of a peer is.
func ReaderTokensShard(peer string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(peer)) // a hash never fails
	return int(h.Sum32() % ReaderTokensSecrets)
}

// ReadsTokenFiles says whether the member's istiod reads the tokens of its peers from files.
func ReadsTokenFiles(m *meshv1alpha1.MeshMemberSpec) bool {
	return m.ReaderTokens == meshv1alpha1.ReaderTokensFile
}

// IsRestarting says whether a restart of the member's istiod was ordered that has not been proved to be over.
func IsRestarting(m *meshv1alpha1.MeshMember) bool {
	order, done := m.Spec.IstiodRestart, m.Status.Discovery.RestartedAt
	return order != nil && (done == nil || done.Before(&order.OrderedAt))
}

// RestartedAt is the value of RestartAnnotation after an order.
func RestartedAt(order *meshv1alpha1.IstiodRestart) string {
	return order.OrderedAt.UTC().Format(time.RFC3339)
}
