package crd

const memberBase = `
apiVersion: mesh.meshfleet.io/v1alpha1
kind: MeshMember
metadata: {name: shop-east, namespace: meshfleet-system}
spec:
  installation: shop
  cluster: east
  network: east
  meshID: shop
  trustDomain: cluster.local
  controlPlaneNamespace: istio-system
  clusterRef: {kubeconfigSecret: {name: east-kubeconfig}}
  caSecret: shop-east-ca
  revisions: [{name: 1-29-1, version: 1.29.1}]
  defaultRevision: 1-29-1
  gatewayRevision: 1-29-1
  readerVersion: 1.29.1
  deletionPolicy: WaitForMembers
`

var memberCases = []ruleCases{
	{
		message: "spec.members[].clusterRef: set exactly one of kubeconfigSecret and local",
		accepts: []string{`spec: {clusterRef: {kubeconfigSecret: null, local: {}}}`},
		rejects: []string{`spec: {clusterRef: {local: {}}}`, `spec: {clusterRef: {kubeconfigSecret: null}}`},
	},
}
