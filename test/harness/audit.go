package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// AuditEvent is what an API server's audit log says of one call.
type AuditEvent struct {
	Verb       string    `json:"verb"`
	RequestURI string    `json:"requestURI"`
	Time       time.Time `json:"requestReceivedTimestamp"`
	ObjectRef  struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		APIGroup    string `json:"apiGroup"`
	} `json:"objectRef"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	UserAgent      string `json:"userAgent"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// String describes the call in messages.
func (a AuditEvent) String() string {
	ref := a.ObjectRef
	resource := ref.Resource
	if ref.Subresource != "" {
		resource += "/" + ref.Subresource
	}
	verb := a.Verb
	if a.IsDryRun() {
		verb += " (dry run)"
	}
	return fmt.Sprintf("%s %s %s %s/%s by %s (%d)", a.Time.Format(time.TimeOnly), verb, resource, ref.Namespace,
		ref.Name, a.User.Username, a.ResponseStatus.Code)
}

// IsDryRun tells whether the call asked what a write would do, without doing it.
func (a AuditEvent) IsDryRun() bool {
	u, err := url.ParseRequestURI(a.RequestURI)
	return err == nil && u.Query().Has("dryRun")
}

var (
	writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}
	// connectSubresources are opened with the verb create but store nothing.
	connectSubresources = []string{"portforward", "proxy", "exec", "attach"}
)

// isWrite tells whether the call was meant to change what the API server stores. Reviews and connections are
// questions that are put with the verb create.
func (a AuditEvent) isWrite() bool {
	return slices.Contains(writeVerbs, a.Verb) &&
		!slices.Contains(connectSubresources, a.ObjectRef.Subresource) &&
		!strings.HasSuffix(a.ObjectRef.Resource, "reviews")
}

// leaderElectionID is the name of the operator's lease, and the start of the names of the events about it.
const leaderElectionID = "meshfleet.mesh.meshfleet.io"

// isOfMarker tells whether the call changed the marker of discovery, which every member changes every few minutes.
func (a AuditEvent) isOfMarker() bool {
	return a.ObjectRef.Resource == "endpointslices" && a.ObjectRef.Name == mesh.DiscoveryMarkerName
}

// reportsOfMarkers are the most writes of the status of a MeshMember in two minutes that markers account for: its own and those of its
// peers, each of which changes once in five minutes.
const reportsOfMarkers = 4

// WithoutReports are the calls without as many writes of the status of each MeshMember as markers account for.
func WithoutReports(calls []AuditEvent) []AuditEvent {
	reports := map[string]int{}
	return slices.DeleteFunc(slices.Clone(calls), func(a AuditEvent) bool {
		if a.ObjectRef.Resource != "meshmembers" || a.ObjectRef.Subresource != "status" {
			return false
		}
		reports[a.ObjectRef.Name]++
		return reports[a.ObjectRef.Name] <= reportsOfMarkers
	})
}

// isLeaderElection tells whether the call was about leader election, which has to write: the lease itself, and the
// event that says who holds it.
func (a AuditEvent) isLeaderElection() bool {
	ref := a.ObjectRef
	return ref.APIGroup == "coordination.k8s.io" && ref.Resource == "leases" ||
		ref.Resource == "events" && strings.HasPrefix(ref.Name, leaderElectionID+".")
}

// isDoneBy tells whether an identity has changed something with the call, leader election and events apart.
func (a AuditEvent) isDoneBy(identity string) bool {
	return a.User.Username == identity && a.isWrite() && !a.IsDryRun() && !a.isLeaderElection() && a.ObjectRef.Resource != "events"
}

// auditLog is where a cluster's API server tells of its calls.
func (e *Env) auditLog(cluster string) string { return e.Path("bin", "lab", cluster+"-audit.log") }

// Writes returns the writing calls of one identity to a cluster's API server in a period, without those of leader
// election and of the discovery marker, which go on at all times, and how many calls of anybody the log holds in that period. Without the second number a log that is
// not written would pass for silence.
func (e *Env) Writes(cluster, identity string, from, to time.Time) (writes []AuditEvent, total int, err error) {
	f, err := os.Open(e.auditLog(cluster))
	if err != nil {
		return nil, 0, fmt.Errorf("read the audit log of cluster %q: %w", cluster, err)
	}
	defer func() { _ = f.Close() }()
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 4<<20)
	for scanner.Scan() {
		var event AuditEvent
		if err := json.Unmarshal(scanner.Bytes(), &event); err != nil {
			// The API server may be in the middle of the last line.
			continue
		}
		if event.Time.Before(from) || event.Time.After(to) {
			continue
		}
		total++
		if event.User.Username == identity && event.isWrite() && !event.isLeaderElection() && !event.isOfMarker() {
			writes = append(writes, event)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the audit log of cluster %q: %w", cluster, err)
	}
	return writes, total, nil
}

// Identity is the user name under which the operator acts in a cluster: its own on the hub, that of its kubeconfig in
// the members.
func (e *Env) Identity(ctx context.Context, cluster string) (string, error) {
	if cluster != HubName {
		return e.memberIdentity(ctx, cluster)
	}
	d, err := e.operatorDeployment(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("system:serviceaccount:%s:%s", OperatorNamespace, d.Spec.Template.Spec.ServiceAccountName), nil
}
