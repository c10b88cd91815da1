package artifacts

import (
	"fmt"
	"maps"
)

// Versions of what is built. The modules under artifacts/ fix the sources; these
// are the names and the version stamps, so both change together.
const (
	kubernetesVersion  = "1.36.3"
	containerdVersion  = "2.4.2"
	coreDNSVersion     = "1.12.4"
	certManagerVersion = "1.21.2"
	prometheusVersion  = "0.315.0"
	olmVersion         = "0.42.0"
	opmVersion         = "1.65.0"
	argoCDVersion      = "3.2.11"
)

// istioRelease is an Istio release with the Envoy release that it was made for:
// Istio's own Envoy is not published anywhere this can reach.
type istioRelease struct{ version, envoy string }

var istioReleases = []istioRelease{
	{version: "1.28.3", envoy: "1.36.4"},
	{version: "1.29.1", envoy: "1.37.0"},
	{version: "1.30.4", envoy: "1.38.3"},
	{version: "1.31.0", envoy: "1.39.3"},
}

// Artifacts that only serve to make others.
const (
	coreDNSPrograms     Name = "coredns"
	certManagerPrograms Name = "cert-manager"
	prometheusPrograms  Name = "prometheus"
	olmPrograms         Name = "olm"
	pauseProgram        Name = "pause"
	cpProgram           Name = "cp"
	echoProgram         Name = "echo"
	loadProgram         Name = "load"
)

func istioPrograms(version string) Name { return Name("istio-" + version) }
func envoyBinary(version string) Name   { return Name("envoy-" + version) }

var catalog = newCatalog()

func newCatalog() map[Name]recipe {
	recipes := map[Name]recipe{
		Kubernetes:          kubernetesPrograms().recipe(),
		Etcd:                etcdPrograms().recipe(),
		Containerd:          containerdPrograms().recipe(),
		ArgoCD:              argoCDPrograms().recipe(),
		coreDNSPrograms:     moduleProgram("coredns", "").recipe(),
		certManagerPrograms: moduleProgram("cert-manager", "-X github.com/cert-manager/cert-manager/pkg/util.AppVersion=v"+certManagerVersion).recipe(),
		prometheusPrograms:  prometheusProgram().recipe(),
		olmPrograms:         operatorFrameworkPrograms().recipe(),
		pauseProgram:        workload("pause").recipe(),
		cpProgram:           workload("cp").recipe(),
		echoProgram:         workload("echo").recipe(),
		loadProgram:         workload("load").recipe(),

		ImagePause:       staticImage("lab.local/pause:1", pauseProgram, "pause", nobody),
		ImageEcho:        staticImage("lab.local/echo:1", echoProgram, "echo", nobody),
		ImageLoad:        staticImage("lab.local/load:1", loadProgram, "load", nobody),
		ImageCoreDNS:     staticImage("lab.local/coredns:"+coreDNSVersion, coreDNSPrograms, "coredns", nobody),
		ImageCertManager: staticImage("lab.local/cert-manager:v"+certManagerVersion, certManagerPrograms, "cert-manager", nobody),
		ImagePrometheus:  staticImage("lab.local/prometheus:v"+prometheusVersion, prometheusPrograms, "prometheus", nobody),
		ImageOLM:         olmImage(),
		ImageOPM:         opmImage(),
	}
	for _, r := range istioReleases {
		maps.Copy(recipes, map[Name]recipe{
			istioPrograms(r.version): istioModule(r.version).recipe(),
			envoyBinary(r.envoy):     envoyRecipe(r.envoy),
			ImagePilot(r.version):    staticImage("lab.local/istio/pilot:"+r.version, istioPrograms(r.version), "pilot-discovery", istioUser),
			ImageProxy(r.version):    proxyImage("lab.local/istio/proxyv2:"+r.version, r),
		})
	}
	return recipes
}

func kubernetesPrograms() goPrograms {
	// Without these stamps nodes and /version say v0.0.0-master, and chart
	// constraints and minimum-version checks fail.
	var flags string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=v%[2]s -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=36 -X %[1]s.gitTreeState=clean", pkg, kubernetesVersion)
	}
	return goPrograms{
		dir: "artifacts/kubernetes", sources: []string{"."},
		programs: []goProgram{{name: "kube", pkg: ".", ldflags: flags}},
		links:    []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"},
	}
}

func etcdPrograms() goPrograms {
	return goPrograms{
		dir: "artifacts/etcd", sources: []string{"."},
		programs: []goProgram{{name: "etcd", pkg: "go.etcd.io/etcd/server/v3"}},
	}
}

func containerdPrograms() goPrograms {
	const module = "github.com/containerd/containerd/v2"
	g := goPrograms{dir: "artifacts/containerd", sources: []string{"."}}
	for _, name := range []string{"containerd", "ctr", "containerd-shim-runc-v2"} {
		g.programs = append(g.programs, goProgram{
			name: name, pkg: module + "/cmd/" + name,
			tags:    "no_btrfs,no_devmapper,no_zfs,no_tracing", // overlayfs is all that a node uses
			ldflags: "-X " + module + "/version.Version=v" + containerdVersion,
		})
	}
	return g
}

// argoCDPrograms is one program, whose name decides which part of Argo CD it is, and the Kustomize that its repo-server runs.
// test/argocd requires the same modules.
func argoCDPrograms() goPrograms {
	const module = "github.com/argoproj/argo-cd/v3"
	return goPrograms{
		dir: "artifacts/argo-cd", sources: []string{"."}, onHost: true,
		programs: []goProgram{
			{name: "argocd", pkg: module + "/cmd", ldflags: "-X " + module + "/common.version=" + argoCDVersion},
			{name: "kustomize", pkg: "sigs.k8s.io/kustomize/kustomize/v5"},
		},
		links:  []string{"argocd-application-controller", "argocd-applicationset-controller", "argocd-repo-server", "argocd-server"},
		module: module,
		files:  map[string]string{"install.yaml": "manifests/install.yaml"},
	}
}

// istioModule uses Istio's own build tags: without them the agent links the
// whole Kubernetes API and istiod loses its fast encoder.
func istioModule(version string) goPrograms {
	const pkg = "istio.io/istio/pkg/version"
	// Proxies report buildVersion to istiod, which decides by it what to send.
	flags := fmt.Sprintf("-X %[1]s.buildVersion=%[2]s -X %[1]s.buildTag=%[2]s -X %[1]s.buildStatus=Clean", pkg, version)
	return goPrograms{
		dir: "artifacts/istio-" + version, sources: []string{"."},
		programs: []goProgram{
			{name: "pilot-discovery", pkg: "istio.io/istio/pilot/cmd/pilot-discovery", tags: "vtprotobuf,disable_pgv", ldflags: flags},
			{name: "pilot-agent", pkg: "istio.io/istio/pilot/cmd/pilot-agent", tags: "agent,disable_pgv,grpcnotrace,retrynotrace", ldflags: flags},
		},
		module: "istio.io/istio",
		files:  map[string]string{bootstrapTemplate: "tools/packaging/common/envoy_bootstrap.json"},
	}
}

// moduleProgram is the single main package of a component's module.
func moduleProgram(name, ldflags string) goPrograms {
	return goPrograms{
		dir: "artifacts/" + name, sources: []string{"."},
		programs: []goProgram{{name: name, pkg: ".", ldflags: ldflags}},
	}
}

// prometheusProgram finds targets through Kubernetes alone: the libraries of
// all clouds would take most of the build.
func prometheusProgram() goPrograms {
	return goPrograms{
		dir: "artifacts/prometheus", sources: []string{"."},
		programs: []goProgram{{
			name: "prometheus", pkg: "github.com/prometheus/prometheus/cmd/prometheus", tags: "remove_all_sd,enable_kubernetes_sd",
		}},
	}
}

// workload is one of the lab's own programs. It uses the standard library only.
// So the module's go.mod, which changes with the rest of the lab, is no input.
func workload(name string) goPrograms {
	return goPrograms{
		dir: "workloads", sources: []string{name},
		programs: []goProgram{{name: name, pkg: "./" + name}},
	}
}
