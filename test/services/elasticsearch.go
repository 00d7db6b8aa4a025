package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// ElasticUser is the user that ElasticsearchOptions.Password is for. It may do
// everything.
const ElasticUser = "elastic"

// ElasticsearchOptions say how a node differs from a plain one.
type ElasticsearchOptions struct {
	// Password turns security on and is that of [ElasticUser].
	Password string

	// Settings are further settings of the node.
	Settings map[string]string

	// JVM are further options of the Java machine, after ours: -Xmx1g.
	JVM []string
}

// An ElasticsearchServer is a cluster of one node. The distribution has few
// modules: no ingest processors, no scripts, no lifecycle policies, and GET /
// is answered with 405.
type ElasticsearchServer struct {
	server
	password string
}

// The ports of a node.
const (
	httpPort = iota
	transportPort
	elasticPorts // how many
)

// Elasticsearch starts a node for the test.
func Elasticsearch(t testing.TB, o ElasticsearchOptions) *ElasticsearchServer {
	t.Helper()
	e, err := newElasticsearch(t.Context(), o)
	if err != nil {
		giveUp(t, "Elasticsearch", err)
	}
	e.endWith(t)
	return e
}

// sharedElasticsearch is the node of this process. It dies with the process, and
// the reaper removes its folder.
var sharedElasticsearch = sync.OnceValues(func() (*ElasticsearchServer, error) {
	return newElasticsearch(context.Background(), ElasticsearchOptions{})
})

// SharedElasticsearch gives the plain node that the tests of this process share,
// up and running. Its indices outlive a test, so give them names of their own. A
// test that stops, kills or pauses it must not run in parallel with others; the
// next one finds it running.
func SharedElasticsearch(t testing.TB) *ElasticsearchServer {
	t.Helper()
	e, err := sharedElasticsearch()
	if err != nil {
		giveUp(t, "Elasticsearch", err)
	}
	e.share(t)
	return e
}

// URL is the node's address, without a password.
func (e *ElasticsearchServer) URL() string { return "http://" + localhost(e.ports[httpPort]) }

func newElasticsearch(ctx context.Context, o ElasticsearchOptions) (*ElasticsearchServer, error) {
	java, err := findJava()
	if err != nil {
		return nil, err
	}
	dist, err := artefacts(ctx, "elasticsearch", unzip)
	if err != nil {
		return nil, err
	}
	as := unprivileged() // it refuses to run as root
	p, err := settle("elasticsearch", elasticPorts, as)
	if err != nil {
		return nil, err
	}
	e := &ElasticsearchServer{server: server{place: p, title: "Elasticsearch"}, password: o.Password}
	e.ready = e.healthy
	if err := e.configure(java, dist, o); err != nil {
		return nil, errors.Join(err, e.close())
	}
	e.run.as = as
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// elasticLog prints to standard output.
const elasticLog = `status=error
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
`

// configure writes the node's files and says how it is started.
func (e *ElasticsearchServer) configure(j java, dist string, o ElasticsearchOptions) error {
	as := unprivileged()
	if err := e.mkdir(as, "config", "data", "logs", "tmp"); err != nil {
		return err
	}
	if err := os.WriteFile(e.file("config", "log4j2.properties"), []byte(elasticLog), 0o644); err != nil {
		return err
	}
	settings := e.settings(dist, o)
	e.run = command{
		name: "elasticsearch", path: j.path, args: append(elasticOptions(dist, e.file("tmp"), o.JVM), elasticMain...),
		dir: e.dir, log: e.file("log"), in: launch(settings, o.Password, e.file("config"), e.file("logs")),
		env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "TZ=UTC", "LC_ALL=C.UTF-8", "ES_TMPDIR=" + e.file("tmp"), "LIBFFI_TMPDIR=" + e.file("tmp")},
	}
	return nil
}

func (e *ElasticsearchServer) settings(dist string, o ElasticsearchOptions) map[string]string {
	all := map[string]string{
		"cluster.name":   "tocsin",
		"node.name":      "tocsin",
		"path.home":      dist,
		"path.data":      e.file("data"),
		"path.logs":      e.file("logs"),
		"http.host":      "127.0.0.1",
		"http.port":      strconv.Itoa(e.ports[httpPort]),
		"transport.host": "127.0.0.1",
		"transport.port": strconv.Itoa(e.ports[transportPort]),
		"discovery.type": "single-node",
		// A disk that is nearly full must not close indices in the middle of a test.
		"cluster.routing.allocation.disk.threshold_enabled": "false",
		"xpack.security.enabled":                            strconv.FormatBool(o.Password != ""),
		"xpack.security.enrollment.enabled":                 "false",
	}
	maps.Copy(all, o.Settings)
	return all
}

// elasticMain is what runs. The bundled launcher would first start two other
// Java machines to find it out.
var elasticMain = []string{
	"--add-modules=jdk.net", "--add-modules=jdk.management.agent", "--add-modules=ALL-MODULE-PATH",
	"-m", "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
}

// elasticOptions are those that the launcher gives the Java machine, and ours.
// An archive of loaded classes is not to be had: Java reads none when java.base
// is patched, as Elasticsearch does to guard what its modules may do.
func elasticOptions(dist, tmp string, more []string) []string {
	bridge, _ := filepath.Glob(filepath.Join(dist, "lib", "entitlement-bridge", "*.jar"))
	options := []string{
		"-Xms256m", "-Xmx512m", "-Xss1m", "-XX:MaxDirectMemorySize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Djava.awt.headless=true", "-Dfile.encoding=UTF-8", "-Djava.locale.providers=SPI,COMPAT", "-Djava.io.tmpdir=" + tmp,
		"-Dio.netty.noUnsafe=true", "-Dio.netty.noKeySetOptimization=true", "-Dio.netty.recycler.maxCapacityPerThread=0",
		"-Djna.nosys=true", "-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true", "-Dlog4j2.formatMsgNoLookups=true",
		"-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
		"-Des.networkaddress.cache.ttl=60", "-Des.networkaddress.cache.negative.ttl=10",
		"-Des.path.home=" + dist, "-Des.distribution.type=zip", "-Des.java.type=JAVA_HOME",
		"-XX:+EnableDynamicAgentLoading", "-Djdk.attach.allowAttachSelf=true",
	}
	for _, jar := range bridge {
		options = append(options, "--patch-module=java.base="+jar)
	}
	options = append(options,
		"--add-exports=java.base/org.elasticsearch.entitlement.bridge=org.elasticsearch.entitlement,java.logging,java.net.http,java.naming,jdk.net,jdk.zipfs,jdk.management.agent",
		"--module-path="+filepath.Join(dist, "lib"))
	return append(options, more...)
}

// healthy asks for the cluster's health after everything that waits to be done
// when a node starts, such as putting built-in templates in place.
func (e *ElasticsearchServer) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL()+"/_cluster/health?wait_for_status=yellow&wait_for_events=languid&timeout=3s", nil)
	if err != nil {
		return err
	}
	req.Close = true // so that nothing of it is left when the server stops
	if e.password != "" {
		req.SetBasicAuth(ElasticUser, e.password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var health struct{ Status string }
	if err := json.NewDecoder(res.Body).Decode(&health); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d, status %q (%w)", res.StatusCode, health.Status, errors.Join(err, errNotReady))
	}
	return nil
}

var errNotReady = errors.New("not ready")
