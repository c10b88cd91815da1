// Package chart writes the Helm chart of the operator, in the layout of kubebuilder's plugin helm/v2-alpha.
//
// The templates are the objects of the kustomizations in config, with a few fields replaced by template actions: see holes. The values
// are one table, from which values.yaml, values.schema.json and the chart's README are written.
//
// Objects keep the names that they have in config/default, whatever the release is called. CRDs, ClusterRoles and webhook configurations
// exist once in a cluster, and so does the operator: Helm refuses a second release, because these objects belong to the first one.
package chart
