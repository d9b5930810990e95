// Package testserver stands in for the package of the same name in k8s.io/apiserver: its tests get a
// process of the program that SERVER_UNDER_TEST names instead of an embedded etcd.
package testserver

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/embed"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

// How long a server may take until it is healthy.
const patience = 30 * time.Second

func freeURL(t testing.TB) url.URL {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("no free port: %v", err)
	}
	defer listener.Close()
	return url.URL{Scheme: "http", Host: listener.Addr().String()}
}

// NewTestConfig is what tests change before they start a server.
func NewTestConfig(t testing.TB) *embed.Config {
	config := embed.NewConfig()
	config.Dir = filepath.Join(t.TempDir(), "data")
	client, peer := freeURL(t), freeURL(t)
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	return config
}

// RunEtcd starts a server that ends with the test, and returns a client of it.
func RunEtcd(t testing.TB, config *embed.Config) *kubernetes.Client {
	t.Helper()
	if config == nil {
		config = NewTestConfig(t)
	}
	log := start(t, config)
	endpoint := config.AdvertiseClientUrls[0].String()
	for begin := time.Now(); !healthy(endpoint); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			said, _ := os.ReadFile(log)
			t.Fatalf("the server is not healthy after %v; it said:\n%s", patience, said)
		}
	}
	client, err := kubernetes.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	recorder := storagetesting.NewKubernetesRecorder(client.Kubernetes)
	client.KV = storagetesting.NewKVRecorder(client.KV, recorder)
	client.Kubernetes = recorder
	return client
}

// Starts the server and returns where its log is.
func start(t testing.TB, config *embed.Config) string {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := exec.Command(os.Getenv("SERVER_UNDER_TEST"),
		"--data-dir", config.Dir,
		"--listen-client-urls", config.ListenClientUrls[0].String(),
		"--advertise-client-urls", config.AdvertiseClientUrls[0].String(),
		"--listen-peer-urls", config.ListenPeerUrls[0].String(),
		"--initial-advertise-peer-urls", config.AdvertisePeerUrls[0].String(),
		"--initial-cluster", config.InitialCluster,
		"--max-request-bytes", fmt.Sprint(config.MaxRequestBytes),
		"--watch-progress-notify-interval", config.WatchProgressNotifyInterval.String(),
	)
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	return log.Name()
}

func healthy(endpoint string) bool {
	answer, err := http.Get(endpoint + "/health")
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}
