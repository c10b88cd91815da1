package fleet

import (
	"reflect"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Phase is where a member is in the life of its connection.
type Phase string

const (
	// Connecting: the first attempt to reach the API server is under way.
	Connecting Phase = "Connecting"
	// Connected: the API server answers.
	Connected Phase = "Connected"
	// Down: the API server does not answer, or does not let us in.
	Down Phase = "Down"
)

// State is what is known of a member's API server.
type State struct {
	Phase Phase
	// Since is when Phase or Reason last changed.
	Since time.Time
	// Reason is a condition reason of api/v1alpha1.
	Reason string
	// Message is for people. It contains no credential and changes only when the matter does.
	Message string
	// KubernetesVersion and ClusterUID (the UID of the namespace kube-system) are what the API server said last. They
	// stay while it is down.
	KubernetesVersion string
	ClusterUID        string
	// Server is the URL of the API server.
	Server string
	// ServerName is the name that the certificate of the API server must have. Empty: the host of Server.
	ServerName string
	// CAData is the PEM bundle that signs its certificate; empty when the system's roots do.
	CAData []byte
	// Proxied is true when the API server is reached through a proxy that the kubeconfig names.
	Proxied bool
	// Credential is the lifetime of the credential.
	Credential Lifetime
}

// reaches sets what the target itself says of the API server.
func (s State) reaches(t *target) State {
	s.Server, s.ServerName, s.CAData = t.config.Host, t.config.ServerName, t.config.CAData
	s.Proxied, s.Credential = t.proxied, t.lifetime
	return s
}

func connecting(t *target) State {
	return State{Phase: Connecting, Since: time.Now(), Reason: meshv1alpha1.ReasonConnecting,
		Message: "connecting to " + t.config.Host}.reaches(t)
}

func connected(t *target, found facts) State {
	return State{Phase: Connected, Reason: meshv1alpha1.ReasonConnected, Message: t.config.Host + " answers",
		KubernetesVersion: found.version, ClusterUID: found.uid}.reaches(t)
}

// down keeps what the API server said when it last answered.
func (s State) down(t *target, err error) State {
	s.Phase = Down
	s.Reason, s.Message = t.explain(err)
	return s.reaches(t)
}

// same says whether nothing but the time differs.
func (s State) same(other State) bool {
	other.Since = s.Since
	return reflect.DeepEqual(s, other)
}
