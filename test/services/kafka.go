package services

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Listener is one of the ways to speak to a [KafkaServer].
type Listener int

// The listeners of a broker. Plain is always there.
const (
	Plain   Listener = iota
	TLS              // encrypted, if KafkaOptions.TLS
	SASL             // with a user's name and password, if KafkaOptions.Users
	SASLTLS          // both, if both
	controller
	listeners // how many
)

// KafkaOptions say how a broker differs from a plain one.
type KafkaOptions struct {
	// TLS adds a listener with a certificate for 127.0.0.1 and localhost, signed
	// by an authority of its own: see KafkaServer.CA.
	TLS bool

	// Users are names and passwords. They add a listener that takes them by
	// PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
	Users map[string]string

	// Settings are further lines of the broker's configuration.
	Settings map[string]string

	// JVM are further options of the Java machine, after ours: -Xmx1g.
	JVM []string
}

// A KafkaServer is a single Kafka broker that is its own controller. It makes no
// topics by itself, and its listeners are those of the options. When it is
// started again it answers a moment before it leads all of its partitions, and
// after a kill it answers only when its former session has ended, which takes
// three seconds.
type KafkaServer struct {
	server
	ca []byte
}

// Kafka starts a broker for the test.
func Kafka(t testing.TB, o KafkaOptions) *KafkaServer {
	t.Helper()
	k, err := newKafka(t.Context(), o)
	if err != nil {
		giveUp(t, "Apache Kafka", err)
	}
	k.endWith(t)
	return k
}

// sharedKafka is the broker of this process. It dies with the process, and the
// reaper removes its folder.
var sharedKafka = sync.OnceValues(func() (*KafkaServer, error) { return newKafka(context.Background(), KafkaOptions{}) })

// SharedKafka gives the plain broker that the tests of this process share, up
// and running. Its topics and groups outlive a test, so give them names of their
// own. A test that stops, kills or pauses it must not run in parallel with
// others; the next one finds it running.
func SharedKafka(t testing.TB) *KafkaServer {
	t.Helper()
	k, err := sharedKafka()
	if err != nil {
		giveUp(t, "Apache Kafka", err)
	}
	k.share(t)
	return k
}

// Brokers are the addresses of the plain listener.
func (k *KafkaServer) Brokers() []string { return k.BrokersAt(Plain) }

// BrokersAt are the addresses of a listener.
func (k *KafkaServer) BrokersAt(l Listener) []string { return []string{localhost(k.ports[l])} }

// CA is the certificate, in PEM, that the broker's own is signed with.
func (k *KafkaServer) CA() []byte { return k.ca }

func newKafka(ctx context.Context, o KafkaOptions) (*KafkaServer, error) {
	dist, err := fetchKafka(ctx)
	if err != nil {
		return nil, err
	}
	return dist.start(ctx, o)
}

// start makes a broker's folder and starts the broker.
func (d kafkaDist) start(ctx context.Context, o KafkaOptions) (*KafkaServer, error) {
	p, err := settle("kafka", int(listeners), nil)
	if err != nil {
		return nil, err
	}
	k := &KafkaServer{server: server{place: p, title: "Kafka"}}
	k.run, k.ready = d.command(p, append(d.archived(o.JVM), "kafka.Kafka", p.file("server.properties"))...), k.answers
	if err := errors.Join(k.configure(o), d.format(ctx, p, o.Users)); err != nil {
		return nil, errors.Join(err, k.close())
	}
	if err := k.start(ctx); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// warm is FindCoordinator version 0 for the group of that name.
var warm = []byte("\x00\x00\x00\x10" + "\x00\x0a" + "\x00\x00" + "\x00\x00\x00\x07" + "\xff\xff" + "\x00\x04warm")

// answers asks the broker for a group's coordinator. So it speaks Kafka, and has
// the topic in which it keeps the groups' offsets: it makes that at the first
// such question and tells whoever asked to come again, which kafka-go does only
// after five seconds.
func (k *KafkaServer) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", k.Brokers()[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := errors.Join(conn.SetDeadline(deadline), second(conn.Write(warm))); err != nil {
		return err
	}
	var head [10]byte // length, correlation, error code
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return fmt.Errorf("there is no coordinator yet: error code %d", code)
	}
	return nil
}

func second(_ int, err error) error { return err }

// A kafkaDist is the program as it was fetched.
type kafkaDist struct {
	java
	dir string
}

// fetchKafka fetches the program and prepares what makes it start quickly: an
// archive of loaded classes, and a formatted data folder to copy.
func fetchKafka(ctx context.Context) (kafkaDist, error) {
	java, err := findJava()
	if err != nil {
		return kafkaDist{}, err
	}
	dir, err := artefacts(ctx, "kafka", func(string) error { return nil })
	if err != nil {
		return kafkaDist{}, err
	}
	d := kafkaDist{java, dir}
	if err := once(d.template(), func(tmp string) error { return d.makeTemplate(ctx, tmp) }); err != nil {
		return d, fmt.Errorf("format a data folder: %w", err)
	}
	if err := once(d.archive(), func(tmp string) error { return d.makeArchive(ctx, tmp) }); err != nil {
		return d, fmt.Errorf("archive the classes: %w", err)
	}
	return d, nil
}

// archive is the file of loaded classes for this build of Java.
func (d kafkaDist) archive() string { return d.dir + "-" + short(d.path, d.release) + ".jsa" }

// template is a formatted data folder without users.
func (d kafkaDist) template() string { return d.dir + "-" + short(kafkaLayout) + "-data" }

// archived adds the archive, once it is made, to the options of the Java machine.
func (d kafkaDist) archived(options []string) []string {
	if !exists(d.archive()) {
		return options
	}
	return append([]string{"-XX:SharedArchiveFile=" + d.archive()}, options...)
}

// makeArchive runs a broker once to see what it loads.
func (d kafkaDist) makeArchive(ctx context.Context, file string) error {
	k, err := d.start(ctx, KafkaOptions{JVM: []string{"-XX:ArchiveClassesAtExit=" + file}})
	if err != nil {
		return err
	}
	return errors.Join(k.stop(), k.close())
}

func (d kafkaDist) makeTemplate(ctx context.Context, dir string) error {
	p, err := settle("kafka-format", int(listeners), nil)
	if err != nil {
		return err
	}
	k := &KafkaServer{server: server{place: p}}
	if err := errors.Join(k.configure(KafkaOptions{}), d.runFormat(ctx, p, nil)); err != nil {
		return errors.Join(err, p.close())
	}
	return errors.Join(os.CopyFS(dir, os.DirFS(p.file("data"))), p.close())
}

// format makes the broker's data folder. Only users need the program for it,
// because their passwords are put into its first records; it takes a second.
func (d kafkaDist) format(ctx context.Context, p *place, users map[string]string) error {
	if len(users) == 0 {
		return os.CopyFS(p.file("data"), os.DirFS(d.template()))
	}
	return d.runFormat(ctx, p, users)
}

func (d kafkaDist) runFormat(ctx context.Context, p *place, users map[string]string) error {
	args := []string{"kafka.tools.StorageTool", "format", "--cluster-id", kafkaCluster, "--config", p.file("server.properties")}
	for user, password := range users {
		for _, mechanism := range scramMechanisms {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, password))
		}
	}
	return d.command(p, args...).run(ctx)
}

// command runs a class of Kafka. Serial collection and the first compiler alone
// start faster and leave the processors to what is tested.
func (d kafkaDist) command(p *place, args ...string) command {
	jars, _ := filepath.Glob(filepath.Join(d.dir, "*.jar"))
	options := []string{
		"-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + p.file("log4j2.properties"), "-cp", strings.Join(jars, string(filepath.ListSeparator)),
	}
	return command{
		name: "kafka", path: d.path, args: append(options, args...), dir: p.dir, log: p.file("log"),
		env: []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC", "LC_ALL=C.UTF-8"},
	}
}
