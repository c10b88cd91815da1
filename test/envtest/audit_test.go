package envtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// auditPolicy logs what the operator does and nothing else.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users:
  - system:serviceaccount:` + operatorNamespace + `:` + operatorAccount + `
  - system:serviceaccount:` + memberNamespace + `:` + memberAccount + `
- level: None
`

// call is one call of the operator to an API server.
type call struct {
	Verb      string    `json:"verb"`
	URI       string    `json:"requestURI"`
	Received  time.Time `json:"requestReceivedTimestamp"`
	ObjectRef struct {
		Resource, Subresource, Namespace, Name string
	} `json:"objectRef"`
	ResponseStatus struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
}

func (c call) String() string {
	return fmt.Sprintf("%s %s %s (%d)", c.Received.Format("15:04:05.000"), c.Verb, c.URI, c.ResponseStatus.Code)
}

// isWrite is true for calls that ask for a change, even when they only try it out. A review is created, and nothing is stored.
func (c call) isWrite() bool {
	return c.ObjectRef.Resource != "tokenreviews" && slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, c.Verb)
}

// changes is true for calls that have changed something.
func (c call) changes() bool {
	return c.isWrite() && c.ResponseStatus.Code < 300 && !c.isDryRun()
}

// isDryRun is true for calls that only ask what would become of them.
func (c call) isDryRun() bool {
	u, err := url.Parse(c.URI)
	return err == nil && u.Query().Has("dryRun")
}

func (c call) isAbout(resource, name string) bool {
	return c.ObjectRef.Resource == resource && c.ObjectRef.Subresource == "" && c.ObjectRef.Name == name
}

// isOfMarker is true for a change of the marker of discovery, which every member makes every few minutes.
func (c call) isOfMarker() bool { return c.isAbout("endpointslices", mesh.DiscoveryMarkerName) }

// isReport is true for a write of the status of a MeshMember. Members report their own marker and those of peers.
func (c call) isReport() bool {
	return c.ObjectRef.Resource == "meshmembers" && c.ObjectRef.Subresource == "status"
}

// calls are the operator's calls to the cluster that the API server received at or after a moment, oldest first.
func (c *cluster) calls(t *testing.T, since time.Time) []call {
	t.Helper()
	file, err := os.Open(c.audit)
	must(t, err)
	defer func() { _ = file.Close() }()
	var out []call
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var one call
		if json.Unmarshal(scanner.Bytes(), &one) != nil {
			continue // the API server is in the middle of the last line
		}
		if !one.Received.Before(since) {
			out = append(out, one)
		}
	}
	must(t, scanner.Err())
	slices.SortStableFunc(out, func(a, b call) int { return a.Received.Compare(b.Received) })
	return out
}

// writes are those calls that ask for a change.
func (c *cluster) writes(t *testing.T, since time.Time) []call {
	t.Helper()
	return slices.DeleteFunc(c.calls(t, since), func(one call) bool { return !one.isWrite() || one.isOfMarker() })
}

// permissions looks back at the whole story: the operator never asked for what its permissions do not allow.
func (s *suite) permissions(t *testing.T) {
	for _, c := range s.clusters() {
		calls := c.calls(t, time.Time{})
		if len(calls) == 0 {
			t.Errorf("%s: the audit log knows no call of the operator, so it proves nothing", c.name)
		}
		var refused []string
		for _, one := range calls {
			if one.ResponseStatus.Code == 403 {
				refused = append(refused, one.String()+" "+one.ResponseStatus.Message)
			}
		}
		if len(refused) > 0 {
			t.Errorf("%s: %d calls were refused:\n%s", c.name, len(refused), strings.Join(refused, "\n"))
		}
	}
}
