package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

const (
	// servingCerts is where OLM mounts the certificate of webhooks, with the names tls.crt and tls.key.
	servingCerts = "/tmp/k8s-webhook-server/serving-certs"
	// The labels of a ClusterServiceVersion for the platforms of the operator's image.
	archLabel = "operatorframework.io/arch."
	osLabel   = "operatorframework.io/os."
	supported = "supported"
)

// adapt changes the Deployment for OLM.
func adapt(deployment *appsv1.Deployment, image, certificate string, labels map[string]string) error {
	manager, err := manifests.Manager(deployment)
	if err != nil {
		return err
	}
	manager.Image = image
	pod := &deployment.Spec.Template.Spec
	if err := dropCertificate(pod, certificate); err != nil {
		return fmt.Errorf("deployment %q: %w", deployment.Name, err)
	}
	// The image has a user of its own. OpenShift gives each namespace a range of users and refuses a fixed one.
	if pod.SecurityContext != nil {
		pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsGroup = nil, nil
	}
	return placeOnPlatforms(pod, labels)
}

// dropCertificate removes the volume with the certificate that cert-manager issues. OLM adds one with its own certificate.
func dropCertificate(pod *corev1.PodSpec, secret string) error {
	at := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == secret })
	if at < 0 {
		return fmt.Errorf("it has no volume of the Secret %q", secret)
	}
	volume := pod.Volumes[at].Name
	pod.Volumes = slices.Delete(pod.Volumes, at, at+1)
	for i := range pod.Containers {
		container := &pod.Containers[i]
		for _, mount := range container.VolumeMounts {
			if mount.Name == volume && mount.MountPath != servingCerts {
				return fmt.Errorf("container %q expects the webhooks' certificate at %s, OLM mounts it at %s", container.Name, mount.MountPath, servingCerts)
			}
		}
		container.VolumeMounts = slices.DeleteFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
	}
	return nil
}

// placeOnPlatforms keeps the pod off nodes for which the image has no platform.
func placeOnPlatforms(pod *corev1.PodSpec, labels map[string]string) error {
	requirement := func(key, prefix string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: platforms(labels, prefix)}
	}
	arch, system := requirement(corev1.LabelArchStable, archLabel), requirement(corev1.LabelOSStable, osLabel)
	if len(arch.Values) == 0 || len(system.Values) == 0 {
		return fmt.Errorf("the ClusterServiceVersion needs the labels %s… and %s… for the platforms of the image", archLabel, osLabel)
	}
	if pod.Affinity == nil {
		pod.Affinity = &corev1.Affinity{}
	}
	if pod.Affinity.NodeAffinity != nil {
		return fmt.Errorf("the Deployment has a node affinity: take it out of config/manager, or merge it in hack/packaging/internal/bundle")
	}
	pod.Affinity.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{arch, system}}},
	}}
	return nil
}

// platforms are the sorted ends of the labels that begin with a prefix.
func platforms(labels map[string]string, prefix string) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if name, is := strings.CutPrefix(key, prefix); is && labels[key] == supported {
			found = append(found, name)
		}
	}
	return found
}

// install writes the Deployment into the install strategy.
func install(deployment *appsv1.Deployment, strategy *operatorsv1alpha1.StrategyDetailsDeployment) {
	strategy.DeploymentSpecs = []operatorsv1alpha1.StrategyDeploymentSpec{{
		Name: deployment.Name, Label: deployment.Labels, Spec: deployment.Spec,
	}}
}
