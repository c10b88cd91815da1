package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Object names one object of any kind.
type Object struct {
	Resource  string
	Namespace string
	Name      string
	UID       string
}

// String names the object in messages.
func (o Object) String() string {
	return strings.TrimPrefix(fmt.Sprintf("%s %s/%s", o.Resource, o.Namespace, o.Name), " ")
}

// Owned lists every object in a cluster, of any kind that can be listed, that carries the label of this mesh as its
// members carry it. It asks the API server which kinds there are, so that a leftover of a kind that nobody thought of is
// found too.
func (e *Env) Owned(ctx context.Context, c *Cluster) ([]Object, error) {
	return c.Labelled(ctx, meshv1alpha1.LabelInstallation+"="+e.Mesh.Namespace+"."+e.Mesh.Name)
}

// OwnedOnHub is Owned for what the mesh keeps on the hub to work with: certificates, credentials, MeshMembers.
func (e *Env) OwnedOnHub(ctx context.Context) ([]Object, error) {
	return e.Hub.Labelled(ctx, meshv1alpha1.LabelInstallation+"="+e.Mesh.Name)
}

// Labelled lists the objects of all kinds that match a label selector, in a stable order.
func (c *Cluster) Labelled(ctx context.Context, selector string) ([]Object, error) {
	client, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("connect to cluster %q: %w", c.Name, err)
	}
	lists, err := c.Clientset.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("list the kinds of cluster %q: %w", c.Name, err)
	}
	var found []Object
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("list the kinds of cluster %q: %w", c.Name, err)
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || gv.Group == "metrics.k8s.io" {
				continue
			}
			objects, err := client.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{LabelSelector: selector})
			if err != nil {
				return nil, fmt.Errorf("list %s of cluster %q: %w", r.Name, c.Name, err)
			}
			for _, o := range objects.Items {
				found = append(found, Object{
					Resource: gv.WithResource(r.Name).GroupResource().String(), Namespace: o.Namespace, Name: o.Name,
					UID: string(o.UID),
				})
			}
		}
	}
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.String(), b.String()) })
	return found, nil
}
