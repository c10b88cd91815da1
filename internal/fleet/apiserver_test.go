package fleet

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// apiServer answers as much as a connection asks.
type apiServer struct {
	t       *testing.T
	address string
	open    atomic.Int64

	mu     sync.Mutex
	server *httptest.Server
	uid    string
	tokens map[string]bool
	denied bool
	hangs  string // prefix of the paths that are not answered
	seen   map[string]string
}

func newAPIServer(t *testing.T, tokens ...string) *apiServer {
	t.Helper()
	s := &apiServer{t: t, address: "127.0.0.1:0", uid: "uid-" + tokens[0], tokens: map[string]bool{}, seen: map[string]string{}}
	for _, token := range tokens {
		s.tokens[token] = true
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// start listens at the address of the last time.
func (s *apiServer) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatalf("listen: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	_ = server.Listener.Close()
	server.Listener = listener
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.open.Add(-1)
		}
	}
	server.StartTLS()
	s.address = listener.Addr().String()
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
}

// stop makes the address refuse connections.
func (s *apiServer) stop() {
	s.server.CloseClientConnections()
	s.server.Close()
}

func (s *apiServer) change(change func(*apiServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// tokenOf returns the token of the last request for the path.
func (s *apiServer) tokenOf(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[path]
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	allowed, denied, uid := s.tokens[token], s.denied, s.uid
	hangs := s.hangs != "" && strings.HasPrefix(r.URL.Path, s.hangs)
	s.seen[r.URL.Path] = token
	s.mu.Unlock()
	switch {
	case hangs:
		<-r.Context().Done()
	case !allowed:
		answer(w, http.StatusUnauthorized, failure(metav1.StatusReasonUnauthorized, http.StatusUnauthorized, token))
	case r.URL.Path == "/version":
		answer(w, http.StatusOK, map[string]string{"gitVersion": "v1.36.3"})
	case r.URL.Path == "/api":
		answer(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case r.URL.Path == "/apis":
		version := metav1.GroupVersionForDiscovery{GroupVersion: "apps/v1", Version: "v1"}
		answer(w, http.StatusOK, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"},
			Groups: []metav1.APIGroup{{Name: "apps", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}}})
	case r.URL.Path == "/api/v1":
		answer(w, http.StatusOK, resources("v1", "services", "Service"))
	case r.URL.Path == "/apis/apps/v1":
		answer(w, http.StatusOK, resources("apps/v1", "deployments", "Deployment"))
	case denied:
		answer(w, http.StatusForbidden, failure(metav1.StatusReasonForbidden, http.StatusForbidden, token))
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		answer(w, http.StatusOK, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: types.UID(uid)}})
	case r.URL.Path == "/apis/apps/v1/namespaces/demo/deployments/web":
		answer(w, http.StatusOK, appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}})
	default:
		answer(w, http.StatusNotFound, failure(metav1.StatusReasonNotFound, http.StatusNotFound, token))
	}
}

func resources(groupVersion, name, kind string) metav1.APIResourceList {
	return metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: groupVersion,
		APIResources: []metav1.APIResource{{Name: name, Kind: kind, Namespaced: true, Verbs: metav1.Verbs{"get", "list", "watch"}}}}
}

// failure is a Status that quotes the token, as a hostile or careless server might.
func failure(reason metav1.StatusReason, code int32, token string) metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Reason: reason, Code: code, Message: "no luck with " + token}
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// kubeconfig is one with a token, after the edits.
func (s *apiServer) kubeconfig(token string, edits ...func(*clientcmdapi.Config)) []byte {
	s.t.Helper()
	s.mu.Lock()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	s.mu.Unlock()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: "https://" + s.address, CertificateAuthorityData: ca}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	for _, edit := range edits {
		edit(config)
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		s.t.Fatalf("write a kubeconfig: %v", err)
	}
	return data
}

func (s *apiServer) source(token string) Source { return Source{Kubeconfig: s.kubeconfig(token)} }

func (s *apiServer) url() string { return fmt.Sprintf("https://%s", s.address) }
